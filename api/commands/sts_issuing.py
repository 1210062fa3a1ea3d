"""Tokens made on the command line: all that were asked for, or none.

Decides TIDs and judges the key's life as an issuing system must (IEC 62055-41, clause 6.1.10).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from api.commands.sts_explain import Part, key_part, token_part
from api.commands.sts_fields import fields_of, grouped, rows_as_json, said_by
from api.commands.sts_keys import MeterKey
from api.commands.sts_orders import MeterTestOrder, Order, TimedOrder
from headend.vending_keys import KeyMark
from protocols.sts.credit import Credit
from protocols.sts.errors import KeyExpiredError, RangeError
from protocols.sts.keychange import KeyChange, KeySection, require_key_type_change
from protocols.sts.limits import NIBBLE_MAX, TID_MAX, require
from protocols.sts.metertest import MeterTestToken
from protocols.sts.tables import EncryptionAlgorithm, KeyType
from protocols.sts.tid import moment_of, next_tid
from protocols.sts.token import TimedContents, TokenContents, encode, encode_key_change
from protocols.sts.validity import is_expired, last_minute, require_change_to

SAMPLE_WARNING = (
    "made with the sample tables of the printed standard: no real meter takes it, never sell it"
)
DEFAULT_KEY_WARNING = "a meter that holds a default key refuses credit (DDTKError)"
NO_SGC_WARNING = "a set of two tokens does not tell the meter its new SGC"


@dataclass(frozen=True, slots=True)
class Made:
    """One token: its digits and what they say."""

    contents: TokenContents
    digits: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What one call made, with the keys it was made under; ``new_key`` for a key change."""

    tokens: Sequence[Made]
    key: MeterKey | None
    new_key: MeterKey | None
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Timing:
    """When, and with which nibble: ``moment`` is aware; without ``rnd`` chance draws."""

    moment: datetime
    tid: int | None
    last_tid: int | None
    rnd: int | None
    nibble: Callable[[], int]

    def tids(self, key: MeterKey, count: int) -> list[int]:
        """TIDs for so many tokens of one meter, rising, within the life of the key."""
        found: list[int] = []
        for _ in range(count):
            tid = self._next(key, found[-1]) if found else self._first(key)
            _require_alive(key, tid)
            found.append(tid)
        return found

    def rnds(self, count: int) -> list[int]:
        """Random nibbles; RangeError for one that is none."""
        if self.rnd is not None:
            require("rnd", self.rnd, 0, NIBBLE_MAX)
        return [self.nibble() if self.rnd is None else self.rnd for _ in range(count)]

    def _first(self, key: MeterKey) -> int:
        if self.tid is None:
            return self._next(key, self.last_tid)
        require("tid", self.tid, 0, TID_MAX)
        if self.last_tid is not None and self.tid <= self.last_tid:
            raise RangeError("tid", "must be above the last one; a meter takes no TID twice")
        return self.tid

    def _next(self, key: MeterKey, last: int | None) -> int:
        moment = self.moment if self.tid is None else moment_of(key.base_date, self.tid)
        return next_tid(key.base_date, moment, last)


