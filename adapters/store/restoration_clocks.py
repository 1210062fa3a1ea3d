"""Restoration clocks in the database."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, func, select, update

from adapters.store.columns import MOMENT
from adapters.store.inserts import new_only
from adapters.store.restoration_tables import restoration_clocks
from adapters.store.statements import SqlRow, Statements
from headend.errors import Stale
from headend.meters import TenantId
from headend.restoration import Choice, Ending, Overdue, RestorationClock, Sight, Threshold

_c = restoration_clocks.c
_KEY = (_c.tenant == bindparam("tenant_"), _c.recharge_id == bindparam("recharge_"))
_ADD = new_only(restoration_clocks)
_FIND = select(restoration_clocks).where(*_KEY)
_ISSUED = update(restoration_clocks).where(*_KEY)
_SAVE = update(restoration_clocks).where(*_KEY, _c.version == bindparam("was"))
_DUE = (
    select(restoration_clocks)
    .where(_c.due_at.is_not(None), _c.due_at <= bindparam("now", type_=MOMENT))
    .order_by(_c.due_at, _c.tenant, _c.recharge_id)
    .limit(bindparam("limit_"))
)


_RUNNING = _c.due_at.is_not(None)
_OVERDUE = {
    threshold: select(_c.tenant, func.count().label("homes"))
    .where(_RUNNING, moment <= bindparam("now", type_=MOMENT))
    .group_by(_c.tenant)
    .order_by(_c.tenant)
    for threshold, moment in ((Threshold.TELL, _c.tell_at), (Threshold.LIMIT, _c.limit_at))
}


class SqlRestorationClocks:
    """Satisfies the restoration clocks of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, clock: RestorationClock) -> None:
        columns = _born(clock) | _issued(clock) | _looked(clock)
        if not await self._run.changed(_ADD[self._run.dialect], columns):
            raise Stale(f"clock of recharge {clock.recharge_id}")

    async def find(self, tenant: TenantId, recharge_id: str) -> RestorationClock | None:
        row = await self._run.row(_FIND, {"tenant_": tenant, "recharge_": recharge_id})
        return None if row is None else _clock_of(row)

    async def issued(self, clock: RestorationClock) -> None:
        await self._run.change(_ISSUED, _issued(clock) | _key(clock), what="clock")

    async def save(self, clock: RestorationClock, *, was: int) -> None:
        parameters = _looked(clock) | _key(clock) | {"was": was}
        await self._run.change(_SAVE, parameters, what=f"clock of recharge {clock.recharge_id}")

    async def due(self, *, now: datetime, limit: int) -> Sequence[RestorationClock]:
        rows = await self._run.rows(_DUE, {"now": now, "limit_": limit})
        return [_clock_of(row) for row in rows]

    async def overdue(self, *, now: datetime) -> Sequence[Overdue]:
        return [
            Overdue(row.tenant, threshold, row.homes)
            for threshold, statement in _OVERDUE.items()
            for row in await self._run.rows(statement, {"now": now})
        ]


def _key(clock: RestorationClock) -> dict[str, object]:
    return {"tenant_": clock.tenant, "recharge_": clock.recharge_id}


def _born(clock: RestorationClock) -> dict[str, object]:
    return {
        "tenant": clock.tenant,
        "recharge_id": clock.recharge_id,
        "drn": clock.drn,
        "sgc": clock.sgc,
        "paid_at": clock.paid_at,
        "tell_at": clock.tell_at,
        "limit_at": clock.limit_at,
    }


def _issued(clock: RestorationClock) -> dict[str, object]:
    return {
        "digits_due_at": clock.digits_due_at,
        "sight": clock.sight,
        "choice": clock.choice,
        "chance_percent": clock.chance_percent,
    }


def _looked(clock: RestorationClock) -> dict[str, object]:
    return {
        "told_at": clock.told_at,
        "limit_passed_at": clock.limit_passed_at,
        "ended_at": clock.ended_at,
        "ended_by": clock.ended_by,
        "due_at": clock.due_at,
        "version": clock.version,
    }


def _clock_of(row: SqlRow) -> RestorationClock:
    return RestorationClock(
        tenant=row.tenant,
        recharge_id=row.recharge_id,
        drn=row.drn,
        sgc=row.sgc,
        paid_at=row.paid_at,
        digits_due_at=row.digits_due_at,
        tell_at=row.tell_at,
        limit_at=row.limit_at,
        sight=None if row.sight is None else Sight(row.sight),
        choice=None if row.choice is None else Choice(row.choice),
        chance_percent=row.chance_percent,
        told_at=row.told_at,
        limit_passed_at=row.limit_passed_at,
        ended_at=row.ended_at,
        ended_by=None if row.ended_by is None else Ending(row.ended_by),
        due_at=row.due_at,
        version=row.version,
    )
