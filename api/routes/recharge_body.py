"""What a back-office sends to sell credit."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StringConstraints

from api.routes.contacts import ContactForm
from api.routes.forms import Asked, Ident, Name, Text
from api.routes.quantities import AmountAsked
from api.routes.sale import Sale
from headend.meters import TenantId
from headend.recharges import RechargeOrder
from headend.refusals import TokenKnown
from headend.tokens import parse_digits, purpose_of

MAX_TOKENS = 50
MAX_CONTACTS = 5


class RechargeAsked(Asked):
    """A sale: to which meter, and exactly one of `amount` and `tokens`."""

    id: Annotated[
        Ident | None,
        Field(description="Your id of the sale; the same again is the same sale."),
    ] = None
    meter: Annotated[str, StringConstraints(max_length=32), Field(examples=["01000000008"])]
    amount: Annotated[
        AmountAsked | None, Field(description="Units or money to sell; we make the token.")
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
            amount=self.amount.amount() if self.amount else None,
            tokens=_digits(self.tokens),
            reference=self.reference,
            sales_point=self.sales_point,
            fallback_to=tuple(contact.contact() for contact in self.fallback),
            sale=self.sale.kept() if self.sale else None,
        )


class ReversalAsked(Asked):
    """Why a sale is undone."""

    reason: Name


class ReplacementAsked(Asked):
    """The recharge to make for one whose token died with the meter's old key."""

    id: Annotated[Ident, Field(description="Your id of the new recharge; the same again is it.")]


def _digits(tokens: Sequence[str]) -> tuple[str, ...]:
    """The digits of each token; raises MalformedToken, TokenKnown. Never shows them."""
    digits = tuple(parse_digits(text, field=f"tokens.{place}") for place, text in enumerate(tokens))
    for one in digits:
        purpose_of(one)
    if len(set(digits)) != len(digits):
        raise TokenKnown("the same token stands twice in this recharge", field="tokens")
    return digits
