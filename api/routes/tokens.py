"""Tokens: what 20 digits that somebody brings are."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from api.auth import Engineer
from api.documenting import explained
from api.head_end import Desks
from api.problems import ModuleUnreachable
from api.routes.forms import Asked
from api.routes.token_answer import FAKE_DIGITS, VerifiedTold
from headend import refusals
from headend.meters import parse_drn

router = APIRouter(prefix="/v1", tags=["tokens"])


class VerifyAsked(Asked):
    """A token, and the meter that it is meant for."""

    meter: Annotated[str, StringConstraints(max_length=32), Field(examples=["01000000008"])]
    token: Annotated[
        str,
        StringConstraints(max_length=32),
        Field(description="20 digits, blanks are fine.", examples=[FAKE_DIGITS]),
    ]


@router.post(
    "/tokens/verify",
    summary="Whose a token is, and what it says",
    responses=explained(
        refusals.MalformedMeterNumber,
        refusals.WrongCheckDigit,
        refusals.UnknownMeter,
        refusals.MalformedToken,
        refusals.NoVendingKey,
        refusals.TooManyGuesses,
        refusals.OrderRefused,
        ModuleUnreachable,
        body=True,
    ),
)
async def verify_token(body: VerifyAsked, caller: Engineer, desks: Desks) -> VerifiedTold:
    """Read under the meter's present key; nothing is stored or sent. Tokens that are not ours are
    counted: some hundred an hour for a key.
    """
    drn = parse_drn(body.meter)
    verified = await desks.keys.verify(caller.tenant, drn, body.token, by=caller.id)
    return VerifiedTold.of(verified, meter=drn, digits=body.token)
