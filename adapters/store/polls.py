"""Polls in the database: which meter is due to be read."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, bindparam, delete, func, select, tuple_, update

from adapters.store.inserts import upsert
from adapters.store.meters import meter_of
from adapters.store.statements import Statements
from adapters.store.tables import meters, polls
from headend.meters import BusName, Drn, Meter, TenantId
from headend.polling import Poll

_c = polls.c
_KEY = (_c.tenant == bindparam("tenant_"), _c.drn == bindparam("drn_"))
_BUS = _c.bus == bindparam("bus_")
_PUT = upsert(
    polls,
    lambda new: {name: new[name] for name in ("bus", "due_at", "interval_s", "misses")},
)
_REMOVE = delete(polls).where(*_KEY)
_DUE = (
    select(meters, _c.bus.label("poll_bus"), _c.interval_s, _c.misses)
    .join_from(polls, meters, and_(meters.c.tenant == _c.tenant, meters.c.drn == _c.drn))
    .where(_BUS, _c.due_at <= bindparam("now"))
    .order_by(_c.due_at, _c.tenant, _c.drn)
    .limit(bindparam("limit_"))
    .with_for_update(of=polls, skip_locked=True)
)
_TAKE = (
    update(polls)
    .where(tuple_(_c.tenant, _c.drn).in_(bindparam("taken", expanding=True)))
    .values(due_at=bindparam("until"))
)
_HASTEN = update(polls).where(*_KEY, _c.due_at > bindparam("due")).values(due_at=bindparam("due"))
_NEXT_DUE = select(func.min(_c.due_at).label("due_at")).where(_BUS)


class SqlPolls:
    """Satisfies the polls of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def put(self, poll: Poll) -> None:
        columns = {
            "tenant": poll.tenant,
            "drn": poll.drn,
            "bus": poll.bus,
            "due_at": poll.due_at,
            "interval_s": poll.interval_s,
            "misses": poll.misses,
        }
        await self._run.changed(_PUT[self._run.dialect], columns)

    async def remove(self, tenant: TenantId, drn: Drn) -> None:
        await self._run.changed(_REMOVE, {"tenant_": tenant, "drn_": drn})

    async def take_due(
        self, bus: BusName, *, now: datetime, until: datetime, limit: int
    ) -> Sequence[tuple[Poll, Meter]]:
        rows = await self._run.rows(_DUE, {"bus_": bus, "now": now, "limit_": limit})
        if not rows:
            return ()
        taken = [(row.tenant, row.drn) for row in rows]
        await self._run.changed(_TAKE, {"taken": taken, "until": until})
        return [
            (
                Poll(
                    tenant=row.tenant,
                    drn=row.drn,
                    bus=row.poll_bus,
                    due_at=until,
                    interval_s=row.interval_s,
                    misses=row.misses,
                ),
                meter_of(row),
            )
            for row in rows
        ]

    async def hasten(self, tenant: TenantId, drn: Drn, *, due_at: datetime) -> None:
        await self._run.changed(_HASTEN, {"tenant_": tenant, "drn_": drn, "due": due_at})

    async def next_due(self, bus: BusName) -> datetime | None:
        row = await self._run.row(_NEXT_DUE, {"bus_": bus})
        return None if row is None else row.due_at
