"""Token identifier, TID (IEC 62055-41): minutes since a base date, unique per meter.

Knows nothing of keys or amounts. Callers bring the time and remember the last TID of each meter.
"""

from datetime import datetime, timedelta

from protocols.sts.errors import BeforeBaseDateError, RangeError, TidExhaustedError
from protocols.sts.limits import TID_MAX, require
from protocols.sts.tables import BaseDate

MINUTE = timedelta(minutes=1)
DAY_MINUTES = 1440
RESERVED_MINUTE = 1  # 00:01, the SpecialReservedTokenIdentifier


def tid_at(base: BaseDate, moment: datetime) -> int:
    """Whole minutes from the base date to ``moment`` (aware), seconds dropped.

    Raises BeforeBaseDateError and TidExhaustedError outside the 24 bits. The result may be the
    reserved minute: tokens get their TID from ``next_tid``.
    """
    if moment.tzinfo is None:
        raise RangeError("moment", "needs a time zone")
    minutes = (moment - base.epoch) // MINUTE
    if minutes < 0:
        raise BeforeBaseDateError("moment", f"lies before the base date {base.epoch:%Y-%m-%d}")
    return _within_24_bits(minutes, base)


def next_tid(base: BaseDate, now: datetime, last: int | None = None) -> int:
    """TID for a token issued ``now`` to a meter whose latest TID is ``last``.

    Always above ``last`` and never the reserved minute, so several tokens of one minute take the
    minutes that follow; real time is used again when it has caught up.
    """
    tid = tid_at(base, now)
    if last is not None:
        require("last", last, 0, TID_MAX)
        tid = max(tid, last + 1)
    return _within_24_bits(tid + 1 if is_reserved(tid) else tid, base)


def reserved_tid(base: BaseDate, day: datetime) -> int:
    """TID 00:01 (UTC) of a day, which a utility may give to one special token of that day."""
    tid = tid_at(base, day)
    return _within_24_bits(tid - tid % DAY_MINUTES + RESERVED_MINUTE, base)


def is_reserved(tid: int) -> bool:
    """Whether a TID is minute 00:01 of its day."""
    return tid % DAY_MINUTES == RESERVED_MINUTE


def moment_of(base: BaseDate, tid: int) -> datetime:
    """The minute a TID stands for, aware UTC."""
    require("tid", tid, 0, TID_MAX)
    return base.epoch + tid * MINUTE


def _within_24_bits(tid: int, base: BaseDate) -> int:
    if tid > TID_MAX:
        last = base.epoch + TID_MAX * MINUTE
        raise TidExhaustedError("tid", f"base date {base.value} ends at {last:%Y-%m-%d %H:%M} UTC")
    return tid
