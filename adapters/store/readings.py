"""Readings in the database."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import String, bindparam, literal_column, select, union_all

from adapters.store.columns import literals
from adapters.store.cursors import Listing
from adapters.store.inserts import new_only
from adapters.store.statements import SqlRow, Statements
from adapters.store.tables import readings
from headend.meters import Drn, TenantId
from headend.pages import Cursor, Page
from headend.readings import Quality, Reading, ReadingType

_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)

_c = readings.c
_ADD = {dialect: statement.returning(_c.type) for dialect, statement in new_only(readings).items()}
# One look into the primary key for each type, however long the history is. `values()` would be
# shorter, but SQLAlchemy compiles it anew each time.
_type = union_all(
    *(select(literal_column(f"'{type_.value}'", String).label("type")) for type_ in ReadingType)
).cte("types")
_newer = readings.alias("newer")
_newest_at = (
    select(_newer.c.taken_at)
    .where(
        _newer.c.tenant == bindparam("tenant_"),
        _newer.c.drn == bindparam("drn_"),
        _newer.c.type == _type.c.type,
        _newer.c.taken_at < bindparam("before"),
        _newer.c.quality.not_in(literals([Quality.SUSPECT])),
    )
    .order_by(_newer.c.taken_at.desc())
    .limit(1)
    .correlate(_type)
    .scalar_subquery()
)
_LATEST = (
    select(readings)
    .join_from(_type, readings, _c.type == _type.c.type)
    .where(
        _c.tenant == bindparam("tenant_"), _c.drn == bindparam("drn_"), _c.taken_at == _newest_at
    )
)


class SqlReadings:
    """Satisfies the readings of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, readings: Sequence[Reading]) -> int:
        if not readings:
            return 0
        rows = [_columns(reading) for reading in readings]
        return len(await self._run.returned(_ADD[self._run.dialect], rows))

    async def latest(
        self, tenant: TenantId, drn: Drn, *, before: datetime | None = None
    ) -> Mapping[ReadingType, Reading]:
        keys = {"tenant_": tenant, "drn_": drn, "before": before or _END_OF_TIME}
        found = [_reading_of(row) for row in await self._run.rows(_LATEST, keys)]
        return {reading.type: reading for reading in found}

    async def page(
        self, tenant: TenantId, drn: Drn, cursor: Cursor, *, type: ReadingType | None = None
    ) -> Page[Reading]:
        where = [_c.tenant == tenant, _c.drn == drn]
        if type is not None:
            where.append(_c.type == type)
        return await _LISTING.page(self._run, cursor, *where)


def _reading_of(row: SqlRow) -> Reading:
    return Reading(
        tenant=row.tenant,
        drn=row.drn,
        type=ReadingType(row.type),
        value=row.value,
        taken_at=row.taken_at,
        received_at=row.received_at,
        quality=Quality(row.quality),
    )


def _columns(reading: Reading) -> dict[str, object]:
    return {
        "tenant": reading.tenant,
        "drn": reading.drn,
        "type": reading.type,
        "value": reading.value,
        "taken_at": reading.taken_at,
        "received_at": reading.received_at,
        "quality": reading.quality,
    }


_LISTING = Listing(
    table=readings,
    columns=(_c.taken_at, _c.type),
    kinds=(datetime, str),
    key=lambda reading: (reading.taken_at, reading.type.value),
    record=_reading_of,
    newest_first=True,
)
