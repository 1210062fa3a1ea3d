"""When a vending key may issue (IEC 62055-41, clause 6.1.10): from its base date to its expiry.

A KEN step is 65536 minutes; KEN 255 lasts as long as the TID itself. Base date and KEN are those of
the vending key, never of a meter's record.
"""

from datetime import datetime

from protocols.sts.errors import KeyExpiredError
from protocols.sts.keys import VendingKey
from protocols.sts.limits import KEN_MAX, TID_MAX, require
from protocols.sts.tables import BaseDate
from protocols.sts.tid import moment_of, next_tid, tid_at

KEN_SHIFT = 16


def is_expired(tid: int, ken: int) -> bool:
    """Whether a token of this TID comes after the key's expiry."""
    require("tid", tid, 0, TID_MAX)
    require("ken", ken, 0, KEN_MAX)
    return tid >> KEN_SHIFT > ken


def last_tid(ken: int) -> int:
    """The last TID a key of this expiry number may issue."""
    require("ken", ken, 0, KEN_MAX)
    return (ken + 1 << KEN_SHIFT) - 1


def last_minute(base: BaseDate, ken: int) -> datetime:
    """The last minute in which a key may issue, aware UTC."""
    return moment_of(base, last_tid(ken))


def require_unexpired(key: VendingKey, tid: int) -> None:
    """Raise KeyExpiredError unless ``key`` may issue a token with this TID."""
    if is_expired(tid, key.ken):
        until = last_minute(key.base_date, key.ken)
        raise KeyExpiredError("ken", f"the vending key expired at {until:%Y-%m-%d %H:%M} UTC")


def issue_tid(key: VendingKey, now: datetime, last: int | None = None) -> int:
    """TID for a credit or management token issued now under ``key``, checked against its life.

    Raises BeforeBaseDateError, TidExhaustedError or KeyExpiredError.
    """
    tid = next_tid(key.base_date, now, last)
    require_unexpired(key, tid)
    return tid


def require_change_to(key: VendingKey, now: datetime) -> None:
    """Raise unless meters may be changed to ``key`` now.

    Only the *new* key is judged: an expired old key may still encrypt the way out to a valid one.
    """
    require_unexpired(key, tid_at(key.base_date, now))
