"""What a meter would make of a token, check by check in its order (IEC 62055-41, clause 7.3).

A meter knows more than we: which TIDs it has seen, how full its register is, what it has built in.
What was not asked is said, never guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, unique

from api.commands.sts_fields import HIDDEN, Row, fields_of, minute, rows_as_json
from api.commands.sts_keys import MeterKey, neighbours
from headend.vending_keys import KeyMark
from protocols.sts.block import CRC_BITS, TimedContent, unseal
from protocols.sts.errors import (
    CrcError,
    FormatError,
    FunctionError,
    KeyTypeError,
    MfrCodeError,
    RangeError,
    StsError,
)
from protocols.sts.keychange import (
    KEY_SECTION_SUBCLASSES,
    FirstSection,
    HeldSections,
    KeySection,
    require_key_type_change,
)
from protocols.sts.limits import TID_MAX, WORD16_MAX, require
from protocols.sts.management import ClearCredit
from protocols.sts.metertest import MeterTestToken, require_mfr_code
from protocols.sts.tables import CreditRegister, EncryptionAlgorithm, KeyType, TokenClass
from protocols.sts.token import TimedContents, TokenContents, block_of, decode
from protocols.sts.validity import is_expired, last_minute


@unique
class Result(Enum):
    """Authentication and validation results, in the words of the standard."""

    ACCEPT = "Accept"
    SECTION = "section received, waiting for the rest"
    SEALED = "encrypted; give the key to read it"
    FORMAT = "FormatError"
    CRC = "CRCError"
    MFR_CODE = "MfrCodeError"
    OLD = "OldError"
    USED = "UsedError"
    KEY_EXPIRED = "KeyExpiredError"
    DEFAULT_KEY = "DDTKError"
    RANGE = "RangeError"
    FUNCTION = "FunctionError"
    KEY_TYPE = "KeyTypeError"

    @property
    def is_refusal(self) -> bool:
        """Whether the meter says no."""
        return self not in {Result.ACCEPT, Result.SECTION, Result.SEALED}


_RESULT_OF_ERROR: Sequence[tuple[type[StsError], Result]] = (
    (FormatError, Result.FORMAT),
    (CrcError, Result.CRC),
    (FunctionError, Result.FUNCTION),
    (RangeError, Result.RANGE),
    (KeyTypeError, Result.KEY_TYPE),
    (MfrCodeError, Result.MFR_CODE),
)


@dataclass(frozen=True, slots=True)
class Memory:
    """What we were told of the meter: TIDs it keeps, its manufacturer's code; RangeError."""

    stored_tids: frozenset[int] = frozenset()
    mfr_code: int | None = None

    def __post_init__(self) -> None:
        for tid in self.stored_tids:
            require("stored_tid", tid, 0, TID_MAX)
        if self.mfr_code is not None:
            require("mfr_code", self.mfr_code, 0, WORD16_MAX)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A token, read: its fields, the meter's answer and why; what might be meant instead."""

    token: str
    result: Result
    reason: str
    rows: list[Row]
    hints: list[str] = field(default_factory=list)
    not_asked: list[str] = field(default_factory=list)
    contents: TokenContents | None = None


def judge(digits: str, key: MeterKey | None, memory: Memory, *, show_key: bool) -> Judgement:
    """Read 20 digits as the meter does whose key this is; without a key, what any eye can see."""
    try:
        token_class, _ = block_of(digits)
    except StsError as error:
        return _refused(digits, error, [])
    seen = [Row("class", str(int(token_class)), token_class.name.lower().replace("_", " "))]
    if key is None and token_class is not TokenClass.METER_TEST:
        reason = "amount, TID and CRC are encrypted; only the class can be seen"
        return Judgement(digits, Result.SEALED, reason, seen)
    try:
        contents = decode(digits, key.cipher() if key is not None else None)
    except CrcError as error:
        hints = [] if key is None or token_class is TokenClass.METER_TEST else _hints(digits, key)
        return _refused(digits, error, seen, hints)
    except (FunctionError, RangeError) as error:
        return _refused(digits, error, seen + _raw_rows(digits, key, show_key=show_key))
    return _validated(digits, contents, key, memory, show_key=show_key)


def assembled(judgements: Sequence[Judgement], key: MeterKey, *, show_key: bool) -> list[Row]:
    """What key-change tokens among them bring together, once nothing is missing; else nothing."""
    sections = [one.contents for one in judgements if isinstance(one.contents, KeySection)]
    held = HeldSections(key.algorithm)
    for section in sections:
        held = held.take(section)
    if not sections:
        return []
    if held.missing:
        missing = ", ".join(str(number) for number in held.missing)
        return [Row("set", "not complete", f"missing: section {missing}")]
    try:
        change = held.assemble()
    except RangeError as error:
        return [Row("set", Result.RANGE.value, str(error))]
    sgc = "not in this set" if change.sgc is None else f"{change.sgc:06d}"
    return [
        Row("set", "complete", "key, KEN, KRN, KT, TI and SGC change together"),
        Row("new SGC", sgc),
        Row("new KRN", str(change.krn)),
        Row("new TI", f"{change.tariff_index:02d}"),
        Row("new KT", str(int(change.key_type))),
        Row("new KEN", str(change.ken)),
        Row("rollover", "yes" if change.rollover else "no"),
        Row("new key", change.key.value.hex() if show_key else HIDDEN),
    ]


def rows_of(judgement: Judgement) -> list[Row]:
    """The fields, then the meter's answer, what might be meant, what was not asked."""
    return [
        *judgement.rows,
        Row("result", judgement.result.value, judgement.reason),
        *(Row("hint", hint) for hint in judgement.hints),
        *(Row("not asked", question) for question in judgement.not_asked),
    ]


