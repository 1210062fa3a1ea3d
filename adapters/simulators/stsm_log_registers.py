"""Registers of what a simulated STSM meter wrote down: event window, months, days.

Written from the table of the profile and not from our decoder of it.
"""

import struct
from datetime import UTC, datetime, timedelta

from adapters.simulators.day_book import DAY, DAYS_KEPT, DayBook
from adapters.simulators.logs import EventLog

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
EVENT_WINDOW = 14
NOT_AVAILABLE = 0xFFFF_FFFF

_EVENT = ">IHHII"
_MONTH = ">BBHQi"


def event_window(log: EventLog, wanted: int) -> bytes:
    """D700-D777: a head, and up to fourteen records from the wanted one on."""
    records = log.since(wanted, EVENT_WINDOW)
    lost = 0 < wanted < log.oldest
    head = struct.pack(">IIIHH", wanted, log.newest, log.oldest, len(records), lost)
    return head + b"".join(
        struct.pack(_EVENT, record.number, record.type, 0, epoch_s(record.at), record.argument)
        for record in records
    )


def months_block(book: DayBook, *, step: int, doubtful: bool) -> bytes:
    """D800-D85F: year, month, flags, import, purchased in steps of so many thousandths."""
    return b"".join(
        struct.pack(
            _MONTH,
            (day.end - DAY).year - 2000,
            (day.end - DAY).month,
            doubtful,
            day.register,
            day.bought_milli // step,
        )
        for day in book.months
    )


def days_block(book: DayBook) -> bytes:
    """D880-D8BF: when the newest day ended, and 31 energies, the newest first."""
    if not book.days:
        return b""
    used = [NOT_AVAILABLE if day.used is None else day.used for day in book.days]
    used += [NOT_AVAILABLE] * (DAYS_KEPT - len(used))
    return struct.pack(f">I{DAYS_KEPT}I", epoch_s(book.days[0].end), *used)


def epoch_s(moment: datetime) -> int:
    """Whole seconds since 1970."""
    return (moment - EPOCH) // SECOND
