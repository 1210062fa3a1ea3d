"""Supply groups in the database."""

from typing import TypedDict

from sqlalchemy import bindparam, select, update

from adapters.store.cursors import Listing
from adapters.store.inserts import new_only
from adapters.store.statements import SqlRow, Statements
from adapters.store.tables import supply_groups
from adapters.store.usage_points import contacts_json, contacts_of
from headend.errors import Stale
from headend.meters import TenantId
from headend.pages import Cursor, Page
from headend.supply_groups import Restoration, Reveal, SupplyGroup

_KEY = (supply_groups.c.tenant == bindparam("tenant_"), supply_groups.c.sgc == bindparam("sgc_"))
_ADD = new_only(supply_groups)
_FIND = select(supply_groups).where(*_KEY)
_SAVE = update(supply_groups).where(*_KEY, supply_groups.c.version == bindparam("was"))


class SqlSupplyGroups:
    """Satisfies the supply groups of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def find(self, tenant: TenantId, sgc: str) -> SupplyGroup | None:
        row = await self._run.row(_FIND, {"tenant_": tenant, "sgc_": sgc})
        return None if row is None else _supply_group_of(row)

    async def put(self, group: SupplyGroup, *, was: int | None) -> None:
        columns = _columns(group)
        what = f"supply group {group.sgc}"
        if was is not None:
            keys = {"tenant_": group.tenant, "sgc_": group.sgc, "was": was}
            await self._run.change(_SAVE, columns | keys, what=what)
        elif not await self._run.changed(_ADD[self._run.dialect], columns):
            raise Stale(what)

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[SupplyGroup]:
        return await _LISTING.page(self._run, cursor, supply_groups.c.tenant == tenant)


def _supply_group_of(row: SqlRow) -> SupplyGroup:
    return SupplyGroup(
        tenant=row.tenant,
        sgc=row.sgc,
        name=row.name,
        zone=row.zone,
        language=row.language,
        fallback_after_s=row.fallback_after_s,
        deadline_after_s=row.deadline_after_s,
        limit_per_recharge=row.limit_per_recharge,
        limit_per_day=row.limit_per_day,
        reveal=Reveal(row.reveal),
        reveal_at={point: Reveal(reveal) for point, reveal in row.reveal_at.items()},
        restoration=_restoration_of(row.restoration),
        version=row.version,
        changed_at=row.changed_at,
    )


class _RestorationJson(TypedDict):
    tell_after_s: int
    limit_after_s: int
    contacts: list[list[str]]
    at_once_below_percent: int


def _restoration_of(plain: _RestorationJson | None) -> Restoration:
    """The defaults where a group was written before there was any."""
    if plain is None:
        return Restoration()
    return Restoration(
        tell_after_s=plain["tell_after_s"],
        limit_after_s=plain["limit_after_s"],
        contacts=contacts_of(plain["contacts"]),
        at_once_below_percent=plain["at_once_below_percent"],
    )


def _restoration_json(times: Restoration) -> _RestorationJson:
    return {
        "tell_after_s": times.tell_after_s,
        "limit_after_s": times.limit_after_s,
        "contacts": contacts_json(times.contacts),
        "at_once_below_percent": times.at_once_below_percent,
    }


def _columns(group: SupplyGroup) -> dict[str, object]:
    return {
        "tenant": group.tenant,
        "sgc": group.sgc,
        "name": group.name,
        "zone": group.zone,
        "language": group.language,
        "fallback_after_s": group.fallback_after_s,
        "deadline_after_s": group.deadline_after_s,
        "limit_per_recharge": group.limit_per_recharge,
        "limit_per_day": group.limit_per_day,
        "reveal": group.reveal,
        "reveal_at": {point: reveal.value for point, reveal in group.reveal_at.items()},
        "restoration": _restoration_json(group.restoration),
        "version": group.version,
        "changed_at": group.changed_at,
    }


_LISTING = Listing(
    table=supply_groups,
    columns=(supply_groups.c.sgc,),
    kinds=(str,),
    key=lambda group: (group.sgc,),
    record=_supply_group_of,
)
