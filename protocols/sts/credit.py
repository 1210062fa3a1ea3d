"""Credit tokens, class 0 (IEC 62055-41): units, or an amount of currency."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from protocols.sts.amount import (
    CURRENCY_MAX,
    UNITS_MAX,
    decode_currency,
    decode_units,
    encode_currency,
    encode_units,
)
from protocols.sts.block import TimedContent
from protocols.sts.errors import FunctionError
from protocols.sts.limits import NIBBLE_MAX, TID_MAX, WORD16_MAX, Limited
from protocols.sts.tables import CreditSubclass, TokenClass

HIGH_BITS = 16


@dataclass(frozen=True, slots=True)
class CreditUnits(Limited):
    """Credit of sub-class 0 to 3, in tenths of kWh, m3 or minutes; 0 to 1 820 162.4 units.

    Sixteen bits cannot hold every amount: ``encoded_tenths`` is what the meter will add.
    """

    subclass: CreditSubclass
    rnd: int
    tid: int
    amount_tenths: int

    token_class: ClassVar[TokenClass] = TokenClass.CREDIT
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {
        "subclass": (CreditSubclass.ELECTRICITY, CreditSubclass.TIME),
        "rnd": (0, NIBBLE_MAX),
        "tid": (0, TID_MAX),
        "amount_tenths": (0, UNITS_MAX),
    }

    @property
    def encoded_tenths(self) -> int:
        """The amount after rounding in the customer's favour."""
        return decode_units(encode_units(self.amount_tenths))

    def content(self) -> int:
        """The 48 bits before the CRC."""
        data = encode_units(self.amount_tenths)
        return TimedContent(self.subclass, self.rnd, self.tid, data).pack()


@dataclass(frozen=True, slots=True)
class CreditCurrency(Limited):
    """Credit of sub-class 4 to 7, in 0.00001 of the base currency; may be negative.

    Carries no RND: its nibble holds the sign and the high bits of the exponent.
    """

    subclass: CreditSubclass
    tid: int
    amount_1e5: int

    token_class: ClassVar[TokenClass] = TokenClass.CREDIT
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {
        "subclass": (CreditSubclass.ELECTRICITY_CURRENCY, CreditSubclass.TIME_CURRENCY),
        "tid": (0, TID_MAX),
        "amount_1e5": (-CURRENCY_MAX, CURRENCY_MAX),
    }

    @property
    def encoded_1e5(self) -> int:
        """The amount after rounding towards more credit."""
        return decode_currency(encode_currency(self.amount_1e5))

    def content(self) -> int:
        """The 48 bits before the CRC."""
        code = encode_currency(self.amount_1e5)
        nibble, data = code >> HIGH_BITS, code & WORD16_MAX
        return TimedContent(self.subclass, nibble, self.tid, data).pack()


Credit = CreditUnits | CreditCurrency


def read_credit(content: int) -> Credit:
    """Credit from 48 genuine bits; FunctionError for the reserved sub-classes 8 to 15."""
    fields = TimedContent.unpack(content)
    try:
        subclass = CreditSubclass(fields.subclass)
    except ValueError:
        raise FunctionError("subclass", "of this credit token is reserved") from None
    if subclass.is_currency:
        code = fields.nibble << HIGH_BITS | fields.data
        return CreditCurrency(subclass, fields.tid, decode_currency(code))
    return CreditUnits(subclass, fields.nibble, fields.tid, decode_units(fields.data))
