"""Quantities that people pay for: units of credit and money, exact, never binary floating point."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from enum import StrEnum, unique
from typing import Self

from headend.refusals import AmountNotPositive, AmountTooLarge, MalformedAmount

# IEC 62055-41 TransferAmount: 3 exponents above a 14-bit mantissa, in tenths of a unit.
MAX_CREDIT_TENTHS = 18_201_624
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
