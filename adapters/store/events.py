"""Meter events in the database."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select

from adapters.store.cursors import Listing
from adapters.store.inserts import new_only
from adapters.store.statements import SqlRow, Statements
from adapters.store.tables import events
from headend.events import MeterEvent
from headend.meters import Drn, TenantId
from headend.pages import Cursor, Page

_c = events.c
_KEY = (_c.tenant, _c.drn, _c.taken_at, _c.code, _c.number, _c.message)
_ADD = {dialect: statement.returning(*_KEY) for dialect, statement in new_only(events).items()}

_LAST_NUMBER = (
    select(_c.number)
    .where(_c.tenant == bindparam("of_tenant"), _c.drn == bindparam("of_drn"), _c.number > 0)
    .order_by(_c.received_at.desc(), _c.number.desc())
    .limit(1)
)


class SqlEvents:
    """Satisfies the events of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, events: Sequence[MeterEvent]) -> Sequence[MeterEvent]:
        if not events:
            return ()
        rows = [_columns(event) for event in events]
        new = {tuple(row) for row in await self._run.returned(_ADD[self._run.dialect], rows)}
        first: dict[tuple[object, ...], MeterEvent] = {}
        for event in events:
            first.setdefault(_key(event), event)
        return [event for key, event in first.items() if key in new]

    async def last_number(self, tenant: TenantId, drn: Drn) -> int:
        row = await self._run.row(_LAST_NUMBER, {"of_tenant": tenant, "of_drn": drn})
        return row.number if row else 0

    async def page(self, tenant: TenantId, drn: Drn, cursor: Cursor) -> Page[MeterEvent]:
        return await _LISTING.page(self._run, cursor, _c.tenant == tenant, _c.drn == drn)


def _key(event: MeterEvent) -> tuple[object, ...]:
    return (event.tenant, event.drn, event.taken_at, event.code, event.number, event.message)


def _event_of(row: SqlRow) -> MeterEvent:
    return MeterEvent(
        tenant=row.tenant,
        drn=row.drn,
        code=row.code,
        taken_at=row.taken_at,
        received_at=row.received_at,
        number=row.number,
        argument=row.argument,
        raw_code=row.raw_code,
        message=row.message,
    )


def _columns(event: MeterEvent) -> dict[str, object]:
    return {
        "tenant": event.tenant,
        "drn": event.drn,
        "code": event.code,
        "taken_at": event.taken_at,
        "received_at": event.received_at,
        "number": event.number,
        "argument": event.argument,
        "raw_code": event.raw_code,
        "message": event.message,
    }


_LISTING = Listing(
    table=events,
    columns=(_c.taken_at, _c.code, _c.number),
    kinds=(datetime, int, int),
    key=lambda event: (event.taken_at, event.code, event.number),
    record=_event_of,
    newest_first=True,
)
