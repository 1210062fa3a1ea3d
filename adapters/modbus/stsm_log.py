"""What an STSM meter wrote down: its event log from a number on, and past days and months."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from adapters.modbus.frames import Table
from adapters.modbus.stsm_tokens import scaled
from adapters.modbus.unit import Unit
from headend.errors import NoAnswer
from headend.events import EventType, MeterEvent
from headend.meters import Meter
from headend.readings import Quality, Reading, ReadingType
from protocols.modbus import stsm_log as log
from protocols.modbus.blocks import Span
from protocols.modbus.registers import unsigned

# One conversation reads so many windows (of fourteen); the next one goes on where it ended.
WINDOWS = 4
# A meter that lost its clock tells times of long ago, or of a century to come.
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_LAST = datetime(2100, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


class StsmLog:
    """The log and the history of one meter; `codes` are those that the maker has of his own.

    `exponent` is the power of ten of its amounts.
    """

    def __init__(
        self, unit: Unit, meter: Meter, codes: Mapping[int, EventType], *, exponent: int
    ) -> None:
        self._exponent = exponent
        self._unit = unit
        self._meter = meter
        self._codes = codes

    async def events(self, *, after: int, received_at: datetime) -> Sequence[MeterEvent]:
        """The records numbered above `after`, oldest first; a gap before them is told as an event.

        A log that was begun anew (its newest is below `after`) is read from its oldest on.
        """
        newest_low = unsigned(await self._read(log.NEWEST_EVENT_LOW))
        found: list[MeterEvent] = []
        if newest_low == after & 0xFFFF:
            return found
        for _ in range(WINDOWS):
            head, records = await self._window(after + 1)
            if head.newest < after:
                after = max(head.oldest - 1, 0)
                head, records = await self._window(after + 1)
            if head.lost and after and records:
                found.append(self._gap(after, records[0], received_at))
            found += [self._event(record, received_at) for record in records]
            if not records or records[-1].number >= head.newest:
                break
            after = records[-1].number
        return found

    async def _window(self, number: int) -> tuple[log.EventHead, Sequence[log.LoggedEvent]]:
        await self._unit.write(log.EVENT_WINDOW, log.wanted(number))
        words = list(await self._read(log.EVENT_READS[0]))
        head = log.EventHead.of(words)
        if head.wanted != number:
            raise NoAnswer(f"the event window shows records from {head.wanted}, not from {number}")
        for span in log.reads_for(head.count):
            words += await self._read(span)
        return head, log.logged_events(words, head.count)

    def _event(self, record: log.LoggedEvent, received_at: datetime) -> MeterEvent:
        known = self._codes.get(record.code)
        return MeterEvent(
            tenant=self._meter.tenant,
            drn=self._meter.drn,
            code=record.code if known is None else known,
            raw_code=None if known is None else record.code,
            taken_at=_moment(record.at) or received_at,
            received_at=received_at,
            number=record.number,
            argument=record.argument,
        )

    def _gap(self, after: int, first: log.LoggedEvent, received_at: datetime) -> MeterEvent:
        return MeterEvent(
            tenant=self._meter.tenant,
            drn=self._meter.drn,
            code=EventType.EVENT_LOG_GAP,
            taken_at=_moment(first.at) or received_at,
            received_at=received_at,
            number=first.number - 1,
            argument=first.number - 1 - after,
        )

    async def history(self, *, since: datetime | None, received_at: datetime) -> Sequence[Reading]:
        """Of the days that ended after `since` their energy; of the months the register at their
        end, and what was purchased in them.
        """
        last_day = _moment(unsigned(await self._read(log.DAYS_END)))
        if last_day is None or (since is not None and last_day <= since):
            return []
        days = [word for span in log.DAYS for word in await self._read(span)]
        months = [word for span in log.MONTHS for word in await self._read(span)]
        found = [
            (ReadingType.ENERGY_IMPORT_DAY_WH, energy, last_day - age * _DAY, 0)
            for age, energy in enumerate(log.day_energies(days))
            if energy is not None
        ]
        for end in log.month_ends(months):
            bought = int(scaled(1000 * end.purchased, self._exponent))
            of_month = {
                ReadingType.ENERGY_IMPORT_WH: end.import_wh,
                ReadingType.CREDIT_BOUGHT_MONTH_MILLI: bought,
            }
            at = _month_end(end)
            found += [(kind, value, at, end.flags) for kind, value in of_month.items()]
        return [
            Reading(
                tenant=self._meter.tenant,
                drn=self._meter.drn,
                type=kind,
                value=value,
                taken_at=at,
                received_at=received_at,
                quality=Quality.SUSPECT if flags else Quality.GOOD,
            )
            for kind, value, at, flags in found
            if since is None or at > since
        ]

    async def _read(self, span: Span) -> tuple[int, ...]:
        return await self._unit.read(Table.HOLDING, span)


def _moment(seconds: int) -> datetime | None:
    at = datetime.fromtimestamp(seconds, UTC)
    return at if _FIRST <= at < _LAST else None


def _month_end(end: log.MonthEnd) -> datetime:
    """When the next month begins."""
    year, month = divmod(12 * end.year + end.month, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)
