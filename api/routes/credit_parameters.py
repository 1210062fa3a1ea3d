"""Orders of credit parameters and power limits."""

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field, StrictInt, StringConstraints

from api.auth import Engineer, requester_of
from api.documenting import explained
from api.head_end import Desks
from api.routes.deliveries import DeliveryTold
from api.routes.forms import Asked, Ident, RequestedBy
from api.routes.meters import DANGEROUS, ORDER, REPEATED, DrnOfPath, ordered
from headend import refusals
from headend.credit_parameters import CreditParameters

router = APIRouter(prefix="/v1", tags=["meters"])
MAX_W = 0xFFFF_FFFF
Text = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{1,15}(\.[0-9]{1,5})?$"), Field(examples=["20"])
]


class CreditParametersAsked(Asked):
    """Credit parameters to be set; those that are left out stay as the meter has them.

    Amounts are decimal texts in `unit`. A supply that went off for credit comes back from
    `reconnect_credit` on (0: from any credit on). A power limit goes in an order of its own; 0
    takes it away.
    """

    id: Annotated[Ident, Field(description="Your id of the order; the same again is the same.")]
    unit: (
        Annotated[
            str,
            StringConstraints(pattern=r"^[A-Za-z0-9]{1,8}$"),
            Field(
                description="What the meter counts in: kWh, m3, min, or an ISO 4217 code.",
                examples=["kWh"],
            ),
        ]
        | None
    ) = None
    low_credit_1: Text | None = None
    low_credit_2: Text | None = None
    emergency_credit: Text | None = None
    maximum_credit: Text | None = None
    overdraft: Text | None = None
    reconnect_credit: Text | None = None
    power_limit_w: Annotated[StrictInt, Field(ge=0, le=MAX_W, examples=[6000])] | None = None
    requested_by: RequestedBy = None

    def change(self) -> CreditParameters:
        return CreditParameters(
            unit=self.unit,
            low_credit_1=_amount(self.low_credit_1),
            low_credit_2=_amount(self.low_credit_2),
            emergency_credit=_amount(self.emergency_credit),
            maximum_credit=_amount(self.maximum_credit),
            overdraft=_amount(self.overdraft),
            reconnect_credit=_amount(self.reconnect_credit),
            power_limit_w=self.power_limit_w,
        )


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


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
