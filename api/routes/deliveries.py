"""Deliveries: one command on its way to one meter, and every try of it."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum, unique
from typing import Annotated

from fastapi import APIRouter

from api.auth import Reader
from api.documenting import explained
from api.head_end import Desks
from api.routes.forms import IdentPath, Told, grows
from api.stories import delivery_story
from headend.commands import Command, EnterToken, SetClock, SetSupply
from headend.deliveries import Attempt, Confirmation, Delivery, DeliveryMethod, DeliveryState, Fact
from headend.refusals import UnknownDelivery
from headend.supply import SupplyAction, SupplyReason
from headend.tokens import TokenResult

router = APIRouter(prefix="/v1", tags=["deliveries"])


@unique
class CommandKind(StrEnum):
    """What a meter can be asked."""

    ENTER_TOKEN = "enter_token"
    SET_SUPPLY = "set_supply"
    SET_CLOCK = "set_clock"


class ResultTold(Told):
    """A token result of the meter: number of the token status register (IEC 62055-52), and name."""

    number: int
    name: Annotated[str, grows(TokenResult)]

    @classmethod
    def of(cls, result: TokenResult | None) -> "ResultTold | None":
        return cls(number=int(result), name=result.name.lower()) if result is not None else None


class AttemptTold(Told):
    """One try: when, how, and what came of it."""

    started_at: datetime
    ended_at: datetime
    method: Annotated[str, grows(DeliveryMethod)]
    outcome: Annotated[Fact, grows(Fact)]
    result: ResultTold | None
    detail: str

    @classmethod
    def of(cls, attempt: Attempt) -> "AttemptTold":
        return cls(
            started_at=attempt.started_at,
            ended_at=attempt.ended_at,
            method=attempt.method.name.lower(),
            outcome=attempt.outcome,
            result=ResultTold.of(attempt.result),
            detail=attempt.detail,
        )


class CommandTold(Told):
    """What the meter is asked to do; action, reason and expiry belong to `set_supply`."""

    kind: Annotated[CommandKind, grows(CommandKind)]
    action: Annotated[SupplyAction, grows(SupplyAction)] | None = None
    reason: Annotated[SupplyReason, grows(SupplyReason)] | None = None
    expires_at: datetime | None = None

    @classmethod
    def of(cls, command: Command) -> "CommandTold":
        match command:
            case EnterToken():
                return cls(kind=CommandKind.ENTER_TOKEN)
            case SetClock():
                return cls(kind=CommandKind.SET_CLOCK)
            case SetSupply(action, reason, expires_at):
                return cls(
                    kind=CommandKind.SET_SUPPLY,
                    action=action,
                    reason=reason,
                    expires_at=expires_at,
                )


class DeliveryTold(Told):
    """Where a command stands. `maybe_taken`: an answer was lost, the meter may have acted."""

    id: str
    meter: str
    recharge: str | None
    command: CommandTold
    state: Annotated[DeliveryState, grows(DeliveryState)]
    methods: Sequence[Annotated[str, grows(DeliveryMethod)]]
    tries: int
    maybe_taken: bool
    result: ResultTold | None
    confirmed_by: Annotated[Confirmation, grows(Confirmation)] | None
    confirmed_at: datetime | None
    handed_at: datetime | None
    next_try_at: datetime | None
    fallback_at: datetime | None
    deadline: datetime
    created_at: datetime
    changed_at: datetime
    attempts: Sequence[AttemptTold]

    @classmethod
    def of(cls, delivery: Delivery, attempts: Sequence[Attempt]) -> "DeliveryTold":
        waits = delivery.state in (DeliveryState.WAITING, DeliveryState.UNCERTAIN)
        return cls(
            id=delivery.id,
            meter=delivery.drn,
            recharge=delivery.recharge_id,
            command=CommandTold.of(delivery.command),
            state=delivery.state,
            methods=[method.name.lower() for method in sorted(delivery.methods)],
            tries=delivery.attempts,
            maybe_taken=delivery.maybe_taken,
            result=ResultTold.of(delivery.result),
            confirmed_by=delivery.confirmed_by,
            confirmed_at=delivery.confirmed_at,
            handed_at=delivery.handed_at,
            next_try_at=delivery.not_before if waits else None,
            fallback_at=delivery.fallback_at,
            deadline=delivery.deadline,
            created_at=delivery.created_at,
            changed_at=delivery.changed_at,
            attempts=[AttemptTold.of(attempt) for attempt in attempts],
        )


@router.get("/deliveries/{id}", summary="One delivery", responses=explained(UnknownDelivery))
async def read_delivery(id: IdentPath, caller: Reader, desks: Desks) -> DeliveryTold:
    delivery, attempts = await delivery_story(desks.store, caller.tenant, id)
    return DeliveryTold.of(delivery, attempts)
