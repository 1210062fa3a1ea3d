"""Deliveries: one command on its way to one meter, and every try of it."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum, unique
from typing import Annotated, assert_never

from fastapi import APIRouter, Query
from pydantic import Field

from api.auth import KeyKeeper, Orderer, Reader, require_scopes
from api.documenting import explained
from api.head_end import Desks, HeadEnd
from api.routes.forms import Asked, IdentPath, Name, Told, grows
from api.routes.sts import StsTold
from api.routes.token_answer import ResultTold, TokenTold
from api.showing import note_shown
from api.stories import DeliveryStory, delivery_story
from headend import refusals
from headend.api_keys import ApiKey, Scope
from headend.attempts import Attempt
from headend.commands import (
    ChangeKey,
    Command,
    EnterToken,
    Manage,
    SetClock,
    SetCreditParameters,
    SetSupply,
)
from headend.credit_parameters import CreditParameters
from headend.deliveries import Confirmation, DeliveryMethod, DeliveryState, Fact
from headend.meters import StsConfiguration
from headend.supply import SupplyAction, SupplyReason
from headend.tokens import ManagementKind, ManagementOrder

router = APIRouter(prefix="/v1", tags=["deliveries"])


@unique
class CommandKind(StrEnum):
    """What a meter can be asked."""

    ENTER_TOKEN = "enter_token"
    SET_SUPPLY = "set_supply"
    SET_CLOCK = "set_clock"
    MANAGE = "manage"
    CHANGE_KEY = "change_key"
    SET_CREDIT_PARAMETERS = "set_credit_parameters"


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


class EngineeringTold(Told):
    """What a management or test token does, and its numbers; `sts` is what it was made under.

    Meter tests and displays are made under no key.
    """

    kind: Annotated[ManagementKind, grows(ManagementKind)]
    value: int | None
    index: int | None
    sts: StsTold | None

    @classmethod
    def of(cls, order: ManagementOrder, sts: StsConfiguration | None) -> "EngineeringTold":
        return cls(
            kind=order.kind,
            value=order.value,
            index=order.index,
            sts=None if sts is None else StsTold.of(sts),
        )


class CreditParametersTold(Told):
    """The credit parameters that were named; amounts as decimal texts in `unit`."""

    unit: str | None = None
    low_credit_1: str | None = None
    low_credit_2: str | None = None
    emergency_credit: str | None = None
    maximum_credit: str | None = None
    overdraft: str | None = None
    reconnect_credit: str | None = None
    power_limit_w: int | None = None

    @classmethod
    def of(cls, change: CreditParameters) -> "CreditParametersTold":
        return cls.model_validate(dict(change.plain))


class CommandTold(Told):
    """What the meter is asked to do.

    `action`, `reason` and `expires_at` belong to `set_supply`, `engineering` to `manage`, `present`
    and `to` to `change_key`, `parameters` to `set_credit_parameters`.
    """

    kind: Annotated[CommandKind, grows(CommandKind)]
    action: Annotated[SupplyAction, grows(SupplyAction)] | None = None
    reason: Annotated[SupplyReason, grows(SupplyReason)] | None = None
    expires_at: datetime | None = None
    engineering: EngineeringTold | None = None
    present: StsTold | None = None
    to: StsTold | None = None
    parameters: CreditParametersTold | None = None

    @classmethod
    def of(cls, command: Command) -> "CommandTold":
        match command:
            case EnterToken():
                return cls(kind=CommandKind.ENTER_TOKEN)
            case SetClock():
                return cls(kind=CommandKind.SET_CLOCK)
            case Manage(order, sts):
                return cls(kind=CommandKind.MANAGE, engineering=EngineeringTold.of(order, sts))
            case ChangeKey(present, to):
                told = StsTold.of(present), StsTold.of(to)
                return cls(kind=CommandKind.CHANGE_KEY, present=told[0], to=told[1])
            case SetCreditParameters(change):
                told_ = CreditParametersTold.of(change)
                return cls(kind=CommandKind.SET_CREDIT_PARAMETERS, parameters=told_)
            case SetSupply(action, reason, expires_at):
                return cls(
                    kind=CommandKind.SET_SUPPLY,
                    action=action,
                    reason=reason,
                    expires_at=expires_at,
                )
            case _:
                assert_never(command)


class DeliveryTold(Told):
    """Where a command stands. `maybe_taken`: an answer was lost, the meter may have acted."""

    id: str
    meter: str
    recharge: str | None
    command: CommandTold
    ordered_by: Annotated[str | None, Field(description="Id of the API key that ordered it.")]
    tokens: Sequence[TokenTold]
    state: Annotated[DeliveryState, grows(DeliveryState)]
    methods: Sequence[Annotated[str, grows(DeliveryMethod)]]
    tries: int
    maybe_taken: bool
    result: ResultTold | None
    stopped_by: Annotated[Fact, grows(Fact)] | None
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
    def of(cls, story: DeliveryStory, *, shown: bool = False) -> "DeliveryTold":
        """`shown`: with the digits, which policy and scope allow."""
        delivery = story.delivery
        waits = delivery.state in (DeliveryState.WAITING, DeliveryState.UNCERTAIN)
        return cls(
            id=delivery.id,
            meter=delivery.drn,
            recharge=delivery.recharge_id,
            command=CommandTold.of(delivery.command),
            ordered_by=delivery.ordered_by,
            tokens=[TokenTold.of(token, shown=shown) for token in story.tokens],
            state=delivery.state,
            methods=[method.name.lower() for method in sorted(delivery.methods)],
            tries=delivery.attempts,
            maybe_taken=delivery.maybe_taken,
            result=ResultTold.of(delivery.result),
            stopped_by=delivery.stopped_by,
            confirmed_by=delivery.confirmed_by,
            confirmed_at=delivery.confirmed_at,
            handed_at=delivery.handed_at,
            next_try_at=delivery.not_before if waits else None,
            fallback_at=delivery.fallback_at,
            deadline=delivery.deadline,
            created_at=delivery.created_at,
            changed_at=delivery.changed_at,
            attempts=[AttemptTold.of(attempt) for attempt in story.attempts],
        )


class ConfirmationAsked(Asked):
    """A person saw that the meter took all that was handed over."""

    seen_by: Annotated[Name, Field(description="Who saw it.", examples=["K. Otieno"])]


class WithdrawalAsked(Asked):
    """A person saw that the meter holds the key from before the change."""

    seen_by: Annotated[Name, Field(description="Who saw it.", examples=["K. Otieno"])]


Reveals = Annotated[
    bool,
    Query(description="Show the digits; needs the scope `reveal`. They count as out from then on."),
]


@router.get(
    "/deliveries/{id}",
    summary="One delivery",
    responses=explained(refusals.UnknownDelivery, refusals.KindHeld),
)
async def read_delivery(
    id: IdentPath, caller: Reader, desks: Desks, reveal: Reveals = False
) -> DeliveryTold:
    """Digits are shown of key changes and engineering tokens that go by hand, once asked for; those
    of credit are shown by its recharge.
    """
    if reveal:
        require_scopes(caller, Scope.REVEAL)
    shown = bool(reveal and await desks.writes.finish(desks.keys.reveal(caller.tenant, id)))
    if shown:
        await desks.writes.finish(note_shown(desks.store, caller, id, now=desks.clock.now()))
    return DeliveryTold.of(await delivery_story(desks.store, caller.tenant, id), shown=shown)


@router.post(
    "/deliveries/{id}/confirmation",
    summary="Say that a person saw the meter take it",
    responses=explained(refusals.UnknownDelivery, refusals.NothingToConfirm, body=True),
)
async def confirm_delivery(
    id: IdentPath, body: ConfirmationAsked, caller: Orderer, desks: Desks
) -> DeliveryTold:
    """For key changes (scope `keys`) and engineering tokens (scope `engineering`) that were handed
    over. A key change so confirmed is written down as the meter's new key.
    """
    await require_ordering_scope(desks, caller, id)
    by = f"{body.seen_by} (key {caller.id})"
    await desks.writes.finish(desks.keys.confirm(caller.tenant, id, by=by))
    return DeliveryTold.of(await delivery_story(desks.store, caller.tenant, id))


@router.post(
    "/deliveries/{id}/withdrawal",
    summary="Say that a key change will not be entered",
    responses=explained(refusals.UnknownDelivery, refusals.NothingToWithdraw, body=True),
)
async def withdraw_change(
    id: IdentPath, body: WithdrawalAsked, caller: KeyKeeper, desks: Desks
) -> DeliveryTold:
    """A person saw that the meter holds its old key: sales go on under that. The set's digits are
    dead; should the meter prove the new key all the same, the change is `done`.
    """
    by = f"{body.seen_by} (key {caller.id})"
    await desks.writes.finish(desks.keys.withdraw(caller.tenant, id, by=by))
    return DeliveryTold.of(await delivery_story(desks.store, caller.tenant, id))


@router.post(
    "/deliveries/{id}/inquiry",
    summary="Ask the meter once more about unresolved tokens",
    responses=explained(refusals.UnknownDelivery, refusals.NothingToAsk, body=True),
)
async def ask_again(id: IdentPath, caller: Orderer, desks: Desks) -> DeliveryTold:
    """Needs the scope that ordered it: `recharge`, `keys` or `engineering`. One that is not
    `unresolved` is told as it is.
    """
    await require_ordering_scope(desks, caller, id)
    await desks.writes.finish(desks.keys.ask_again(caller.tenant, id))
    return DeliveryTold.of(await delivery_story(desks.store, caller.tenant, id))


async def require_ordering_scope(desks: HeadEnd, caller: ApiKey, id: str) -> None:
    """The caller has the scope that such a command is ordered with; raises ScopeMissing."""
    story = await delivery_story(desks.store, caller.tenant, id)
    require_scopes(caller, _scope_of(story.delivery.command))


def _scope_of(command: Command) -> Scope:
    """The scope that orders such a command."""
    match command:
        case EnterToken():
            return Scope.RECHARGE
        case ChangeKey():
            return Scope.KEYS
        case Manage() | SetCreditParameters():
            return Scope.ENGINEERING
        case SetClock():
            return Scope.METERS
        case SetSupply(action=action):
            return Scope.DISCONNECT if action is SupplyAction.OPEN else Scope.SUPPLY
        case _:
            assert_never(command)
