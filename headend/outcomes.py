"""What came of one try, and writing it down: delivery, attempt, token and recharge at once.

The only place where a fact meets the store, whoever brings it: a bus, the intake, the tending loop.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from headend.announcing import delivery_news, recharge_news, reversed_news
from headend.attempts import Attempt
from headend.commands import TOKEN_COMMANDS, ChangeKey, SetSupply
from headend.deliveries import Confirmation, Delivery, DeliveryMethod, DeliveryState, Fact
from headend.evidence import Evidence
from headend.outbox import announce
from headend.polling import SUPPLY_LOOK_FIRST_S
from headend.quantities import Amount
from headend.readings import Reading
from headend.recharges import UNLIT_STATES, Recharge, settle
from headend.reconnecting import permit_after_credit, permit_after_opening
from headend.store import Transaction
from headend.supply import Supply, SupplyAction, SupplyReason
from headend.tokens import Token, TokenOutcome, TokenResult, TokenState

# What a meter says of a lock-out without a time.
LOCK_OUT_DEFAULT_S = 60
LOCK_OUT_MAX_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one try. `token_id`: the token it concerns, if any; `detail` has no secrets.

    `until` ends a wait that the fact asks for. `log_absent`: the meter's token log was read first
    and did not hold the token; `evidence` is what was seen on the way; `readings` are the meter's
    registers after it called the token used.
    """

    fact: Fact
    by: Confirmation | None = None
    token_id: str | None = None
    echo: TokenOutcome | None = None
    supply: Supply | None = None
    until: datetime | None = None
    log_absent: bool = False
    evidence: tuple[Evidence, ...] = ()
    readings: tuple[Reading, ...] = ()
    detail: str = ""

    @property
    def result(self) -> TokenResult | None:
        return self.echo.result if self.echo else None

    def once_out(self, *, before: bool, after: bool) -> "Outcome":
        """The outcome of a try during which the digits may have gone out to a person.

        USED is then their fingers' work or another token's; the meter's log was not asked for it,
        so it is a doubt, and the next try asks first.
        """
        if self.fact is not Fact.USED or before or not after:
            return self
        return replace(self, fact=Fact.NO_ANSWER, detail="used, while the digits were handed over")


def lock_out_end(echo: TokenOutcome | None, *, now: datetime) -> datetime:
    """When the meter takes tokens again, as it told (bounded)."""
    told_s = echo.lockout_s if echo else 0
    return now + timedelta(seconds=min(told_s or LOCK_OUT_DEFAULT_S, LOCK_OUT_MAX_S))


async def write_outcome(
    tx: Transaction,
    delivery: Delivery,
    outcome: Outcome,
    *,
    now: datetime,
    spread: float,
    started_at: datetime | None = None,
    method: DeliveryMethod = DeliveryMethod.REMOTE,
) -> Delivery:
    """Write what happened to a delivery, as read in this transaction; returns it as it is now.

    `started_at` makes it an attempt of ours. Raises Stale when the row changed meanwhile.
    """
    tokens = await _tokens_after(tx, delivery, outcome, now=now)
    after = replace(
        delivery.after(
            outcome.fact,
            now=now,
            spread=spread,
            until=outcome.until or lock_out_end(outcome.echo, now=now),
            by=outcome.by,
            entered=_leading_taken(tokens) if len(tokens) == delivery.size else None,
        ),
        result=outcome.result or delivery.result,
    )
    if after != delivery:
        await tx.deliveries.save(after, was=delivery.state, lease_id=delivery.lease_id)
        await announce(tx, *delivery_news(delivery, after, now=now))
    if started_at is not None:
        await tx.attempts.add(attempt_of(delivery, outcome, method, started_at, now))
    await _keep_evidence(tx, delivery, after, outcome)
    await settle_recharge(tx, after, outcome, now=now, was=delivery.state)
    if after.state is DeliveryState.UNRESOLVED:
        look_at = now + timedelta(seconds=SUPPLY_LOOK_FIRST_S)
        await tx.polls.hasten(after.tenant, after.drn, due_at=look_at)
    if after.state is DeliveryState.DONE and delivery.state is not DeliveryState.DONE:
        await _carried_out(tx, after, now=now)
    return after


async def _carried_out(tx: Transaction, delivery: Delivery, *, now: datetime) -> None:
    """What follows from an order that the meter has just been found to have carried out."""
    match delivery.command:
        case ChangeKey() as change:
            await _rekey_meter(tx, delivery, change, now=now)
        case SetSupply(SupplyAction.OPEN, SupplyReason.NON_PAYMENT, _):
            await permit_after_opening(tx, delivery, now=now)
        case SetSupply(SupplyAction.PERMIT_CLOSE, _, _):
            # Sales that wait for their light see it soon.
            await tx.polls.hasten(delivery.tenant, delivery.drn, due_at=now)


