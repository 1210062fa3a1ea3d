"""What DL/T 645 meters wrote down, as numbered events: many logs, a count and ten records each.

The number of an event is how many things had happened by then, over all logs (the begin of one, and
its end where we have an event for that). So the sum of all counts tells whether anything is new,
and the last number known tells how much. Which logs it was in is remembered; after a restart the
times of the newest records tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, tzinfo

from adapters.dlt645.station import Station
from headend.errors import NoAnswer, Unsupported
from headend.events import EventType, MeterEvent
from headend.meters import Meter
from protocols.dlt645.errors import MalformedData
from protocols.dlt645.status import (
    EVENT_LOGS,
    RECORDS,
    STATUS_BLOCK,
    Condition,
    EventLog,
    EventRecord,
    conditions,
    event_record,
)

# One conversation tells so many events; the next one goes on where it ended.
EVENTS_MAX = 8
# After a restart so many records are looked at, to know which are new; older ones count as lost.
LOOKED_AT_MAX = 16

_BEGINS = {
    "power_failure": EventType.POWER_DOWN,
    "programming": EventType.PARAMETER_CHANGED,
    "clock_set": EventType.CLOCK_ADJUSTED,
    "meter_cover_open": EventType.METER_COVER_OPENED,
    "terminal_cover_open": EventType.TERMINAL_COVER_OPENED,
    "phase_inversion": EventType.PHASE_INVERSION,
    "voltage_loss": EventType.PHASE_LOSS,
    "undervoltage": EventType.UNDERVOLTAGE,
    "overvoltage": EventType.OVERVOLTAGE,
    "phase_loss": EventType.PHASE_LOSS,
    "reverse_flow": EventType.REVERSE_CURRENT,
}
_ENDS = {
    "power_failure": EventType.POWER_UP,
    "terminal_cover_open": EventType.TERMINAL_COVER_CLOSED,
}
_CONDITIONS = {
    Condition.CLOCK_BATTERY_LOW: EventType.BATTERY_LOW,
    Condition.READING_BATTERY_LOW: EventType.BATTERY_LOW,
    Condition.VOLTAGE_LOST: EventType.PHASE_LOSS,
    Condition.PHASE_CUT: EventType.PHASE_LOSS,
    Condition.UNDERVOLTAGE: EventType.UNDERVOLTAGE,
    Condition.OVERVOLTAGE: EventType.OVERVOLTAGE,
    Condition.REVERSE_FLOW: EventType.REVERSE_CURRENT,
    Condition.PHASE_INVERSION: EventType.PHASE_INVERSION,
    Condition.CURRENT_IMBALANCE: EventType.NEUTRAL_MISSING,
}


@dataclass(slots=True)
class LogMarks:
    """What is known of one meter: steps told of each log, up to the event `last`; absent values."""

    last: int | None = None
    steps: dict[str, int] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Step:
    """One thing that happened: the begin of a record, or its end."""

    log: EventLog
    at: datetime
    ends: bool


class MeterLogs:
    """The logs of one meter, in one conversation."""

    def __init__(self, station: Station, meter: Meter, marks: LogMarks, *, zone: tzinfo) -> None:
        self._station = station
        self._meter = meter
        self._marks = marks
        self._zone = zone
        self._values: dict[str, bytes | None] = {}
        self._counts: dict[str, int] = {}

    async def events(self, *, after: int, received_at: datetime) -> Sequence[MeterEvent]:
        """What happened after that number, oldest first; a gap before it is told as an event.

        Logs that were cleared (less has happened than is known) are read from their oldest on.
        """
        steps = {log.name: await self._steps(log) for log in EVENT_LOGS}
        told = await self._told(steps, after)
        found = list(self._gap(told, after, received_at))
        new = await self._new(told, steps)
        number = sum(told.values())
        for name, step in sorted(new, key=lambda one: _time_of(one[1], received_at)):
            number += 1
            told[name] += 1
            found.append(self._event(step, number, received_at))
        present = await self._present(received_at)
        self._marks.steps, self._marks.last = told, (number if found else after)
        return [*found, *present]

    # --- what is new -----------------------------------------------------------------------------

    async def _told(self, steps: Mapping[str, int], after: int) -> dict[str, int]:
        """How much of each log is known already, as far as the meter still has it."""
        kept = {log.name: self._oldest(log, steps[log.name]) for log in EVENT_LOGS}
        total, known = sum(steps.values()), self._marks.steps
        if self._marks.last == after and all(known[name] <= steps[name] for name in steps):
            told = dict(known)
        elif total == after:
            told = dict(steps)
        elif after == 0 or total < after:
            told = dict(kept)
        else:
            told = await self._without_newest(steps, total - after)
        return {name: max(told[name], kept[name]) for name in steps}

    async def _without_newest(self, steps: Mapping[str, int], new: int) -> dict[str, int]:
        """The steps of each log, without those that are the newest of all by their times."""
        told = dict(steps)
        for _ in range(min(new, LOOKED_AT_MAX)):
            newest: tuple[datetime, str] | None = None
            for log in EVENT_LOGS:
                if told[log.name] > self._oldest(log, steps[log.name]):
                    step = await self._step(log, told[log.name])
                    at = step.at if step else datetime.min.replace(tzinfo=UTC)
                    newest = max(newest or (at, log.name), (at, log.name))
            if newest is None:
                break
            told[newest[1]] -= 1
        return told

    async def _new(
        self, told: Mapping[str, int], steps: Mapping[str, int]
    ) -> Sequence[tuple[str, _Step | None]]:
        """The oldest steps that are not yet told, at most EVENTS_MAX; None: its record is gone."""
        found: list[tuple[str, _Step | None]] = []
        for log in EVENT_LOGS:
            for step in range(told[log.name] + 1, steps[log.name] + 1):
                if len(found) == EVENTS_MAX:
                    return found
                found.append((log.name, await self._step(log, step)))
        return found

    def _oldest(self, log: EventLog, steps: int) -> int:
        """How many steps came before the oldest record that is kept."""
        before = max(0, self._counts[log.name] - RECORDS)
        return min(steps, before * (2 if _kind(log) in _ENDS else 1))

    # --- what the meter says ---------------------------------------------------------------------

    async def _steps(self, log: EventLog) -> int:
        value = await self._value(log.count_identifier)
        try:
            count = 0 if value is None else log.count(value)
        except MalformedData as error:
            raise NoAnswer(f"meter {self._station.address}: {error}") from error
        self._counts[log.name] = count
        if not count or _kind(log) not in _ENDS:
            return count
        known = self._marks.steps.get(log.name)
        if known == 2 * count:
            return known  # the newest one had ended already
        record = await self._record(log, 1)
        return 2 * count - (record is None or record.ended is None)

    async def _step(self, log: EventLog, number: int) -> _Step | None:
        per_record = 2 if _kind(log) in _ENDS else 1
        place, ends = divmod(number - 1, per_record)
        record = await self._record(log, self._counts[log.name] - place)
        at = (record.ended if ends else record.began) if record else None
        return None if at is None else _Step(log, at, bool(ends))

    async def _record(self, log: EventLog, back: int) -> EventRecord | None:
        if back > RECORDS:
            return None
        value = await self._value(log.record_identifier(back), kept=False)
        try:
            return None if value is None else event_record(log, value, self._zone)
        except MalformedData:
            return None

    async def _value(self, identifier: str, *, kept: bool = True) -> bytes | None:
        """None where the meter has no such thing; `kept`: it never will, which is remembered."""
        if identifier in self._marks.absent:
            return None
        if identifier not in self._values:
            try:
                self._values[identifier] = await self._station.read(identifier)
            except Unsupported:
                if kept:
                    self._marks.absent.add(identifier)
                return None
        return self._values[identifier]

    # --- as events -------------------------------------------------------------------------------

    def _gap(
        self, told: Mapping[str, int], after: int, received_at: datetime
    ) -> Sequence[MeterEvent]:
        first = sum(told.values())
        if not after or first <= after:
            return ()
        lost = first - after
        code, at = EventType.EVENT_LOG_GAP, received_at
        return [self._of(code, at, number=first, received_at=received_at, argument=lost)]

    def _event(self, step: _Step | None, number: int, received_at: datetime) -> MeterEvent:
        if step is None:
            code, at = EventType.EVENT_LOG_GAP, received_at
            argument: int | None = 1
        else:
            kind = _kind(step.log)
            code = _ENDS[kind] if step.ends else _BEGINS[kind]
            at, argument = step.at, step.log.phase
        return self._of(code, at, number=number, received_at=received_at, argument=argument)

    async def _present(self, received_at: datetime) -> Sequence[MeterEvent]:
        """What the status words tell and no log of this meter: told once a day while it stands."""
        block = await self._value(STATUS_BLOCK)
        try:
            present = {} if block is None else conditions(block)
        except MalformedData:
            return ()
        logged = {
            _BEGINS[_kind(log)]
            for log in EVENT_LOGS
            if log.count_identifier not in self._marks.absent
        }
        phases: dict[EventType, int] = {}
        for condition, bits in present.items():
            code = _CONDITIONS[condition]
            if code not in logged:
                phases[code] = phases.get(code, 0) | bits
        midnight = datetime.combine(received_at.astimezone(UTC).date(), time(), UTC)
        return [
            self._of(code, midnight, number=0, received_at=received_at, argument=bits)
            for code, bits in phases.items()
        ]

    def _of(
        self,
        code: EventType,
        at: datetime,
        *,
        number: int,
        received_at: datetime,
        argument: int | None,
    ) -> MeterEvent:
        return MeterEvent(
            tenant=self._meter.tenant,
            drn=self._meter.drn,
            code=code,
            taken_at=at,
            received_at=received_at,
            number=number,
            argument=argument,
        )


def _kind(log: EventLog) -> str:
    """The name of a log without its phase."""
    return log.name if log.phase is None else log.name.rpartition("_")[0]


def _time_of(step: _Step | None, otherwise: datetime) -> datetime:
    return step.at if step else otherwise
