"""Quantities that people pay for: units of credit and money, exact, never binary floating point."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from enum import StrEnum, unique
from typing import Self, TypeAlias

from headend.refusals import AmountNotPositive, AmountTooLarge, MalformedAmount

# IEC 62055-41 TransferAmount: 3 exponents above a 14-bit mantissa, in tenths of a unit.
MAX_CREDIT_TENTHS = 18_201_624
# Currency tokens carry 5 exponents more; what people buy stays far below.
MAX_CREDIT_CURRENCY = Decimal(10) ** 12
CURRENCY_PLACES = 5
_MAX_TEXT = 24


@unique
class Unit(StrEnum):
    """Units of a credit token: IEC 62055-41, class 0, sub-classes 0 to 3."""

    KWH = "kWh"
    M3 = "m3"
    MIN = "min"


@dataclass(frozen=True, slots=True)
class Units:
    """An amount of credit: `value` is decimal, in `unit`."""

    value: Decimal
    unit: Unit

    @classmethod
    def parse(cls, text: str, unit: Unit) -> Self:
        """Read a decimal such as "25.6".

        Raises MalformedAmount, AmountNotPositive, AmountTooLarge.
        """
        value = _decimal(text)
        if value <= 0:
            raise AmountNotPositive(f"{text} {unit} is not more than zero", field="amount.value")
        amount = cls(value, unit)
        if amount.tenths > MAX_CREDIT_TENTHS:
            raise AmountTooLarge(
                f"{text} {unit} is more than a token carries"
                f" ({Decimal(MAX_CREDIT_TENTHS) / 10} {unit}); split the sale",
                field="amount.value",
            )
        return amount

    @classmethod
    def of_tenths(cls, tenths: int, unit: Unit) -> Self:
        return cls(Decimal(tenths) / 10, unit)

    @property
    def tenths(self) -> int:
        """Whole tenths of a unit, rounded up: in the customer's favour."""
        return int((self.value * 10).to_integral_value(ROUND_CEILING))

    def __str__(self) -> str:
        return f"{self.value:f} {self.unit}"


@dataclass(frozen=True, slots=True)
class Currency:
    """An amount of credit on a currency meter: `value` is decimal, `code` is ISO 4217."""

    value: Decimal
    code: str

    @classmethod
    def parse(cls, text: str, code: str) -> Self:
        """Read a decimal such as "100.00" of a currency such as "ZAR".

        Raises MalformedAmount (also for more than 5 decimals), AmountNotPositive, AmountTooLarge.
        """
        value = _decimal(text)
        if len(code) != 3 or not (code.isascii() and code.isalpha() and code.isupper()):
            raise MalformedAmount(
                "a currency is three capital letters (ISO 4217)", field="amount.currency"
            )
        if value <= 0:
            raise AmountNotPositive(f"{text} {code} is not more than zero", field="amount.value")
        if value > MAX_CREDIT_CURRENCY:
            raise AmountTooLarge(
                f"{text} {code} is more than {MAX_CREDIT_CURRENCY:f}", field="amount.value"
            )
        amount = cls(value, code)
        if amount.value * 10**CURRENCY_PLACES != amount.hundred_thousandths:
            raise MalformedAmount(
                f"currency has at most {CURRENCY_PLACES} decimals", field="amount.value"
            )
        return amount

    @classmethod
    def of_hundred_thousandths(cls, number: int, code: str) -> Self:
        return cls(Decimal(number) / 10**CURRENCY_PLACES, code)

    @property
    def hundred_thousandths(self) -> int:
        """The unit of currency tokens (IEC 62055-41, class 0, sub-classes 4 to 7)."""
        return int(self.value * 10**CURRENCY_PLACES)

    def __str__(self) -> str:
        return f"{self.value:f} {self.code}"


Amount: TypeAlias = Units | Currency


def fits(encoded: Amount, told: Decimal) -> bool:
    """Whether a meter that tells `told` (finite) may have taken `encoded`.

    Credit in units is told as encoded. Money is encoded finer than most registers count, and is
    told rounded to their last place.
    """
    if isinstance(encoded, Units):
        return encoded.value == told
    last_place = Decimal(1).scaleb(int(told.as_tuple().exponent))
    return abs(encoded.value - told) < last_place


def _decimal(text: str) -> Decimal:
    plain = text.strip()
    if not plain or len(plain) > _MAX_TEXT or not set(plain) <= set("0123456789.-+"):
        raise MalformedAmount(
            "write the value as a decimal text, such as 25.6", field="amount.value"
        )
    try:
        return Decimal(plain)
    except InvalidOperation as exc:
        raise MalformedAmount(
            "write the value as a decimal text, such as 25.6", field="amount.value"
        ) from exc
