"""Meters: what they are, where they answer, how their tokens are made; and orders to them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api.auth import Keeper, Reader, SupplyOrderer, requester_of, require_scopes
from api.documenting import Explained, Responses, explained
from api.head_end import Desks, HeadEnd
from api.problems import PreconditionRequired
from api.routes.deliveries import DeliveryTold
from api.routes.forms import PagesAsked, PageTold, drn_of_path
from api.routes.meter_body import (
    ClockAsked,
    MeterAsked,
    MeterPatch,
    MeterTold,
    SupplyAsked,
)
from api.routes.preconditions import IfMatch, mark, require_match
from api.routes.sts import Sgc
from api.stories import delivery_story
from headend import refusals
from headend.api_keys import Scope
from headend.deliveries import Delivery
from headend.meters import Drn, Meter
from headend.supply import SupplyAction

router = APIRouter(prefix="/v1", tags=["meters"])
DrnOfPath = Annotated[Drn, Depends(drn_of_path)]
FORM = (refusals.MalformedMeterNumber, refusals.WrongCheckDigit)
CONTENT = (
    refusals.UnknownProfile,
    refusals.UnknownBus,
    refusals.UnknownUsagePoint,
    refusals.MalformedOrder,
)
ORDER = (
    *FORM,
    refusals.UnknownMeter,
    refusals.CommandUnsupported,
    refusals.MeterNotInService,
    refusals.OrderDiffers,
)
# What an order that can do harm may meet besides.
DANGEROUS: tuple[Explained, ...] = (
    refusals.CapReached,
    refusals.ApprovalRequired,
    refusals.RequesterRequired,
    refusals.ApprovalEnded,
    refusals.KindHeld,
    refusals.UnknownPerson,
)
REPEATED: Responses = {200: {"model": DeliveryTold, "description": "Known: the same order"}}
_SCOPE = {SupplyAction.OPEN: Scope.DISCONNECT, SupplyAction.PERMIT_CLOSE: Scope.SUPPLY}


@router.post(
    "/meters",
    summary="Add a meter",
    status_code=201,
    responses=explained(*FORM, *CONTENT, refusals.MeterExists, body=True),
)
async def create_meter(
    body: MeterAsked, caller: Keeper, desks: Desks, response: Response
) -> MeterTold:
    meter = body.meter(caller.tenant, now=desks.clock.now())
    await _require_usage_point(desks, meter)
    added = await desks.writes.finish(desks.meters.add(meter))
    mark(response, added.version)
    response.headers["Location"] = f"/v1/meters/{added.drn}"
    return MeterTold.of(added)


@router.get("/meters/{drn}", summary="One meter", responses=explained(*FORM, refusals.UnknownMeter))
async def read_meter(drn: DrnOfPath, caller: Reader, desks: Desks, response: Response) -> MeterTold:
    meter = await desks.meters.find(caller.tenant, drn)
    mark(response, meter.version)
    return MeterTold.of(meter)


@router.patch(
    "/meters/{drn}",
    summary="Change a meter (merge patch)",
    responses=explained(
        *FORM,
        refusals.UnknownMeter,
        *CONTENT,
        refusals.VersionDiffers,
        PreconditionRequired,
        body=True,
    ),
)
async def change_meter(
    drn: DrnOfPath,
    body: MeterPatch,
    caller: Keeper,
    desks: Desks,
    response: Response,
    *,
    if_match: IfMatch = None,
) -> MeterTold:
    """What is left out stays, null takes away (RFC 7396). Needs If-Match with the ETag read."""
    meter = await desks.meters.find(caller.tenant, drn)
    require_match(if_match, meter.version)
    after = body.applied(meter)
    await _require_usage_point(desks, after)
    changed = await desks.writes.finish(desks.meters.change(after, was=meter.version))
    mark(response, changed.version)
    return MeterTold.of(changed)


@router.get("/meters", summary="Meters, by number", responses=explained(refusals.MalformedOrder))
async def list_meters(
    caller: Reader,
    desks: Desks,
    paging: PagesAsked,
    sgc: Annotated[Sgc | None, Query(description="Only those of this supply group.")] = None,
) -> PageTold[MeterTold]:
    async with desks.store.look() as tx:
        page = await tx.meters.page(caller.tenant, paging.cursor, sgc=sgc)
    return paging.told(page, [MeterTold.of(meter) for meter in page.items])


@router.post(
    "/meters/{drn}/supply",
    summary="Open supply, or permit the customer to close it",
    status_code=202,
    responses=explained(
        *ORDER,
        refusals.MalformedOrder,
        refusals.SupplyProtected,
        refusals.OutsideHours,
        *DANGEROUS,
        body=True,
        also=REPEATED,
    ),
)
async def order_supply(
    drn: DrnOfPath, body: SupplyAsked, caller: SupplyOrderer, desks: Desks, response: Response
) -> DeliveryTold:
    """`open` needs a key with the scope `disconnect`, `permit_close` one with `supply`.

    Above a cap it is not taken but waits for a second person: `approval-required`. Send it again,
    or look at the approval, to learn what came of it.
    """
    require_scopes(caller, _SCOPE[body.action])
    ordering = desks.commands.order_supply(
        caller.tenant,
        drn,
        ident=body.id,
        action=body.action,
        reason=body.reason,
        expires_at=body.expires_at,
        ordered_by=caller.id,
        requester=requester_of(caller, body.requested_by),
    )
    return await ordered(desks, response, *await desks.writes.finish(ordering))


@router.post(
    "/meters/{drn}/clock",
    summary="Set the meter's clock",
    status_code=202,
    responses=explained(*ORDER, body=True, also=REPEATED),
)
async def order_clock(
    drn: DrnOfPath, body: ClockAsked, caller: Keeper, desks: Desks, response: Response
) -> DeliveryTold:
    ordering = desks.commands.order_clock(caller.tenant, drn, ident=body.id, ordered_by=caller.id)
    return await ordered(desks, response, *await desks.writes.finish(ordering))


async def ordered(
    desks: HeadEnd, response: Response, delivery: Delivery, new: bool
) -> DeliveryTold:
    """The answer to an order: 202 for a new one, 200 for one that is known."""
    response.status_code = 202 if new else 200
    response.headers["Location"] = f"/v1/deliveries/{delivery.id}"
    return DeliveryTold.of(await delivery_story(desks.store, delivery.tenant, delivery.id))


async def _require_usage_point(desks: HeadEnd, meter: Meter) -> None:
    """A misspelt usage point would hide that its customer is protected."""
    if meter.usage_point is None:
        return
    async with desks.store.look() as tx:
        if await tx.usage_points.find(meter.tenant, meter.usage_point) is None:
            raise refusals.UnknownUsagePoint(
                f"no usage point {meter.usage_point}; make it first", field="usage_point"
            )
