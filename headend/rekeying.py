"""Changing a meter's key: one set, in order, together; read first and after any doubt.

Key-change tokens carry no TID, so nothing is resent blindly. A set that may have stopped half way
is started over only after the meter has forgotten it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique

from headend.commands import ChangeKey, EnterToken, Manage
from headend.deliveries import (
    OPEN_STATES,
    Confirmation,
    Delivery,
    DeliveryMethod,
    DeliveryState,
    Fact,
)
from headend.errors import Misconfigured, NoAnswer, NotSent, Unsupported, WireError
from headend.meters import Capability, Drn, Meter, StsConfiguration, TenantId
from headend.outcomes import Outcome
from headend.ports import Session
from headend.recharges import Recharge, RechargeState
from headend.store import Transaction
from headend.tokens import Token, TokenOutcome, TokenResult
from headend.unconfirmed import require_confirmed, unconfirmed_change

# Meters forget a half set after 2 to 10 minutes; the clock of the slowest one counts.
HALF_SET_FORGOTTEN = timedelta(minutes=11)
CREDIT_FIRST_EVERY = timedelta(seconds=30)
CHANGE_FIRST_EVERY = timedelta(seconds=30)


def same_key(held: StsConfiguration, wanted: StsConfiguration) -> bool:
    """The key of a meter is the one wanted, as far as SGC, KRN, TI, KT and EA tell."""
    return held == wanted


async def pending_change(tx: Transaction, tenant: TenantId, drn: Drn) -> Delivery | None:
    """The key change of a meter that is on its way, if there is one."""
    for delivery in await tx.deliveries.of_meter(tenant, drn, states=OPEN_STATES):
        if isinstance(delivery.command, ChangeKey):
            return delivery
    return None


async def key_for_sale(tx: Transaction, meter: Meter) -> StsConfiguration:
    """The key under which credit is sold now: that of a scheduled change, else the present one.

    Raises KeyChangeUnconfirmed.
    """
    await require_confirmed(tx, meter)
    change = await pending_change(tx, meter.tenant, meter.drn)
    match change.command if change else None:
        case ChangeKey(to=to):
            return to
    return meter.sts


@unique
class Timing(StrEnum):
    """Whether credit made for a key may be issued yet."""

    NOW = "now"
    AFTER_CHANGE = "after_change"
    UNCONFIRMED = "unconfirmed"
    OTHER_KEY = "other_key"


async def when_to_issue(tx: Transaction, meter: Meter, sts: StsConfiguration) -> Timing:
    """By remote the new key is proved first; by hand the set and the credit are typed in order."""
    if await unconfirmed_change(tx, meter) is not None:
        return Timing.UNCONFIRMED
    change = await pending_change(tx, meter.tenant, meter.drn)
    if change is None:
        return Timing.NOW if same_key(meter.sts, sts) else Timing.OTHER_KEY
    if not same_key(await key_for_sale(tx, meter), sts):
        return Timing.OTHER_KEY
    return Timing.AFTER_CHANGE if DeliveryMethod.REMOTE in change.methods else Timing.NOW


async def change_awaited(tx: Transaction, recharge: Recharge) -> Delivery | None:
    """The key change that a recharge which is not issued yet waits for."""
    meter = await tx.meters.find(recharge.tenant, recharge.drn)
    if recharge.state is not RechargeState.OPEN or recharge.order.tokens or meter is None:
        return None
    change = await unconfirmed_change(tx, meter)
    return change or await pending_change(tx, meter.tenant, meter.drn)


async def change_first(
    tx: Transaction, meter: Meter, sts: StsConfiguration, *, now: datetime
) -> Outcome | None:
    """Credit made under a key that the meter is still to get is not sent before it."""
    if same_key(meter.sts, sts) or await pending_change(tx, meter.tenant, meter.drn) is None:
        return None
    return Outcome(fact=Fact.HELD, until=now + CHANGE_FIRST_EVERY, detail="the new key first")


async def credit_first(
    tx: Transaction, delivery: Delivery, change: ChangeKey, *, now: datetime
) -> Outcome | None:
    """What is still out under the old key goes first: the new key would kill its digits."""
    on_its_way = await tx.deliveries.of_meter(delivery.tenant, delivery.drn, states=OPEN_STATES)
    for other in on_its_way:
        if other.rank <= delivery.rank and await _dies_with_key(tx, other, change.to):
            until = now + CREDIT_FIRST_EVERY
            return Outcome(fact=Fact.HELD, until=until, detail="tokens of the old key first")
    return None


async def _dies_with_key(tx: Transaction, delivery: Delivery, to: StsConfiguration) -> bool:
    """Its tokens are credit or management, and not of the key that the meter shall get."""
    match delivery.command:
        case EnterToken():
            return not await _made_for(tx, delivery, to)
        case Manage(_, sts):
            return sts is not None and not same_key(sts, to)
        case _:
            return False


async def _made_for(tx: Transaction, delivery: Delivery, sts: StsConfiguration) -> bool:
    """The credit of a delivery was made under this key."""
    if delivery.recharge_id is None:
        return False
    recharge = await tx.recharges.find(delivery.tenant, delivery.recharge_id)
    return recharge is not None and not recharge.order.tokens and same_key(recharge.sts, sts)


async def half_set_of_another(tx: Transaction, delivery: Delivery) -> datetime | None:
    """When an earlier key change of the meter may last have left a half set in it."""
    stopped = frozenset({DeliveryState.UNRESOLVED})
    earlier = await tx.deliveries.newest_of(
        delivery.tenant, delivery.drn, ChangeKey, states=stopped
    )
    return max((one.changed_at for one in earlier if one.id != delivery.id), default=None)


@dataclass(frozen=True, slots=True)
class Doubt:
    """What may be in the meter at `now`: of this change, and of another one (`half_set_at`)."""

    now: datetime
    delivery: Delivery
    half_set_at: datetime | None = None

    @property
    def until(self) -> datetime | None:
        """When the meter will have forgotten every half set, if that is still to come."""
        moments = [at for at in (self.delivery.doubted_at, self.half_set_at) if at is not None]
        forgotten_at = max(moments, default=None)
        if forgotten_at is None or self.now >= forgotten_at + HALF_SET_FORGOTTEN:
            return None
        return forgotten_at + HALF_SET_FORGOTTEN


async def before_change(
    session: Session, change: ChangeKey, can: Capability, doubt: Doubt
) -> Outcome | None:
    """What is known before a token of the set is sent, if that settles it for this try."""
    held = await held_key(session, can)
    if held is None and doubt.delivery.maybe_taken:
        return Outcome(fact=Fact.REFUSED, detail="in doubt, and the meter's key cannot be read")
    if held is not None and same_key(held, change.to):
        return Outcome(fact=Fact.SEEN, by=Confirmation.READ_BACK)
    if held is not None and not same_key(held, change.present):
        return Outcome(fact=Fact.KEY_MISMATCH, detail=_mismatch(held, change.present))
    if doubt.until is not None:
        return Outcome(fact=Fact.HELD, until=doubt.until, detail="a half set may be waiting")
    return None


async def enter_set(
    session: Session, tokens: Sequence[Token], *, attempt: int, in_doubt: bool
) -> Outcome:
    """Enter all tokens of the set; `attempt` makes every try new to the meter.

    What stops the set behind its first token leaves a half set in the meter: a doubt, after which
    the key is read and the set started over in time. A second time (`in_doubt`) it is final.
    """
    echo = TokenOutcome(result=TokenResult.RESERVED)
    for place, token in enumerate(tokens):
        try:
            echo = await session.enter_token(token, attempt=attempt)
        except (NotSent, Unsupported, Misconfigured) as error:
            if place == 0:
                raise
            raise NoAnswer(f"after {place} tokens of the set: {error}") from error
        if not echo.result.taken:
            half = place > 0 and not in_doubt
            return Outcome(fact=Fact.NOT_READY if half else _stopped(echo.result), echo=echo)
    return Outcome(fact=Fact.ACCEPTED, by=Confirmation.ECHO, echo=echo)


async def after_change(
    session: Session, entered: Outcome, change: ChangeKey, can: Capability
) -> Outcome:
    """Whether the meter holds the new key now: its own word, where it can be read.

    Also when it refuses: a person may have typed the set meanwhile, and then it knows no other.
    """
    refused = entered.fact is Fact.REFUSED
    if entered.fact is not Fact.ACCEPTED and not refused:
        return entered
    try:
        held = await held_key(session, can)
    except WireError as error:
        raise NoAnswer(f"the set was entered, the key is not read yet: {error}") from error
    if held is None:
        return entered
    if same_key(held, change.to):
        if refused:
            return Outcome(fact=Fact.SEEN, by=Confirmation.READ_BACK, detail="it had it already")
        return Outcome(fact=Fact.ACCEPTED, by=Confirmation.READ_BACK, echo=entered.echo)
    if refused:
        return entered
    return Outcome(fact=Fact.NOT_READY, detail=_mismatch(held, change.to), echo=entered.echo)


async def held_key(session: Session, can: Capability) -> StsConfiguration | None:
    """The key that the meter holds now, None where it cannot be asked.

    A gateway may not know the question, although the profile has it: then nothing is known.
    """
    if Capability.STS_CONFIGURATION not in can:
        return None
    try:
        return await session.sts_configuration()
    except Unsupported:
        return None


def key_mismatch(held: StsConfiguration, wanted: StsConfiguration) -> Outcome | None:
    """A credit made under another key is not sent: it would only arm the meter's lock-out."""
    if same_key(held, wanted):
        return None
    return Outcome(fact=Fact.KEY_MISMATCH, detail=_mismatch(held, wanted))


def _mismatch(held: StsConfiguration, wanted: StsConfiguration) -> str:
    return f"the meter holds {_named(held)}, our record says {_named(wanted)}"


def _named(sts: StsConfiguration) -> str:
    return (
        f"SGC {sts.sgc} KRN {sts.krn} TI {sts.tariff_index:02d} KT {int(sts.key_type)} EA {sts.ea}"
    )


def _stopped(result: TokenResult) -> Fact:
    if result.refused or result is TokenResult.USED_ERROR:
        return Fact.REFUSED
    locked = result in (TokenResult.LOCK_OUT, TokenResult.REQUEST_ID_USED)
    return Fact.LOCKED_OUT if locked else Fact.NOT_READY
