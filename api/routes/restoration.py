"""Restoration on the wire: the times of a supply group, and the clock of a recharge."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field, StrictInt

from api.routes.contacts import ContactForm, contact_form
from api.routes.forms import Asked, Told, grows
from headend.deliveries import Delivery
from headend.messages import Receipt, SentMessage
from headend.recharges import Recharge
from headend.restoration import Choice, Ending, RestorationClock
from headend.supply_groups import (
    DEFAULT_AT_ONCE_BELOW,
    DEFAULT_LIMIT_S,
    DEFAULT_TELL_S,
    Restoration,
)
from headend.usage_points import ContactKind

DAY_S = 24 * 3600


class RestorationAsked(Asked):
    """When somebody is told that a home which paid is dark, and when that breaks the law."""

    tell_after_s: Annotated[
        StrictInt,
        Field(ge=60, le=DAY_S, description="The people in charge are told, if it is not lit."),
    ] = DEFAULT_TELL_S
    limit_after_s: Annotated[
        StrictInt, Field(ge=120, le=30 * DAY_S, description="The legal limit, from payment.")
    ] = DEFAULT_LIMIT_S
    contacts: Annotated[
        Sequence[ContactForm], Field(max_length=5, description="The people in charge.")
    ] = ()
    at_once_below_percent: Annotated[
        StrictInt,
        Field(ge=0, le=100, description="Digits go at once to meters that answer less often."),
    ] = DEFAULT_AT_ONCE_BELOW

    def restoration(self) -> Restoration:
        return Restoration(
            tell_after_s=self.tell_after_s,
            limit_after_s=self.limit_after_s,
            contacts=tuple(contact.contact() for contact in self.contacts),
            at_once_below_percent=self.at_once_below_percent,
        )


class RestorationTold(Told):
    """The times of restoration as they stand."""

    tell_after_s: int
    limit_after_s: int
    contacts: Sequence[ContactForm]
    at_once_below_percent: int

    @classmethod
    def of(cls, times: Restoration) -> "RestorationTold":
        return cls(
            tell_after_s=times.tell_after_s,
            limit_after_s=times.limit_after_s,
            contacts=[contact_form(contact) for contact in times.contacts],
            at_once_below_percent=times.at_once_below_percent,
        )


class ChoiceTold(Told):
    """Why the digits go out when they do."""

    choice: Annotated[Choice, grows(Choice)]
    chance_percent: Annotated[
        int | None, Field(description="How likely the meter answered at that hour, if known.")
    ]
    text: str

    @classmethod
    def of(cls, clock: RestorationClock) -> "ChoiceTold | None":
        if clock.choice is None:
            return None
        return cls(choice=clock.choice, chance_percent=clock.chance_percent, text=_why(clock))


class MessageTold(Told):
    """A message with digits that a provider took. Its receipt is no proof that anybody read it."""

    kind: Annotated[ContactKind, grows(ContactKind)]
    address: Annotated[str, Field(description="The end of it.")]
    provider: str
    sent_at: datetime
    receipt: Annotated[Receipt, grows(Receipt)]
    receipt_at: datetime | None

    @classmethod
    def of(cls, message: SentMessage) -> "MessageTold":
        return cls(
            kind=message.contact.kind,
            address=f"…{message.contact.address[-4:]}",
            provider=message.provider,
            sent_at=message.sent_at,
            receipt=message.receipt,
            receipt_at=message.receipt_at,
        )


class ClockTold(Told):
    """From payment to light. `lit_at` is null where light cannot be seen: `ended_by` says what is.

    `overdue`: not lit, and the time has passed at which the people in charge are told.
    """

    paid_at: datetime
    digits_due_at: datetime
    digits_at: datetime | None
    tell_at: datetime
    told_at: datetime | None
    limit_at: datetime
    limit_passed_at: datetime | None
    lit_at: datetime | None
    ended_at: datetime | None
    ended_by: Annotated[Ending, grows(Ending)] | None
    overdue: bool
    method: ChoiceTold | None

    @classmethod
    def of(
        cls,
        clock: RestorationClock | None,
        recharge: Recharge,
        delivery: Delivery | None,
        now: datetime,
    ) -> "ClockTold | None":
        if clock is None:
            return None
        end = clock.ending(recharge, delivery)
        return cls(
            paid_at=clock.paid_at,
            digits_due_at=clock.digits_due_at,
            digits_at=delivery.handed_at if delivery else None,
            tell_at=clock.tell_at,
            told_at=clock.told_at,
            limit_at=clock.limit_at,
            limit_passed_at=clock.limit_passed_at,
            lit_at=end[1] if end and end[0] is Ending.LIT else None,
            ended_at=end[1] if end else None,
            ended_by=end[0] if end else None,
            overdue=clock.late_at(recharge, delivery, now),
            method=ChoiceTold.of(clock),
        )


def _why(clock: RestorationClock) -> str:
    chance = "" if clock.chance_percent is None else f" It answers {clock.chance_percent} %."
    match clock.choice:
        case Choice.RARELY_ANSWERS:
            percent = clock.chance_percent
            return f"The meter answers {percent} % at this hour: digits at once, remote goes on."
        case Choice.SILENT:
            return "The meter has not answered lately: digits at once, remote goes on."
        case Choice.ONLY_BY_HAND:
            return "No wire takes tokens to this meter: the digits go to the customer."
        case Choice.NOBODY_TO_TELL:
            return f"Nobody can be given the digits; remote only.{chance}"
        case _:
            return f"Remote first, the digits if that takes too long.{chance}"
