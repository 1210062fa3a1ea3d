"""Holds: kinds of dangerous orders that are stopped in a supply group until a person lifts them."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter

from api.auth import Approver, Onlooker
from api.documenting import explained
from api.head_end import Desks
from api.routes.forms import Asked, IdentPath, Name, PagesAsked, PageTold, Told, grows
from headend import refusals
from headend.dangers import Danger
from headend.holds import Hold

router = APIRouter(prefix="/v1", tags=["limits on harm"])


class HoldTold(Told):
    """Why a kind is held, since when, and who lifted it; in force while `lifted_at` is null."""

    id: str
    kind: Annotated[Danger, grows(Danger)]
    sgc: str
    reason: str
    since: datetime
    lifted_at: datetime | None
    lifted_by: str | None
    lift_reason: str

    @classmethod
    def of(cls, hold: Hold) -> "HoldTold":
        return cls(
            id=hold.id,
            kind=hold.danger,
            sgc=hold.sgc,
            reason=hold.reason,
            since=hold.since,
            lifted_at=hold.lifted_at,
            lifted_by=hold.lifted_by,
            lift_reason=hold.lift_reason,
        )


class LiftAsked(Asked):
    """Why a hold is lifted."""

    reason: Name


@router.get("/holds", summary="Holds, newest first", responses=explained(refusals.MalformedOrder))
async def list_holds(tenant: Onlooker, desks: Desks, paging: PagesAsked) -> PageTold[HoldTold]:
    """New orders of a held kind are refused, openings that wait are kept back; credit never is."""
    async with desks.store.look() as tx:
        page = await tx.holds.page(tenant, paging.cursor)
    return paging.told(page, [HoldTold.of(hold) for hold in page.items])


@router.post(
    "/holds/{id}/lift",
    summary="Lift a hold",
    responses=explained(refusals.UnknownHold, body=True),
)
async def lift_hold(id: IdentPath, body: LiftAsked, person: Approver, desks: Desks) -> HoldTold:
    """By a named person. Failures before now count no more."""
    lifting = desks.caps.lift(person.tenant, id, person=person, reason=body.reason)
    return HoldTold.of(await desks.writes.finish(lifting))