def judgement_as_json(judgement: Judgement) -> dict[str, object]:
    """The same as an object."""
    return {
        "token": judgement.token,
        "fields": rows_as_json(judgement.rows),
        "result": judgement.result.value,
        "refused": judgement.result.is_refusal,
        "reason": judgement.reason,
        "hints": judgement.hints,
        "not_asked": judgement.not_asked,
    }


def _validated(
    digits: str, contents: TokenContents, key: MeterKey | None, memory: Memory, *, show_key: bool
) -> Judgement:
    rows = fields_of(contents, key.base_date if key else None, show_key=show_key)
    if show_key or not isinstance(contents, KeySection):
        rows.append(_crc_row(_clear_block(digits, key)))
    if isinstance(contents, MeterTestToken):
        result, reason = _class_1(contents, memory)
    else:
        assert key is not None
        if key.mark is not None:
            rows.append(Row("mark", key.mark, _MARKED[key.mark]))
        result, reason = _with_key(contents, key, memory)
    not_asked = [] if result.is_refusal else _not_asked(contents, memory)
    return Judgement(digits, result, reason, rows, not_asked=not_asked, contents=contents)


_MARKED = {
    KeyMark.TEST: "of a published test key, not for sale",
    KeyMark.PRIVATE: "of a key held in software",
}


def _class_1(token: MeterTestToken, memory: Memory) -> tuple[Result, str]:
    if memory.mfr_code is not None:
        try:
            require_mfr_code(token, memory.mfr_code)
        except MfrCodeError as error:
            return Result.MFR_CODE, str(error)
    return Result.ACCEPT, ""


def _with_key(contents: TokenContents, key: MeterKey, memory: Memory) -> tuple[Result, str]:
    if isinstance(contents, KeySection):
        return _key_section(contents, key)
    assert isinstance(contents, TimedContents)
    stored, tid = memory.stored_tids, contents.tid
    if stored and tid < min(stored):
        return Result.OLD, f"TID {tid} is below the smallest that the meter keeps, {min(stored)}"
    if tid in stored:
        return Result.USED, f"TID {tid} is among those that the meter keeps"
    if is_expired(tid, key.ken):
        until = last_minute(key.base_date, key.ken)
        return Result.KEY_EXPIRED, f"KEN {key.ken} ends at {until:%Y-%m-%d %H:%M} UTC"
    if contents.token_class is TokenClass.CREDIT and key.key_type is KeyType.DEFAULT:
        return Result.DEFAULT_KEY, "a meter that holds a default key takes no credit"
    if isinstance(contents, ClearCredit) and contents.register not in set(CreditRegister):
        return Result.RANGE, f"register {contents.register} is not known"
    return Result.ACCEPT, ""


def _key_section(section: KeySection, key: MeterKey) -> tuple[Result, str]:
    if isinstance(section, FirstSection):
        try:
            require_key_type_change(key.key_type, section.key_type)
        except KeyTypeError as error:
            return Result.KEY_TYPE, str(error)
    return Result.SECTION, "nothing changes until the set is complete"


def _not_asked(contents: TokenContents, memory: Memory) -> list[str]:
    if isinstance(contents, MeterTestToken):
        own = contents.mfr_code == 0 or memory.mfr_code is not None
        return [] if own else ["whether the meter is of this manufacturer (--mfr-code)"]
    if isinstance(contents, KeySection):
        return []
    missing = [] if memory.stored_tids else ["whether it was used or is too old (--stored-tid)"]
    if contents.token_class is TokenClass.CREDIT:
        missing.append("whether the credit register would overflow")
    return [*missing, "whether the meter has the function built in"]


def _refused(digits: str, error: StsError, rows: list[Row], hints: Sequence[str] = ()) -> Judgement:
    result = next(result for kind, result in _RESULT_OF_ERROR if isinstance(error, kind))
    return Judgement(digits, result, str(error), rows, hints=list(hints))


def _raw_rows(digits: str, key: MeterKey | None, *, show_key: bool) -> list[Row]:
    """The fields of a genuine block whose meaning is reserved or impossible."""
    block = _clear_block(digits, key)
    subclass = Row("sub-class", str(block >> 60))
    if key is None or (not show_key and _may_hold_key(digits, block)):
        return [subclass]
    raw = TimedContent.unpack(block >> CRC_BITS)
    return [
        subclass,
        Row("RND", str(raw.nibble), "if it is one"),
        Row("TID", str(raw.tid), f"{minute(key.base_date, raw.tid)}, if it is one"),
        Row("data", f"{raw.data:04x}"),
        _crc_row(block),
    ]


def _clear_block(digits: str, key: MeterKey | None) -> int:
    token_class, block = block_of(digits)
    if token_class is TokenClass.METER_TEST or key is None:
        return block
    return key.cipher().decrypt(block)


def _crc_row(block: int) -> Row:
    return Row("CRC", f"{block & 0xFFFF:04x}", "authentic")


def _may_hold_key(digits: str, block: int) -> bool:
    token_class, _ = block_of(digits)
    return token_class is TokenClass.MANAGEMENT and block >> 60 in KEY_SECTION_SUBCLASSES


def _hints(digits: str, key: MeterKey) -> list[str]:
    """Which single change of what we were told makes the token authentic; chance finds few."""
    if key.algorithm is EncryptionAlgorithm.STA and key.tables is None:
        return []
    return [
        f"it authenticates with {name}: is the record of the meter wrong?"
        for name, other in neighbours(key)
        if _authenticates(digits, other)
    ]


def _authenticates(digits: str, key: MeterKey) -> bool:
    token_class, block = block_of(digits)
    try:
        unseal(token_class, key.cipher().decrypt(block))
    except CrcError:
        return False
    return True
