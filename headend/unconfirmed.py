"""Key changes of which nobody knows whether the meter took them: what may be made meanwhile.

While the set is with a person, or its fate is open, tokens under either key could be dead: they are
refused by name. A change ends by its proof, by a person who saw it, or by one who withdraws it.
"""

from dataclasses import replace
from datetime import datetime

from headend.commands import ChangeKey
from headend.deliveries import (
    OPEN_STATES,
    Confirmation,
    Delivery,
    DeliveryMethod,
    DeliveryState,
    Fact,
)
from headend.meters import Capability, Meter
from headend.outcomes import Outcome, write_outcome
from headend.refusals import KeyChangeUnconfirmed, NothingToWithdraw
from headend.store import Transaction
from headend.tokens import TokenState

_TELLING = OPEN_STATES | {DeliveryState.UNRESOLVED, DeliveryState.DONE}
_ENDED = frozenset({DeliveryState.FAILED, DeliveryState.CANCELLED})


async def unconfirmed_change(tx: Transaction, meter: Meter) -> Delivery | None:
    """The key change that leaves open which key this meter holds, if there is one."""
    changes = await tx.deliveries.newest_of(meter.tenant, meter.drn, ChangeKey, states=_TELLING)
    for change in changes:
        if change.state is DeliveryState.DONE:
            return None  # what came before it is settled
        if _leaves_open(change, meter):
            return change
    return None


def _leaves_open(change: Delivery, meter: Meter) -> bool:
    match change.command:
        case ChangeKey(present=present) if present != meter.sts:
            return False  # a person has written down since what the meter holds
    if change.state is DeliveryState.UNRESOLVED:
        return change.stopped_by is not Fact.WITHDRAWN
    # By remote the meter itself will tell.
    return change.out and DeliveryMethod.REMOTE not in change.methods


async def require_confirmed(tx: Transaction, meter: Meter) -> None:
    """Raises KeyChangeUnconfirmed: a token made now would be of a key that is guessed."""
    change = await unconfirmed_change(tx, meter)
    if change is not None:
        raise KeyChangeUnconfirmed(unconfirmed_text(change), field="meter")


def unconfirmed_text(change: Delivery) -> str:
    """What to do about it."""
    ask = ", have the meter asked (inquiry)" if change.by_remote else ""
    return (
        f"key change {change.id} of meter {change.drn} is not confirmed, so its key is not known;"
        f" look at KRN, TI and SGC on the meter: then confirm the change{ask} or withdraw it"
    )


def can_prove(can: Capability, methods: frozenset[DeliveryMethod]) -> bool:
    """The meter is asked for its key before a set is entered, whatever came before."""
    return DeliveryMethod.REMOTE in methods and Capability.STS_CONFIGURATION in can


async def withdraw(tx: Transaction, change: Delivery, *, by: str, now: datetime) -> Delivery:
    """A person says that the meter holds its old key and that this set will not be entered.

    Its digits are dead from now on; should the meter prove the new key all the same, that counts.
    Raises NothingToWithdraw.
    """
    if not isinstance(change.command, ChangeKey):
        raise NothingToWithdraw("only key changes are withdrawn", field="id")
    if change.state in _ENDED or change.stopped_by is Fact.WITHDRAWN:
        return change
    if change.state is DeliveryState.DONE:
        raise NothingToWithdraw("the meter holds the new key: change it back", field="id")
    if change.state is DeliveryState.SENDING:
        raise NothingToWithdraw("the meter is being asked now; try again in a minute", field="id")
    for token in await tx.tokens.of(change.id, change.tenant):
        await tx.tokens.save(replace(token, state=TokenState.DEAD))
    unsent = change.state is DeliveryState.WAITING and not change.out
    told = Outcome(
        fact=Fact.CANCELLED if unsent else Fact.WITHDRAWN,
        by=Confirmation.PERSON,
        detail=f"withdrawn by {by}",
    )
    return await write_outcome(
        tx,
        change,
        told,
        now=now,
        spread=0.0,
        started_at=now,
        method=DeliveryMethod.MANUAL,
    )
