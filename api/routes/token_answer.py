"""Tokens as they are told: masked, with digits only where they were asked for and may be shown."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from api.routes.forms import Told, grows
from api.routes.quantities import AmountTold, amount_told
from headend.deliveries import Delivery
from headend.key_desk import Verified
from headend.tokens import (
    Token,
    TokenContents,
    TokenPurpose,
    TokenResult,
    TokenState,
    mask,
    parse_digits,
)
from headend.vending_keys import KeyMark

# 20 digits above 66 bits: no token, wherever it is typed.
FAKE_DIGITS = "99999999999999999999"
FAKE_MASKED = mask(FAKE_DIGITS)


class ResultTold(Told):
    """A token result of the meter: number of the token status register (IEC 62055-52), and name."""

    number: int
    name: Annotated[str, grows(TokenResult)]

    @classmethod
    def of(cls, result: TokenResult | None) -> "ResultTold | None":
        return cls(number=int(result), name=result.name.lower()) if result is not None else None


class TokenTold(Told):
    """One token. `digits` only where they were asked for and may be shown.

    `mark` is that of the vending key it was made under; null for meter tests and displays, and for
    tokens that the back-office brought.
    """

    sequence: int
    purpose: Annotated[TokenPurpose, grows(TokenPurpose)]
    mark: Annotated[KeyMark, grows(KeyMark)] | None
    masked: Annotated[str, Field(examples=[FAKE_MASKED])]
    digits: Annotated[str | None, Field(examples=[FAKE_DIGITS])] = None
    state: Annotated[TokenState, grows(TokenState)]
    result: ResultTold | None
    taken_at: datetime | None

    @classmethod
    def of(cls, token: Token, *, shown: bool) -> "TokenTold":
        return cls(
            sequence=token.sequence,
            purpose=token.purpose,
            mark=token.mark,
            masked=token.masked,
            digits=token.digits if shown else None,
            state=token.state,
            result=ResultTold.of(token.result),
            taken_at=token.taken_at,
        )


class ContentsTold(Told):
    """What 20 digits say under the key of a meter; `problem` is why it would refuse them.

    `mark` is that of the key that opened them; null where none did.
    """

    token_class: int
    subclass: int | None
    purpose: Annotated[TokenPurpose, grows(TokenPurpose)]
    text: str
    tid: int | None
    moment: Annotated[datetime | None, Field(description="The minute of the TID.")]
    amount: AmountTold | None
    mark: Annotated[KeyMark, grows(KeyMark)] | None
    problem: str | None

    @classmethod
    def of(cls, contents: TokenContents) -> "ContentsTold":
        return cls(
            token_class=contents.token_class,
            subclass=contents.subclass,
            purpose=contents.purpose,
            text=contents.text,
            tid=contents.tid,
            moment=contents.moment,
            amount=amount_told(contents.amount),
            mark=contents.mark,
            problem=contents.problem,
        )


class OriginTold(Told):
    """Where a token of ours belongs."""

    delivery: str
    recharge: str | None
    token: TokenTold

    @classmethod
    def of(cls, token: Token, delivery: Delivery) -> "OriginTold":
        return cls(
            delivery=delivery.id,
            recharge=delivery.recharge_id,
            token=TokenTold.of(token, shown=False),
        )


class VerifiedTold(Told):
    """Whose a token is and what it says. `ours` is null for one that was not made here."""

    meter: str
    masked: Annotated[str, Field(examples=[FAKE_MASKED])]
    contents: ContentsTold
    ours: OriginTold | None

    @classmethod
    def of(cls, verified: Verified, *, meter: str, digits: str) -> "VerifiedTold":
        token, delivery = verified.ours, verified.delivery
        return cls(
            meter=meter,
            masked=mask(parse_digits(digits)),
            contents=ContentsTold.of(verified.contents),
            ours=OriginTold.of(token, delivery) if token and delivery else None,
        )
