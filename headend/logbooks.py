"""Logbooks: what a meter wrote down itself, events and past days, and what of it is new to us.

What a logbook cannot give now is asked for again at the next poll, and costs nothing else.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

from headend.errors import WireError
from headend.events import EventType, MeterEvent
from headend.meters import Capability, Meter
from headend.ports import Report, Session
from headend.readings import Reading, ReadingType
from headend.store import Transaction

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is in the store of a meter's own records: the last event, the last day of its history.

    `day_due`: a day more may have ended since.
    """

    event_number: int = 0
    day_end: datetime | None = None
    day_due: bool = False


NOTHING = Known()


async def known_of(tx: Transaction, meter: Meter, can: Capability, *, now: datetime) -> Known:
    """Where to go on reading."""
    known = Known()
    if Capability.EVENTS in can:
        number = await tx.events.last_number(meter.tenant, meter.drn)
        known = replace(known, event_number=number)
    if Capability.HISTORY in can:
        latest = await tx.readings.latest(meter.tenant, meter.drn, before=now)
        day = latest.get(ReadingType.ENERGY_IMPORT_DAY_WH)
        end = day.taken_at if day else None
        known = replace(known, day_end=end, day_due=end is None or now - end > DAY)
    return known


async def new_events(session: Session, can: Capability, known: Known) -> tuple[MeterEvent, ...]:
    """What the log has beyond the last event known; nothing when it cannot be had now."""
    if Capability.EVENTS not in can:
        return ()
    try:
        return tuple(await session.events(after=known.event_number))
    except WireError:
        return ()


async def past_days(session: Session, can: Capability, known: Known) -> tuple[Reading, ...]:
    """The days and months that have ended since, where a day may have; nothing when not now."""
    if Capability.HISTORY not in can or not known.day_due:
        return ()
    try:
        return tuple(await session.history(since=known.day_end))
    except WireError:
        return ()


def not_believed(report: Report, *, now: datetime) -> Report:
    """What answers is not what the record says: told once a day, and nothing of it is kept."""
    midnight = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    event = MeterEvent(
        tenant=report.tenant,
        drn=report.drn,
        code=EventType.ROUTE_MISCONFIGURED,
        taken_at=midnight,
        received_at=now,
    )
    return replace(report, events=(event,), alive=False)
