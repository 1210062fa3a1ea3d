"""Tokens of class 1, never encrypted (IEC 62055-41, clause 6.2.3): test, display, extended read.

They carry no TID and may be used any number of times by any meter. A non-zero manufacturer code is
taken as the raw bits of its field: no public text says whether they are binary or decimal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from protocols.sts.block import SUBCLASS_SHIFT
from protocols.sts.errors import FunctionError, MfrCodeError
from protocols.sts.limits import Limited, require
from protocols.sts.tables import MeterTestNumber, MeterTestSubclass, TokenClass

LONG_CONTROL_BITS = 36
SHORT_CONTROL_BITS = 28
FIELD_BITS = 44  # control and manufacturer code together
INDEX_MAX = 0x3F
SELECTOR_BITS = 30


@dataclass(frozen=True, slots=True)
class MeterTest:
    """InitiateMeterTest/Display, or a manufacturer's own token (sub-classes 6 to 15).

    ``control`` has 28 bits and ``mfr_code`` 16 in sub-classes 1 and 6 to 10, else 36 and 8. Generic
    tokens have manufacturer code 0. RangeError names the field that does not fit.
    """

    subclass: MeterTestSubclass
    control: int
    mfr_code: int = 0

    token_class: ClassVar[TokenClass] = TokenClass.METER_TEST

    def __post_init__(self) -> None:
        if self.subclass == MeterTestSubclass.EXTENDED_READ:
            raise FunctionError("subclass", "2 is the extended read")
        control_bits = control_bits_of(self.subclass)
        require("control", self.control, 0, (1 << control_bits) - 1)
        require("mfr_code", self.mfr_code, 0, (1 << FIELD_BITS - control_bits) - 1)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Which tests a generic token asks for: (0,) for all, else each n in rising order."""
        width = control_bits_of(self.subclass)
        if self.control == (1 << width) - 1:
            return (MeterTestNumber.ALL,)
        return tuple(place + 1 for place in range(width) if self.control >> place & 1)

    def content(self) -> int:
        """The 48 bits before the CRC."""
        return _pack(self.subclass, self.control, self.mfr_code)


@dataclass(frozen=True, slots=True)
class ExtendedRead(Limited):
    """Read back a control value, or a flag (index 63), of the extended set.

    ``selector`` is the 30 bits behind the index; the published tokens have 0 there.
    """

    index: int
    selector: int = 0
    mfr_code: int = 0

    token_class: ClassVar[TokenClass] = TokenClass.METER_TEST
    subclass: ClassVar[MeterTestSubclass] = MeterTestSubclass.EXTENDED_READ
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {
        "index": (0, INDEX_MAX),
        "selector": (0, (1 << SELECTOR_BITS) - 1),
        "mfr_code": (0, 0xFF),
    }

    @property
    def control(self) -> int:
        """The 36-bit control field."""
        return self.index << SELECTOR_BITS | self.selector

    def content(self) -> int:
        """The 48 bits before the CRC."""
        return _pack(self.subclass, self.control, self.mfr_code)


MeterTestToken = MeterTest | ExtendedRead


def control_bits_of(subclass: MeterTestSubclass) -> int:
    """Width of the control field."""
    return SHORT_CONTROL_BITS if subclass.has_long_mfr_code else LONG_CONTROL_BITS


def generic_tests(number: MeterTestNumber) -> tuple[MeterTest, MeterTest]:
    """One test in both forms, for 2-digit and for 4-digit codes: a point of sale keeps both."""
    short, long = (
        MeterTest(form, _control_of(number, control_bits_of(form)))
        for form in (MeterTestSubclass.SHORT_MFR_CODE, MeterTestSubclass.LONG_MFR_CODE)
    )
    return short, long


def require_mfr_code(token: MeterTestToken, own: int) -> None:
    """Raise MfrCodeError unless the token is generic or made for manufacturer ``own``."""
    if token.mfr_code not in (0, own):
        raise MfrCodeError("mfr_code", "belongs to another manufacturer")


def read_meter_test(content: int) -> MeterTestToken:
    """Class 1 token from 48 genuine bits; FunctionError for the reserved sub-classes 3 to 5."""
    try:
        subclass = MeterTestSubclass(content >> SUBCLASS_SHIFT)
    except ValueError:
        raise FunctionError("subclass", "of this class 1 token is reserved") from None
    code_bits = FIELD_BITS - control_bits_of(subclass)
    control = (content & (1 << FIELD_BITS) - 1) >> code_bits
    mfr_code = content & (1 << code_bits) - 1
    if subclass is MeterTestSubclass.EXTENDED_READ:
        selector = control & (1 << SELECTOR_BITS) - 1
        return ExtendedRead(control >> SELECTOR_BITS, selector, mfr_code)
    return MeterTest(subclass, control, mfr_code)


def _control_of(number: MeterTestNumber, width: int) -> int:
    return (1 << width) - 1 if number is MeterTestNumber.ALL else 1 << number - 1


def _pack(subclass: MeterTestSubclass, control: int, mfr_code: int) -> int:
    code_bits = FIELD_BITS - control_bits_of(subclass)
    return subclass << SUBCLASS_SHIFT | control << code_bits | mfr_code
