"""What a back-office gets of a recharge: all of it for one, the main facts in a list."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field

from api.routes.deliveries import AttemptTold
from api.routes.evidence_answer import (
    EvidenceTold,
    FindingTold,
    evidence_told,
    findings_told,
)
from api.routes.forms import Told, grows
from api.routes.quantities import AmountTold, amount_told, milli_told
from api.routes.restoration import ClockTold, MessageTold
from api.routes.sts import StsTold
from api.routes.token_answer import ResultTold, TokenTold
from api.stories import RechargeStory
from headend.deliveries import Confirmation, DeliveryState, Fact
from headend.prospects import NextStep, Prospect, what_next
from headend.recharges import Json, Recharge, RechargeState
from headend.supply import DarkCause, SupplyProof, SupplyState
from headend.supply_groups import Reveal
from headend.usage_points import Contact, ContactKind


class ContactTold(Told):
    """Who gets the digits if the wire fails."""

    kind: Annotated[ContactKind, grows(ContactKind)]
    address: str

    @classmethod
    def of(cls, contact: Contact) -> "ContactTold":
        return cls(kind=contact.kind, address=contact.address)


class SupplyTold(Told):
    """Supply as it was last seen after the sale.

    `missing` (until supply returns) and `debt` are decimals in what the meter counts in; `proof` is
    `load` where voltage or current behind the contacts was seen.
    """

    state: Annotated[SupplyState, grows(SupplyState)]
    cause: Annotated[DarkCause, grows(DarkCause)] | None
    missing: str | None
    debt: str | None
    proof: Annotated[SupplyProof, grows(SupplyProof)] | None
    at: datetime | None

    @classmethod
    def of(cls, recharge: Recharge) -> "SupplyTold":
        return cls(
            state=recharge.supply,
            cause=recharge.dark_cause,
            missing=milli_told(recharge.missing_milli),
            debt=milli_told(recharge.debt_milli),
            proof=recharge.supply_proof,
            at=recharge.supply_at,
        )


class NextTold(Told):
    """What happens next, when (if that is known), and in words."""

    step: Annotated[NextStep, grows(NextStep)]
    at: datetime | None
    text: str

    @classmethod
    def of(cls, prospect: Prospect) -> "NextTold":
        return cls(step=prospect.kind, at=prospect.at, text=prospect.text)


class RechargeListed(Told):
    """The main facts of a recharge."""

    id: str
    meter: str
    state: Annotated[RechargeState, grows(RechargeState)]
    reference: str | None
    sales_point: str | None
    requested: AmountTold | None
    encoded: AmountTold | None
    taken: AmountTold | None
    supply: SupplyTold
    created_at: datetime
    issued_at: datetime | None
    reversed_at: datetime | None
    replaces: str | None
    replaced_by: str | None
    changed_at: datetime

    @classmethod
    def of(cls, recharge: Recharge) -> "RechargeListed":
        return cls(
            id=recharge.id,
            meter=recharge.drn,
            state=recharge.state,
            reference=recharge.order.reference,
            sales_point=recharge.order.sales_point,
            requested=amount_told(recharge.requested),
            encoded=amount_told(recharge.encoded),
            taken=amount_told(recharge.taken),
            supply=SupplyTold.of(recharge),
            created_at=recharge.created_at,
            issued_at=recharge.issued_at,
            reversed_at=recharge.reversed_at,
            replaces=recharge.replaces,
            replaced_by=recharge.replaced_by,
            changed_at=recharge.changed_at,
        )


class RechargeTold(RechargeListed):
    """All that is known of a recharge."""

    idempotency_key: str | None
    sts: StsTold
    tokens: Sequence[TokenTold]
    key_change: Annotated[
        Sequence[TokenTold],
        Field(description="The set of a key change by hand: to be entered before `tokens`."),
    ]
    reveal: Annotated[Reveal, grows(Reveal)]
    fallback: Sequence[ContactTold]
    sale: Mapping[str, object] | None
    delivery: str | None
    delivery_state: Annotated[DeliveryState, grows(DeliveryState)] | None
    attempts: Sequence[AttemptTold]
    evidence: Sequence[EvidenceTold]
    findings: Sequence[FindingTold]
    result: ResultTold | None
    stopped_by: Annotated[Fact, grows(Fact)] | None
    confirmed_by: Annotated[Confirmation, grows(Confirmation)] | None
    confirmed_at: datetime | None
    handed_at: datetime | None
    fallback_at: datetime | None
    deadline: datetime | None
    reversal_reason: str | None
    messages: Sequence[MessageTold]
    restoration: ClockTold | None
    next: NextTold

    @classmethod
    def of_story(
        cls, story: RechargeStory, *, now: datetime, shown: bool = False
    ) -> "RechargeTold":
        """`shown`: with the digits, which policy and scope allow."""
        recharge, delivery = story.recharge, story.delivery
        return cls(
            **dict(RechargeListed.of(recharge)),
            idempotency_key=recharge.order.idempotency_key,
            sts=StsTold.of(recharge.sts),
            tokens=[TokenTold.of(token, shown=shown) for token in story.tokens],
            key_change=[TokenTold.of(token, shown=shown) for token in story.change_tokens],
            reveal=recharge.reveal,
            fallback=[ContactTold.of(contact) for contact in recharge.order.fallback_to],
            sale=_sale(recharge.order.sale),
            delivery=delivery.id if delivery else None,
            delivery_state=delivery.state if delivery else None,
            attempts=[AttemptTold.of(attempt) for attempt in story.attempts],
            evidence=evidence_told(delivery, story.evidence),
            findings=findings_told(delivery, story.tokens, story.evidence),
            result=ResultTold.of(delivery.result if delivery else None),
            stopped_by=delivery.stopped_by if delivery else None,
            confirmed_by=delivery.confirmed_by if delivery else None,
            confirmed_at=delivery.confirmed_at if delivery else None,
            handed_at=delivery.handed_at if delivery else None,
            fallback_at=delivery.fallback_at if delivery else None,
            deadline=delivery.deadline if delivery else None,
            reversal_reason=recharge.reversal_reason,
            messages=[MessageTold.of(message) for message in story.messages],
            restoration=ClockTold.of(story.clock, recharge, delivery, now),
            next=NextTold.of(what_next(recharge, delivery, now, change=story.change)),
        )


def _sale(sale: Mapping[str, Json] | None) -> Mapping[str, object] | None:
    return dict(sale) if sale is not None else None
