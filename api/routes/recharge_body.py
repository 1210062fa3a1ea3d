"""What a back-office sends to sell credit."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from api.routes.contacts import ContactForm
from api.routes.forms import Asked, Ident, Name, Text
from api.routes.sale import Sale
from headend.meters import TenantId
from headend.quantities import Unit, Units
from headend.recharges import RechargeOrder
from headend.refusals import TokenKnown
from headend.tokens import parse_digits, purpose_of

MAX_TOKENS = 50
MAX_CONTACTS = 5


class UnitsAsked(Asked):
    """An amount in units of the meter's service; a decimal text, so that nothing is rounded."""

    kind: Literal["units"]
    value: Annotated[str, StringConstraints(max_length=24), Field(examples=["25.6"])]
    unit: Unit

    def units(self) -> Units:
        """Raises MalformedAmount, AmountNotPositive, AmountTooLarge."""
        return Units.parse(self.value, self.unit)


# Currency for currency meters will join as a second member, told apart by `kind`.
AmountAsked = UnitsAsked


class RechargeAsked(Asked):
    """A sale: to which meter, and exactly one of `amount` and `tokens`."""

    id: Annotated[
        Ident | None,
        Field(description="Your id of the sale; the same again is the same sale."),
    ] = None
    meter: Annotated[str, StringConstraints(max_length=32), Field(examples=["01000000008"])]
    amount: Annotated[
        AmountAsked | None, Field(description="Units to sell; we make the token.")
    ] = None
    tokens: Annotated[
        Sequence[Annotated[str, StringConstraints(max_length=32)]],
        Field(
            max_length=MAX_TOKENS,
            description="Tokens made elsewhere, 20 digits each, in the order of entry.",
        ),
    ] = ()
    reference: Annotated[Text | None, Field(description="Your own reference.")] = None
    sales_point: Annotated[Name | None, Field(description="Decides when digits are shown.")] = None
    fallback: Annotated[
        Sequence[ContactForm],
        Field(max_length=MAX_CONTACTS, description="Who gets the digits if the wire fails."),
    ] = ()
    sale: Sale | None = None

    def order(self, tenant: TenantId, idempotency_key: str | None) -> RechargeOrder:
        """The order; raises OrderRefused for what cannot be one."""
        return RechargeOrder(
            tenant=tenant,
            id=self.id,
            idempotency_key=idempotency_key,
            drn=self.meter,
            amount=self.amount.units() if self.amount else None,
            tokens=_digits(self.tokens),
            reference=self.reference,
            sales_point=self.sales_point,
            fallback_to=tuple(contact.contact() for contact in self.fallback),
            sale=self.sale.kept() if self.sale else None,
        )


class ReversalAsked(Asked):
    """Why a sale is undone."""

    reason: Name


def _digits(tokens: Sequence[str]) -> tuple[str, ...]:
    """The digits of each token; raises MalformedToken, TokenKnown. Never shows them."""
    digits = tuple(parse_digits(text, field=f"tokens.{place}") for place, text in enumerate(tokens))
    for one in digits:
        purpose_of(one)
    if len(set(digits)) != len(digits):
        raise TokenKnown("the same token stands twice in this recharge", field="tokens")
    return digits
