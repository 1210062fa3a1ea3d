"""When vending keys end: by their key expiry number, or with the 24 bits of the TID.

One KEN step is 65536 minutes from the base date (IEC 62055-41, 6.1.10), so KEN 255 is the end of
the base date itself: only a change to a key of a later base date helps then.
"""

from dataclasses import dataclass
from datetime import datetime

from headend.refusals import KeyExpired, NoVendingKey
from headend.vending_keys import VendingKey
from protocols.sts.limits import KEN_MAX, TID_MAX
from protocols.sts.tables import BaseDate
from protocols.sts.tid import MINUTE
from protocols.sts.validity import is_expired, last_minute


@dataclass(frozen=True, slots=True)
class KeyEnd:
    """The last minute in which a vending key may issue; `with_base_date`: no KEN could be later."""

    key: VendingKey
    at: datetime
    with_base_date: bool


def end_of(key: VendingKey) -> KeyEnd:
    """When a key ends."""
    return KeyEnd(key, last_minute(BaseDate(key.base_date), key.ken), key.ken == KEN_MAX)


def require_alive(key: VendingKey, tid: int) -> None:
    """Raise NoVendingKey before the base date of a key, KeyExpired after its end.

    `tid` may lie outside the 24 bits, on either side.
    """
    base = BaseDate(key.base_date)
    if tid < 0:
        raise NoVendingKey(
            f"{named(key)} begins on {base.epoch:%Y-%m-%d}, later than now", field="tid"
        )
    if tid > TID_MAX or is_expired(tid, key.ken):
        raise KeyExpired(
            f"{named(key)} expired at {end_of(key).at:%Y-%m-%d %H:%M} UTC", field="krn"
        )


def require_alive_at(key: VendingKey, now: datetime) -> None:
    """The same for a moment instead of a TID."""
    require_alive(key, (now - BaseDate(key.base_date).epoch) // MINUTE)


def named(key: VendingKey) -> str:
    """How a refusal calls a key."""
    return f"the key of supply group {key.sgc}, revision {key.krn},"
