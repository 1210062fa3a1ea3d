"""Credit parameters as callers name them, in a body of their own or in the line of a job."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field, StrictInt, StringConstraints

from api.routes.forms import Asked
from headend.credit_parameters import CreditParameters

MAX_W = 0xFFFF_FFFF
Text = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{1,15}(\.[0-9]{1,5})?$"), Field(examples=["20"])
]


class ParametersNamed(Asked):
    """Credit parameters as a body or the line of a job names them."""

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


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
