"""Amounts on the wire: units of a service or money, told apart by `kind`, always decimal texts."""

from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints

from api.routes.forms import Asked, Told, grows
from headend.quantities import Amount, Currency, Unit, Units

Value = Annotated[str, StringConstraints(max_length=24)]
CurrencyCode = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z]{3}$"),
    Field(description="ISO 4217.", examples=["ZAR"]),
]


class UnitsAsked(Asked):
    """An amount in units of the meter's service; a decimal text, so that nothing is rounded."""

    kind: Literal["units"]
    value: Annotated[Value, Field(examples=["25.6"])]
    unit: Unit

    def amount(self) -> Units:
        """Raises MalformedAmount, AmountNotPositive, AmountTooLarge."""
        return Units.parse(self.value, self.unit)


class CurrencyAsked(Asked):
    """An amount of money, for a meter that counts money; at most 5 decimals."""

    kind: Literal["currency"]
    value: Annotated[Value, Field(examples=["100.00"])]
    currency: CurrencyCode

    def amount(self) -> Currency:
        """Raises MalformedAmount, AmountNotPositive, AmountTooLarge."""
        return Currency.parse(self.value, self.currency)


AmountAsked = Annotated[UnitsAsked | CurrencyAsked, Field(discriminator="kind")]


class UnitsTold(Told):
    """Credit in units of the meter's service."""

    kind: Literal["units"] = "units"
    value: Annotated[str, Field(examples=["25.6"])]
    unit: Annotated[Unit, grows(Unit)]


class CurrencyTold(Told):
    """Credit in money, on a meter that counts money."""

    kind: Literal["currency"] = "currency"
    value: Annotated[str, Field(examples=["100.00"])]
    currency: CurrencyCode


AmountTold: TypeAlias = Annotated[UnitsTold | CurrencyTold, Field(discriminator="kind")]


def amount_told(amount: Amount | None) -> UnitsTold | CurrencyTold | None:
    match amount:
        case None:
            return None
        case Units(value=value, unit=unit):
            return UnitsTold(value=plain(value), unit=unit)
        case Currency(value=value, code=code):
            return CurrencyTold(value=plain(value), currency=code)


def plain(value: Decimal) -> str:
    """A decimal without exponent, as it was written."""
    return f"{value:f}"


def milli_told(milli: int | None) -> str | None:
    """Thousandths as an exact decimal."""
    return None if milli is None else f"{Decimal(milli).scaleb(-3):f}"
