"""The work list: what only people can settle, what is known of it, and the ways to close it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from api.auth import Orderer, Reader, Seller
from api.documenting import explained
from api.head_end import Desks
from api.routes.deliveries import CommandTold, DeliveryTold, require_ordering_scope
from api.routes.evidence_answer import (
    EvidenceTold,
    FindingTold,
    evidence_told,
    findings_told,
)
from api.routes.forms import Asked, IdentPath, Name, PagesAsked, PageTold, Text, Told, grows
from api.routes.token_answer import ResultTold
from api.stories import delivery_story
from headend import refusals
from headend.deliveries import DeliveryState
from headend.worklist import Way, Work, WorkCause

router = APIRouter(prefix="/v1", tags=["work list"])


class WorkTold(Told):
    """One piece of work. `delivery` names it in the actions; `ways` are those that are open now.

    `ask_again`: POST /v1/deliveries/{delivery}/inquiry; `reverse`: POST /v1/recharges/{recharge}/
    reversal; `confirm_change` and `withdraw_change` (of a key change): POST
    /v1/deliveries/{delivery}/confirmation and /withdrawal; the others: POST
    /v1/worklist/{delivery}/taken, not-taken, withdrawn, booked.
    """

    delivery: str
    recharge: str | None
    meter: str
    reference: str | None
    command: CommandTold
    state: Annotated[DeliveryState, grows(DeliveryState)]
    cause: Annotated[WorkCause, grows(WorkCause)]
    result: ResultTold | None
    since: datetime
    age_s: int
    findings: Sequence[FindingTold]
    evidence: Sequence[EvidenceTold]
    ways: Sequence[Annotated[Way, grows(Way)]]

    @classmethod
    def of(cls, work: Work, *, now: datetime) -> "WorkTold":
        delivery, recharge = work.delivery, work.recharge
        return cls(
            delivery=delivery.id,
            recharge=delivery.recharge_id,
            meter=delivery.drn,
            reference=recharge.order.reference if recharge else None,
            command=CommandTold.of(delivery.command),
            state=delivery.state,
            cause=work.cause,
            result=ResultTold.of(delivery.result),
            since=work.since,
            age_s=int((now - work.since).total_seconds()),
            findings=findings_told(delivery, work.tokens, work.evidence),
            evidence=evidence_told(delivery, work.evidence),
            ways=work.ways(now),
        )


class WordAsked(Asked):
    """What a person has seen or done."""

    seen_by: Annotated[Name, Field(description="Who it was.", examples=["K. Otieno"])]
    note: Annotated[Text, Field(description="Whatever helps later.")] = ""


_SAID = explained(
    refusals.UnknownDelivery,
    refusals.NotOnTheWorkList,
    refusals.MeterSaysOtherwise,
    refusals.TooMuchSaid,
    body=True,
)


@router.get(
    "/worklist",
    summary="What waits for people, oldest first",
    responses=explained(refusals.MalformedOrder),
)
async def list_work(caller: Reader, desks: Desks, paging: PagesAsked) -> PageTold[WorkTold]:
    """Tokens and orders whose outcome cannot be told, sales that never reached a meter, and credits
    that came after their sale was reversed.
    """
    page = await desks.worklist.page(caller.tenant, paging.cursor)
    now = desks.clock.now()
    return paging.told(page, [WorkTold.of(work, now=now) for work in page.items])


@router.post("/worklist/{id}/taken", summary="Say that the meter took it", responses=_SAID)
async def say_taken(id: IdentPath, body: WordAsked, caller: Orderer, desks: Desks) -> DeliveryTold:
    """A person read the meter's display or log, or saw that an order was carried out. Kept as a
    person's word (`confirmed_by: person`); refused where the meter itself has refused the token.
    Needs the scope that ordered it.
    """
    await require_ordering_scope(desks, caller, id)
    by = f"{body.seen_by} (key {caller.id})"
    saying = desks.worklist.say_taken(caller.tenant, id, by=by, note=body.note)
    await desks.writes.finish(saying)
    return DeliveryTold.of(await delivery_story(desks.store, caller.tenant, id))


@router.post("/worklist/{id}/not-taken", summary="Say that it did not take it", responses=_SAID)
async def say_not_taken(
    id: IdentPath, body: WordAsked, caller: Orderer, desks: Desks
) -> DeliveryTold:
    """The digits stay valid: the same go to the customer once more, and remote goes on. No other
    token is made. An order of supply, clock or credit parameters is closed; nothing is sent again.
    Needs the scope that ordered it.
    """
    await require_ordering_scope(desks, caller, id)
    by = f"{body.seen_by} (key {caller.id})"
    saying = desks.worklist.say_not_taken(caller.tenant, id, by=by, note=body.note)
    await desks.writes.finish(saying)
    return DeliveryTold.of(await delivery_story(desks.store, caller.tenant, id))


@router.post(
    "/worklist/{id}/withdrawn",
    summary="Say that nobody wants the order any more",
    responses=explained(
        refusals.UnknownDelivery, refusals.NotOnTheWorkList, refusals.TooMuchSaid, body=True
    ),
)
async def say_withdrawn(
    id: IdentPath, body: WordAsked, caller: Orderer, desks: Desks
) -> DeliveryTold:
    """For an order of supply, clock or credit parameters whose outcome is in doubt: it is closed,
    whatever became of it, and never sent again. Needs the scope that ordered it.
    """
    await require_ordering_scope(desks, caller, id)
    by = f"{body.seen_by} (key {caller.id})"
    await desks.writes.finish(desks.worklist.withdraw(caller.tenant, id, by=by, note=body.note))
    return DeliveryTold.of(await delivery_story(desks.store, caller.tenant, id))


@router.post("/worklist/{id}/booked", summary="Say that the books are right", responses=_SAID)
async def say_booked(id: IdentPath, body: WordAsked, caller: Seller, desks: Desks) -> DeliveryTold:
    """For a credit that came in after its sale was reversed: it leaves the list."""
    by = f"{body.seen_by} (key {caller.id})"
    await desks.writes.finish(desks.worklist.book(caller.tenant, id, by=by, note=body.note))
    return DeliveryTold.of(await delivery_story(desks.store, caller.tenant, id))