async def _keep_evidence(
    tx: Transaction, before: Delivery, after: Delivery, outcome: Outcome
) -> None:
    """An echo at the first try needs no more than the attempt; what touches a doubt is kept."""
    plain = after.state is DeliveryState.DONE or (not after.out and outcome.echo is None)
    if plain and not before.out:
        return
    for one in outcome.evidence:
        await tx.evidence.note(one)


async def _rekey_meter(
    tx: Transaction, delivery: Delivery, change: ChangeKey, *, now: datetime
) -> None:
    """The meter proved its new key: from now on tokens are made under it."""
    meter = await tx.meters.find(delivery.tenant, delivery.drn)
    if meter is None or meter.sts == change.to:
        return
    rekeyed = replace(meter, sts=change.to, version=meter.version + 1, changed_at=now)
    await tx.meters.save(rekeyed, was=meter.version)


def attempt_of(
    delivery: Delivery,
    outcome: Outcome,
    method: DeliveryMethod,
    started_at: datetime,
    now: datetime,
) -> Attempt:
    """The record of one try."""
    return Attempt(
        tenant=delivery.tenant,
        delivery_id=delivery.id,
        method=method,
        started_at=started_at,
        ended_at=now,
        outcome=outcome.fact,
        result=outcome.result,
        detail=outcome.detail[:200],
        log_absent=outcome.log_absent,
    )


_TAKES = frozenset({Fact.ACCEPTED, Fact.SEEN, Fact.USED})


async def _tokens_after(
    tx: Transaction, delivery: Delivery, outcome: Outcome, *, now: datetime
) -> Sequence[Token]:
    """The set with the token of this outcome marked; empty for commands without tokens."""
    if not isinstance(delivery.command, TOKEN_COMMANDS):
        return ()
    tokens = list(await tx.tokens.of(delivery.id, delivery.tenant))
    for place, token in enumerate(tokens):
        marked = _marked(token, delivery, outcome, now=now)
        if marked != token:
            tokens[place] = marked
            await tx.tokens.save(marked)
    return tokens


def _marked(token: Token, delivery: Delivery, outcome: Outcome, *, now: datetime) -> Token:
    # A key-change set is taken or refused as one; its outcome names no single token.
    concerned = outcome.token_id == token.id or isinstance(delivery.command, ChangeKey)
    if not concerned or token.state is TokenState.TAKEN:
        return token
    told = replace(token, result=outcome.result or token.result)
    used_unproved = outcome.fact is Fact.USED and not delivery.out
    if outcome.fact in _TAKES and not used_unproved:
        taken_at = (outcome.echo.at if outcome.echo else None) or now
        return replace(told, state=TokenState.TAKEN, taken_at=taken_at)
    if outcome.fact is Fact.REFUSED:
        return replace(told, state=TokenState.REFUSED)
    return told


def _leading_taken(tokens: Sequence[Token]) -> int:
    """How many tokens from the first on are in."""
    count = 0
    for token in tokens:
        if token.state is not TokenState.TAKEN:
            break
        count += 1
    return count


async def settle_recharge(
    tx: Transaction,
    delivery: Delivery,
    outcome: Outcome | None = None,
    *,
    now: datetime,
    was: DeliveryState | None = None,
) -> None:
    """Let the sale follow its delivery, which stood at `was`."""
    if delivery.recharge_id is None:
        return
    recharge = await tx.recharges.find(delivery.tenant, delivery.recharge_id)
    if recharge is None:
        return
    after = settle(
        recharge,
        delivery,
        now=now,
        supply=_supply_with(outcome, delivery) if outcome else None,
        taken=_taken_amount(recharge, delivery, outcome),
    )
    if replace(after, changed_at=recharge.changed_at) != recharge:
        await tx.recharges.save(after, was=recharge.state)
        await announce(tx, *recharge_news(recharge, after, now=now))
    if recharge.reversed_at and was is not None:
        # The money went back on proof, and the credit is in all the same.
        await announce(tx, *reversed_news(delivery, was=was, now=now))
    if after.state in UNLIT_STATES and delivery.state is DeliveryState.DONE:
        await permit_after_credit(tx, delivery, after, now=now)
        look_at = now + timedelta(seconds=SUPPLY_LOOK_FIRST_S)
        await tx.polls.hasten(delivery.tenant, delivery.drn, due_at=look_at)


def _supply_with(outcome: Outcome, delivery: Delivery) -> Supply | None:
    """The supply that was seen in the conversation that told of the credit, so not before it."""
    seen, credited_at = outcome.supply, delivery.confirmed_at
    if seen is None or credited_at is None:
        return seen
    return replace(seen, taken_at=max(seen.taken_at, credited_at))


def _taken_amount(recharge: Recharge, delivery: Delivery, outcome: Outcome | None) -> Amount | None:
    """What the meter says it took, else what was encoded, once it is in."""
    if delivery.state is not DeliveryState.DONE:
        return None
    echoed: Decimal | None = outcome.echo.amount if outcome and outcome.echo else None
    if echoed is not None and recharge.encoded is not None and delivery.size == 1:
        return replace(recharge.encoded, value=echoed)
    return recharge.encoded
