"""Orders of credit parameters and power limits."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from api.auth import Engineer, requester_of
from api.documenting import explained
from api.head_end import Desks
from api.routes.credit_parameters_body import ParametersNamed
from api.routes.deliveries import DeliveryTold
from api.routes.forms import Ident, RequestedBy
from api.routes.meters import DANGEROUS, ORDER, REPEATED, DrnOfPath, ordered
from headend import refusals

router = APIRouter(prefix="/v1", tags=["meters"])


class CreditParametersAsked(ParametersNamed):
    """Credit parameters to be set; those that are left out stay as the meter has them.

    Amounts are decimal texts in `unit`. A supply that went off for credit comes back from
    `reconnect_credit` on (0: from any credit on). A power limit goes in an order of its own; 0
    takes it away.
    """

    id: Annotated[Ident, Field(description="Your id of the order; the same again is the same.")]
    requested_by: RequestedBy = None


@router.post(
    "/meters/{drn}/credit-parameters",
    summary="Set credit parameters or a power limit",
    status_code=202,
    responses=explained(
        *ORDER,
        refusals.MalformedOrder,
        refusals.WrongUnit,
        *DANGEROUS,
        body=True,
        also=REPEATED,
    ),
)
async def order_credit_parameters(
    drn: DrnOfPath, body: CreditParametersAsked, caller: Engineer, desks: Desks, response: Response
) -> DeliveryTold:
    """The meter is written to and read back; it is `done` when it keeps what was ordered. Above a
    cap it waits for a second person: `approval-required`. Worthless after 24 hours.
    """
    ordering = desks.commands.order_parameters(
        caller.tenant,
        drn,
        body.change(),
        ident=body.id,
        ordered_by=caller.id,
        requester=requester_of(caller, body.requested_by),
    )
    return await ordered(desks, response, *await desks.writes.finish(ordering))
