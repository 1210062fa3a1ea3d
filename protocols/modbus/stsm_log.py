"""STSM: the event window (D700-D777) and the history blocks (D800-D85F, D880-D8BF), version 0100.

The event log is read through a window: the number of the first wanted record is written to D700,
and the window then shows it and up to thirteen that follow. Knows the layout only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from protocols.modbus.blocks import Span
from protocols.modbus.registers import signed, unsigned, words_of

NEWEST_EVENT_LOW = Span(0xD05D, 1)
EVENT_WINDOW = 0xD700
EVENT_HEAD_WORDS = 8
EVENT_WORDS = 8
EVENTS_SHOWN = 14
# The head with the first records, then the rest: no read is longer than sixty registers.
EVENT_READS = (Span(0xD700, 56), Span(0xD738, 56), Span(0xD770, 8))
MONTHS = (Span(0xD800, 48), Span(0xD830, 48))
MONTH_WORDS = 8
DAYS_END = Span(0xD880, 2)
DAYS = (Span(0xD882, 60), Span(0xD8BE, 2))
_NOT_AVAILABLE = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class EventHead:
    """D700-D707: what was wanted, what there is, how much of it the window shows."""

    wanted: int
    newest: int
    oldest: int
    count: int
    lost: bool

    @classmethod
    def of(cls, words: Sequence[int]) -> Self:
        return cls(
            wanted=unsigned(words[0:2]),
            newest=unsigned(words[2:4]),
            oldest=unsigned(words[4:6]),
            count=min(words[6], EVENTS_SHOWN),
            lost=bool(words[7]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """One record; `at` in seconds since 1970, UTC."""

    number: int
    code: int
    flags: int
    at: int
    argument: int

    @classmethod
    def of(cls, words: Sequence[int]) -> Self:
        return cls(
            number=unsigned(words[0:2]),
            code=words[2],
            flags=words[3],
            at=unsigned(words[4:6]),
            argument=unsigned(words[6:8]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthEnd:
    """One month of D800-D85F: the import register at its end, what was purchased in it (in steps of
    amounts), and whether the meter doubts it.
    """

    year: int
    month: int
    flags: int
    import_wh: int
    purchased: int = 0

    @classmethod
    def of(cls, words: Sequence[int]) -> Self | None:
        """None for an entry that is not used."""
        year, month = 2000 + (words[0] >> 8), words[0] & 0xFF
        if not 1 <= month <= 12:
            return None
        return cls(
            year=year,
            month=month,
            flags=words[1],
            import_wh=unsigned(words[2:6]),
            purchased=signed(words[6:8]),
        )


def wanted(number: int) -> tuple[int, ...]:
    """D700-D701: show records from this number on."""
    return words_of(number, 2)


def reads_for(count: int) -> Sequence[Span]:
    """The reads that fetch the records behind the first read."""
    words = EVENT_HEAD_WORDS + EVENT_WORDS * count
    return [span for span in EVENT_READS[1:] if span.start < EVENT_WINDOW + words]


def logged_events(words: Sequence[int], count: int) -> list[LoggedEvent]:
    """The records of a window whose words begin with its head."""
    starts = range(EVENT_HEAD_WORDS, EVENT_HEAD_WORDS + EVENT_WORDS * count, EVENT_WORDS)
    return [LoggedEvent.of(words[at : at + EVENT_WORDS]) for at in starts]


def month_ends(words: Sequence[int]) -> list[MonthEnd]:
    """The used entries, in the order of the registers."""
    starts = range(0, len(words), MONTH_WORDS)
    entries = (MonthEnd.of(words[at : at + MONTH_WORDS]) for at in starts)
    return [entry for entry in entries if entry is not None]


def day_energies(words: Sequence[int]) -> list[int | None]:
    """Wh of the last complete days, the newest first; None where a day is not available."""
    numbers = [unsigned(words[at : at + 2]) for at in range(0, len(words), 2)]
    return [None if number == _NOT_AVAILABLE else number for number in numbers]
