"""The sale block of a recharge: the back-office's own sums, kept and given back, never computed."""

from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum, unique
from typing import Annotated

from pydantic import Field, StrictInt, StringConstraints

from api.routes.forms import NO_CONTROLS, Asked, Text
from headend.quantities import Unit
from headend.recharges import Json

MAX_MINOR = 10**15
MAX_LINES = 50


@unique
class SaleLineKind(StrEnum):
    """What a line of a receipt is for."""

    ENERGY = "energy"
    TAX = "tax"
    DEBT = "debt"
    FIXED = "fixed"
    FREE_UNITS = "free_units"


class Money(Asked):
    """Money in minor units of an ISO 4217 currency."""

    amount_minor: Annotated[StrictInt, Field(ge=-MAX_MINOR, le=MAX_MINOR, examples=[2560])]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(examples=["EUR"])]


class SaleUnits(Asked):
    """Units on a receipt line."""

    value: Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,6})?$")]
    unit: Unit


class SaleLine(Asked):
    """One line of the receipt."""

    kind: SaleLineKind
    text: Text | None = None
    money: Money | None = None
    units: SaleUnits | None = None


class Sale(Asked):
    """What the customer paid and for what, as the back-office computed it."""

    money: Money
    lines: Annotated[Sequence[SaleLine], Field(max_length=MAX_LINES)] = ()
    receipt_number: (
        Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_CONTROLS)] | None
    ) = None
    business_date: date | None = None

    def kept(self) -> Mapping[str, Json]:
        """The block as it is stored."""
        kept: Mapping[str, Json] = self.model_dump(mode="json", exclude_none=True)
        return kept