def moment_in(text: str | None, now: datetime, *, tid: int | None = None) -> datetime:
    """The time of issue, aware, UTC unless it says else; RangeError when it is none."""
    if text is None:
        return now
    if tid is not None:
        raise RangeError("tid", "stands for a time; give one of them")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RangeError("moment", "must be a time, ISO 8601: 2026-03-01T13:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def make(orders: Sequence[Order], key: MeterKey | None, timing: Timing) -> Batch:
    """The tokens of all orders, in their sequence; StsError before any is known to anybody."""
    timed = [order for order in orders if isinstance(order, TimedOrder)]
    assert key is not None or not timed
    tids = iter(timing.tids(key, len(timed)) if key is not None else ())
    rnds = iter(timing.rnds(len(timed)))
    contents: list[TokenContents] = []
    for order in orders:
        if isinstance(order, MeterTestOrder):
            contents += order.tokens
        else:
            contents.append(order.make(next(rnds), next(tids)))
    cipher = key.cipher() if key is not None and timed else None
    made = [Made(one, encode(one, cipher)) for one in contents]
    return Batch(made, key if timed else None, None, _warnings(contents, key))


def make_set(old: MeterKey, new: MeterKey, *, three_kct: bool, now: datetime) -> Batch:
    """The key-change set that leads a meter from one key to another.

    Raises KeyTypeError, KeyExpiredError (of the new key; the old one may be expired) and what the
    algorithms forbid.
    """
    vending_key = new.vending_key
    assert vending_key is not None
    assert new.tariff_index is not None
    require_key_type_change(old.key_type, new.key_type)
    require_change_to(vending_key, now)
    change = KeyChange(
        key=new.decoder_key,
        key_type=new.key_type,
        krn=vending_key.krn,
        tariff_index=new.tariff_index,
        ken=new.ken,
        rollover=old.base_date is not new.base_date,
        sgc=vending_key.sgc,
    )
    sections = change.sections(three_kct=three_kct)
    digits = encode_key_change(change, old.cipher(), three_kct=three_kct)
    made = [Made(section, token) for section, token in zip(sections, digits, strict=True)]
    warnings = [SAMPLE_WARNING] if old.uses_sample else []
    if old.algorithm is EncryptionAlgorithm.STA and not three_kct and _sgc(old) != vending_key.sgc:
        warnings.append(NO_SGC_WARNING)
    return Batch(made, old, new, warnings)


def text_of(batch: Batch) -> list[str]:
    """One line a token: the digits in groups, then what they say."""
    return [f"{grouped(made.digits)}  {_summary(made, batch)}" for made in batch.tokens]


def parts_of(batch: Batch, *, show_key: bool) -> list[Part]:
    """The whole way: keys, then each token."""
    key, new_key = batch.key, batch.new_key
    parts: list[Part] = []
    if key is not None:
        title = "Decoder key" if new_key is None else "Old decoder key"
        parts.append(key_part(key, show_key=show_key or key.is_public, title=title))
    shown = show_key
    if new_key is not None:
        shown = show_key or new_key.is_public
        parts.append(key_part(new_key, show_key=shown, title="New decoder key"))
    for number, made in enumerate(batch.tokens, start=1):
        title = "Token" if len(batch.tokens) == 1 else f"Token {number}"
        parts.append(token_part(made.contents, key, show_key=shown, title=title))
    return parts


def as_json(batch: Batch, *, explain: bool, show_key: bool) -> dict[str, object]:
    """The batch as one object; steps with ``explain``."""
    key, new_key = batch.key, batch.new_key
    shown = show_key or (new_key is not None and new_key.is_public)
    base = key.base_date if key is not None else None
    document: dict[str, object] = {
        "tokens": [
            {
                "token": made.digits,
                "class": int(made.contents.token_class),
                "subclass": int(made.contents.subclass),
                "mark": _mark(made.contents, key),
                "tid": made.contents.tid if isinstance(made.contents, TimedContents) else None,
                "fields": rows_as_json(fields_of(made.contents, base, show_key=shown)),
            }
            for made in batch.tokens
        ],
        "warnings": list(batch.warnings),
    }
    if key is not None and key.algorithm is EncryptionAlgorithm.STA and key.tables is not None:
        tables = {"name": key.tables.name, "sha256": key.tables.fingerprint}
        document["ea07_tables"] = tables
    if explain:
        parts = parts_of(batch, show_key=show_key)
        document["steps"] = [
            {"title": part.title, "rows": rows_as_json(part.rows)} for part in parts
        ]
    return document


def _mark(contents: TokenContents, key: MeterKey | None) -> KeyMark | None:
    """Tokens of class 1 are made without a key, and so without a mark."""
    return None if key is None or isinstance(contents, MeterTestToken) else key.mark


def _require_alive(key: MeterKey, tid: int) -> None:
    if is_expired(tid, key.ken):
        until = last_minute(key.base_date, key.ken)
        raise KeyExpiredError("ken", f"the key expired at {until:%Y-%m-%d %H:%M} UTC")


def _summary(made: Made, batch: Batch) -> str:
    contents = made.contents
    # What no till could sell must not look as if it could.
    test = ", test key" if batch.key is not None and batch.key.mark is KeyMark.TEST else ""
    if isinstance(contents, KeySection):
        place = f"{batch.tokens.index(made) + 1} of {len(batch.tokens)}"
        return f"{said_by(contents)} ({place}){test}"
    if not isinstance(contents, TimedContents):
        return said_by(contents)
    return f"{said_by(contents)}, TID {contents.tid}{test}"


def _warnings(contents: Sequence[TokenContents], key: MeterKey | None) -> list[str]:
    if key is None:
        return []
    warnings = [SAMPLE_WARNING] if key.uses_sample else []
    if key.key_type is KeyType.DEFAULT and any(isinstance(one, Credit) for one in contents):
        warnings.append(DEFAULT_KEY_WARNING)
    return warnings


def _sgc(key: MeterKey) -> int | None:
    return key.vending_key.sgc if key.vending_key is not None else None
