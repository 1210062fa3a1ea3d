"""Orders of keys and engineering tokens: key changes, and management tokens for one meter."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field, StrictBool, StrictInt

from api.auth import Engineer, KeyKeeper, requester_of
from api.documenting import Explained, Responses, explained
from api.head_end import Desks, HeadEnd
from api.problems import ModuleUnreachable
from api.routes.deliveries import DeliveryTold
from api.routes.forms import Asked, Ident, RequestedBy
from api.routes.meters import DANGEROUS, FORM, DrnOfPath
from api.routes.sts import StsForm
from api.stories import delivery_story
from headend import refusals
from headend.deliveries import Delivery
from headend.tokens import ManagementKind, ManagementOrder

router = APIRouter(prefix="/v1", tags=["keys and engineering"])
# Wider than any field of a token: the field's own bounds are told by the order's refusal.
MAX_VALUE = 2**31
ORDER: tuple[Explained, ...] = (
    *FORM,
    refusals.UnknownMeter,
    refusals.MeterNotInService,
    refusals.NoDeliveryMethod,
    refusals.MalformedOrder,
    refusals.NoVendingKey,
    refusals.KeyExpired,
    refusals.KeyChangePending,
    refusals.KeyChangeUnconfirmed,
    refusals.OrderDiffers,
    *DANGEROUS,
    refusals.OrderRefused,
    ModuleUnreachable,
)
REPEATED: Responses = {200: {"model": DeliveryTold, "description": "Known: the same order"}}
OrderId = Annotated[Ident, Field(description="Your id of the order; the same again is the same.")]


class KeyChangeAsked(Asked):
    """A key change: the key that the meter shall hold."""

    id: OrderId
    to: StsForm
    three_kct: Annotated[
        StrictBool, Field(description="With EA 7: carry the supply group in a third token.")
    ] = False
    requested_by: RequestedBy = None


class EngineeringAsked(Asked):
    """One management or test token.

    `value`: watts for limits, the register of `clear_credit` (65535 for all), raw bits of a rate or
    factor, 0 or 1 of a flag, the number of a test; `index`: which flag or control is set, or which
    control is read back. `read_flag` takes no numbers: no public text says where they would stand.
    """

    id: OrderId
    kind: ManagementKind
    value: Annotated[StrictInt, Field(ge=0, le=MAX_VALUE)] | None = None
    index: Annotated[StrictInt, Field(ge=0, le=MAX_VALUE)] | None = None
    requested_by: RequestedBy = None

    def order(self) -> ManagementOrder:
        return ManagementOrder(self.kind, value=self.value, index=self.index)


@router.post(
    "/meters/{drn}/key-changes",
    summary="Change the key of a meter",
    status_code=201,
    responses=explained(*ORDER, refusals.SameKey, body=True, also=REPEATED),
)
async def order_key_change(
    drn: DrnOfPath, body: KeyChangeAsked, caller: KeyKeeper, desks: Desks, response: Response
) -> DeliveryTold:
    """The whole set is one delivery. Credit that is out goes first; credit sold from now on is made
    under the new key, by remote once the meter has proved it. Above a cap nothing is made before a
    second person has approved it: `approval-required`.
    """
    ordering = desks.keys.order_change(
        caller.tenant,
        drn,
        body.to.configuration(),
        ident=body.id,
        ordered_by=caller.id,
        requester=requester_of(caller, body.requested_by),
        three_kct=body.three_kct,
    )
    return await _ordered(desks, response, *await desks.writes.finish(ordering))


@router.post(
    "/meters/{drn}/engineering",
    summary="Make a management or test token and deliver it",
    status_code=201,
    responses=explained(*ORDER, body=True, also=REPEATED),
)
async def order_engineering(
    drn: DrnOfPath, body: EngineeringAsked, caller: Engineer, desks: Desks, response: Response
) -> DeliveryTold:
    """Above a cap nothing is made before a second person has approved it: `approval-required`."""
    ordering = desks.keys.order_management(
        caller.tenant,
        drn,
        body.order(),
        ident=body.id,
        ordered_by=caller.id,
        requester=requester_of(caller, body.requested_by),
    )
    return await _ordered(desks, response, *await desks.writes.finish(ordering))


async def _ordered(
    desks: HeadEnd, response: Response, delivery: Delivery, new: bool
) -> DeliveryTold:
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/v1/deliveries/{delivery.id}"
    return DeliveryTold.of(await delivery_story(desks.store, delivery.tenant, delivery.id))
