"""Events: what meters report as abnormal."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from api.auth import Reader
from api.documenting import explained
from api.head_end import Desks
from api.routes.forms import PagesAsked, PageTold, Told, grows
from api.routes.meters import FORM, DrnOfPath
from headend import refusals
from headend.events import EventType, MeterEvent, Severity

router = APIRouter(prefix="/v1", tags=["events"])


class EventTold(Told):
    """One event. `code` is 256 times its group plus its number; `argument` is the meter's own.

    `raw_code` is the meter's own code where its model has another one than ours.
    """

    code: int
    type: Annotated[str, Field(description="Name of the code, or `unknown`."), grows(EventType)]
    severity: Annotated[Severity, grows(Severity)]
    number: int
    argument: int | None
    raw_code: int | None
    taken_at: datetime
    received_at: datetime

    @classmethod
    def of(cls, event: MeterEvent) -> "EventTold":
        known = event.type
        return cls(
            code=event.code,
            type=known.name.lower() if known else "unknown",
            severity=known.severity if known else Severity.INFO,
            number=event.number,
            argument=event.argument,
            raw_code=event.raw_code,
            taken_at=event.taken_at,
            received_at=event.received_at,
        )


@router.get(
    "/meters/{drn}/events",
    summary="Events of a meter, newest first",
    responses=explained(*FORM, refusals.UnknownMeter, refusals.MalformedOrder),
)
async def list_events(
    drn: DrnOfPath,
    caller: Reader,
    desks: Desks,
    paging: PagesAsked,
) -> PageTold[EventTold]:
    await desks.meters.find(caller.tenant, drn)
    async with desks.store.look() as tx:
        page = await tx.events.page(caller.tenant, drn, paging.cursor)
    return paging.told(page, [EventTold.of(event) for event in page.items])
