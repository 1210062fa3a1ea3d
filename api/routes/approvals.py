"""Approvals: dangerous orders that wait for a second, named human."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from api.auth import Approver, Onlooker
from api.documenting import explained
from api.head_end import Desks
from api.routes.deliveries import CommandTold
from api.routes.forms import Asked, IdentPath, Name, PagesAsked, PageTold, Told, grows
from headend import refusals
from headend.approvals import Approval, ApprovalState, ApprovalSubject
from headend.dangers import Caps, Danger

router = APIRouter(prefix="/v1", tags=["limits on harm"])


class CapsTold(Told):
    """How many orders of a kind go without a second person, and when the kind is held."""

    per_key_hour: int
    per_key_day: int
    per_group_hour: int
    per_group_day: int
    approve_always: bool
    hold_percent: int
    hold_samples: int

    @classmethod
    def of(cls, caps: Caps) -> "CapsTold":
        return cls(
            per_key_hour=caps.per_key_hour,
            per_key_day=caps.per_key_day,
            per_group_hour=caps.per_group_hour,
            per_group_day=caps.per_group_day,
            approve_always=caps.approve_always,
            hold_percent=caps.hold_percent,
            hold_samples=caps.hold_samples,
        )


class ApprovalTold(Told):
    """What waits for a second person, or waited; `failed`: approved, and then itself refused.

    `order` is the id of the order or job. `command` belongs to orders, `caps` to changes of caps.
    """

    id: str
    subject: Annotated[ApprovalSubject, grows(ApprovalSubject)]
    order: str
    kind: Annotated[Danger, grows(Danger)]
    meter: str | None
    sgc: str | None
    command: CommandTold | None
    caps: CapsTold | None
    ordered_by: Annotated[str | None, Field(description="Id of the API key that ordered it.")]
    requested_by: Annotated[
        Sequence[str], Field(description="Ids of the people who may not approve it.")
    ]
    reason: Annotated[str, Field(description="Why a second person is needed.")]
    state: Annotated[ApprovalState, grows(ApprovalState)]
    created_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    detail: str

    @classmethod
    def of(cls, approval: Approval) -> "ApprovalTold":
        return cls(
            id=approval.id,
            subject=approval.subject,
            order=approval.order_id,
            kind=approval.danger,
            meter=approval.drn,
            sgc=approval.sgc,
            command=CommandTold.of(approval.command) if approval.command else None,
            caps=CapsTold.of(approval.caps) if approval.caps else None,
            ordered_by=approval.ordered_by,
            requested_by=sorted(approval.requesters),
            reason=approval.reason,
            state=approval.state,
            created_at=approval.created_at,
            expires_at=approval.expires_at,
            decided_by=approval.decided_by,
            decided_at=approval.decided_at,
            detail=approval.detail,
        )


class RefusalAsked(Asked):
    """Why it is refused."""

    reason: Name


@router.get(
    "/approvals", summary="Approvals, newest first", responses=explained(refusals.MalformedOrder)
)
async def list_approvals(
    tenant: Onlooker,
    desks: Desks,
    paging: PagesAsked,
    state: Annotated[ApprovalState | None, Query(description="Only those in this state.")] = None,
) -> PageTold[ApprovalTold]:
    async with desks.store.look() as tx:
        page = await tx.approvals.page(tenant, paging.cursor, state=state)
    now = desks.clock.now()
    return paging.told(page, [ApprovalTold.of(one.at(now)) for one in page.items])


@router.get(
    "/approvals/{id}", summary="One approval", responses=explained(refusals.UnknownApproval)
)
async def read_approval(id: IdentPath, tenant: Onlooker, desks: Desks) -> ApprovalTold:
    async with desks.store.look() as tx:
        found = await tx.approvals.find(tenant, id)
    if found is None:
        raise refusals.UnknownApproval(f"no approval {id}", field="id")
    return ApprovalTold.of(found.at(desks.clock.now()))


@router.post(
    "/approvals/{id}/approval",
    summary="Approve, and have it carried out",
    responses=explained(
        refusals.UnknownApproval, refusals.SamePerson, refusals.ApprovalEnded, body=True
    ),
)
async def approve(id: IdentPath, person: Approver, desks: Desks) -> ApprovalTold:
    """By the personal token of somebody else than those it was ordered for; never by an API key.

    `approved` in the answer: it could not be carried out yet, and will be tried again.
    """
    approving = desks.approvals.approve(person.tenant, id, person)
    return ApprovalTold.of(await desks.writes.finish(approving))


@router.post(
    "/approvals/{id}/refusal",
    summary="Refuse for good",
    responses=explained(refusals.UnknownApproval, refusals.ApprovalEnded, body=True),
)
async def refuse(id: IdentPath, body: RefusalAsked, person: Approver, desks: Desks) -> ApprovalTold:
    """Whoever it was ordered for may take it back in this way too."""
    refusing = desks.approvals.refuse(person.tenant, id, person, reason=body.reason)
    return ApprovalTold.of(await desks.writes.finish(refusing))
