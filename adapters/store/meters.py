"""Meters in the database."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select, update

from adapters.store.cursors import Listing
from adapters.store.inserts import new_only
from adapters.store.statements import SqlRow, Statements
from adapters.store.tables import meters
from headend.meters import (
    Drn,
    Keypad,
    KeyType,
    Meter,
    MeterState,
    Route,
    Service,
    StsConfiguration,
    TenantId,
)
from headend.pages import Cursor, Page
from headend.refusals import MeterExists

# Both databases bound the number of parameters of one statement.
CHUNK = 500

_KEY = (meters.c.tenant == bindparam("tenant_"), meters.c.drn == bindparam("drn_"))
_ADD = new_only(meters)
_FIND = select(meters).where(*_KEY)
_SAVE = update(meters).where(*_KEY, meters.c.version == bindparam("was"))
_KNOWN = select(meters.c.drn).where(
    meters.c.tenant == bindparam("tenant_"), meters.c.drn.in_(bindparam("drns", expanding=True))
)


class SqlMeters:
    """Satisfies the meters of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, meter: Meter) -> None:
        if not await self._run.changed(_ADD[self._run.dialect], _columns(meter)):
            raise MeterExists(f"meter {meter.drn} is known already", field="drn")

    async def find(self, tenant: TenantId, drn: Drn) -> Meter | None:
        row = await self._run.row(_FIND, {"tenant_": tenant, "drn_": drn})
        return None if row is None else meter_of(row)

    async def known(self, tenant: TenantId, drns: Sequence[Drn]) -> frozenset[Drn]:
        found: set[Drn] = set()
        for start in range(0, len(drns), CHUNK):
            chunk = drns[start : start + CHUNK]
            rows = await self._run.rows(_KNOWN, {"tenant_": tenant, "drns": chunk})
            found.update(row.drn for row in rows)
        return frozenset(found)

    async def save(self, meter: Meter, *, was: int) -> None:
        keys = {"tenant_": meter.tenant, "drn_": meter.drn, "was": was}
        await self._run.change(_SAVE, _columns(meter) | keys, what=f"meter {meter.drn}")

    async def page(
        self, tenant: TenantId, cursor: Cursor, *, sgc: str | None = None
    ) -> Page[Meter]:
        where = [meters.c.tenant == tenant]
        if sgc is not None:
            where.append(meters.c.sgc == sgc)
        return await _LISTING.page(self._run, cursor, *where)


def meter_of(row: SqlRow) -> Meter:
    """A meter from all the columns of its table."""
    return Meter(
        tenant=row.tenant,
        drn=row.drn,
        service=Service(row.service),
        profile=row.profile,
        route=None if row.bus is None else Route(row.bus, row.address),
        sts=sts_of(row),
        keypad=Keypad(row.keypad),
        currency=row.currency,
        state=MeterState(row.state),
        usage_point=row.usage_point,
        version=row.version,
        changed_at=row.changed_at,
    )


def sts_of(row: SqlRow) -> StsConfiguration:
    """The STS configuration, which a recharge copies from its meter."""
    return StsConfiguration(
        sgc=row.sgc,
        krn=row.krn,
        tariff_index=row.tariff_index,
        key_type=KeyType(row.key_type),
        ea=row.ea,
    )


def sts_columns(sts: StsConfiguration) -> dict[str, object]:
    """The columns of an STS configuration, of a meter or a recharge."""
    return {
        "sgc": sts.sgc,
        "krn": sts.krn,
        "tariff_index": sts.tariff_index,
        "key_type": sts.key_type,
        "ea": sts.ea,
    }


def _columns(meter: Meter) -> dict[str, object]:
    return {
        "tenant": meter.tenant,
        "drn": meter.drn,
        "service": meter.service,
        "profile": meter.profile,
        "bus": meter.route.bus if meter.route else None,
        "address": meter.route.address if meter.route else None,
        "keypad": meter.keypad,
        "currency": meter.currency,
        "state": meter.state,
        "usage_point": meter.usage_point,
        "version": meter.version,
        "changed_at": meter.changed_at,
        **sts_columns(meter.sts),
    }


_LISTING = Listing(
    table=meters,
    columns=(meters.c.drn,),
    kinds=(str,),
    key=lambda meter: (meter.drn,),
    record=meter_of,
)
