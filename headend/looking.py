"""Looking: what a meter is asked beside its readings, and for how long something waits to be seen.

A recharge that waits for its light, or a token whose outcome is not known, makes the polls of its
meter come soon, then ever less often. A look only reads: it never enters anything.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from headend.agenda import Urgency
from headend.commands import EnterToken, Manage
from headend.deliveries import CLOSED_BY, OPEN_STATES, Delivery, DeliveryState
from headend.errors import Misconfigured, Resting, WireError
from headend.events import MeterEvent
from headend.logbooks import NOTHING, Known, new_events, not_believed, past_days
from headend.meters import Capability, Drn, Meter, TenantId
from headend.ports import Clock, Driver, Report, Session, TokenAnswer
from headend.store import Transaction
from headend.tokens import Token, TokenState

# An outcome that nobody could tell within a week is for people alone.
ASK_FOR = timedelta(days=7)
# More would crowd a line; the oldest are asked about first.
QUESTIONS = 4
_ASKED_STATES = OPEN_STATES - {DeliveryState.SENDING} | {DeliveryState.UNRESOLVED}


async def looking_since(tx: Transaction, tenant: TenantId, drn: Drn) -> datetime | None:
    """Since when the newest thing waits to be seen of this meter, or None."""
    moments = []
    for recharge in await tx.recharges.unlit(tenant, drn):
        delivery = await tx.deliveries.of(recharge.id, tenant)
        if delivery is not None and delivery.confirmed_at is not None:
            moments.append(delivery.confirmed_at)
    unresolved = frozenset({DeliveryState.UNRESOLVED})
    stuck = await tx.deliveries.of_meter(tenant, drn, states=unresolved)
    moments += [one.changed_at for one in stuck if one.stopped_by not in CLOSED_BY]
    return max(moments, default=None)


async def questions(
    tx: Transaction, tenant: TenantId, drn: Drn, *, now: datetime
) -> tuple[Token, ...]:
    """The tokens of a meter that a look asks about: in doubt, or typed by somebody perhaps."""
    asked: list[Token] = []
    for delivery in await tx.deliveries.of_meter(tenant, drn, states=_ASKED_STATES):
        if _worth_asking(delivery, now=now):
            tokens = await tx.tokens.of(delivery.id, tenant)
            asked += [token for token in tokens if token.state is not TokenState.TAKEN]
    return tuple(asked[:QUESTIONS])


def _worth_asking(delivery: Delivery, *, now: datetime) -> bool:
    if not isinstance(delivery.command, EnterToken | Manage):
        return False
    if delivery.state is DeliveryState.UNRESOLVED:
        return now - delivery.changed_at < ASK_FOR
    # What goes by remote asks before it sends; digits with a person may be typed at any time.
    in_hands = delivery.handed_at is not None or delivery.revealed
    return in_hands or (delivery.out and not delivery.by_remote)


async def look(
    driver: Driver,
    meter: Meter,
    asked: Sequence[Token],
    *,
    known: Known = NOTHING,
    clock: Clock,
    within_s: float,
    urgency: Urgency = Urgency.READING,
) -> tuple[Report, ...]:
    """What a meter tells of its present; nothing when it does not answer.

    Readings, supply, what it knows of these tokens, and the events that its log has beyond what is
    known: these may be alarms, and go before readings. A meter that is not the one of the record is
    told as such. Raises Resting when the line would not ask it now.
    """
    report, can = _report(meter, clock), driver.capabilities(meter.profile)
    try:
        async with asyncio.timeout(within_s):
            async with driver.open(meter, urgency=urgency) as session:
                present = await _present(session, can, report)
                if Capability.TOKEN_OUTCOME in can:
                    present = replace(present, answers=await _answers(session, asked, clock))
            events = await _events(driver, meter, known)
    except Resting:
        raise
    except Misconfigured:
        return (not_believed(report, now=clock.now()),)
    except (WireError, TimeoutError):
        return ()
    return (replace(present, events=events),)


async def look_back(
    driver: Driver, meter: Meter, known: Known, *, clock: Clock, within_s: float
) -> tuple[Report, ...]:
    """What its logbooks have of days that have ended, behind everybody else on its line."""
    report, can = _report(meter, clock), driver.capabilities(meter.profile)
    if Capability.HISTORY not in can or not known.day_due:
        return ()
    try:
        async with (
            asyncio.timeout(within_s),
            driver.open(meter, urgency=Urgency.HISTORY) as session,
        ):
            past = await past_days(session, can, known)
    except (WireError, TimeoutError):
        return ()
    return (replace(report, readings=past, stored=True),) if past else ()


def _report(meter: Meter, clock: Clock) -> Report:
    assert meter.route is not None
    return Report(
        tenant=meter.tenant,
        drn=meter.drn,
        bus=meter.route.bus,
        address=meter.route.address,
        asked_at=clock.now(),
    )


async def _events(driver: Driver, meter: Meter, known: Known) -> tuple[MeterEvent, ...]:
    can = driver.capabilities(meter.profile)
    if Capability.EVENTS not in can:
        return ()
    try:
        async with driver.open(meter, urgency=Urgency.SUPPLY) as session:
            return await new_events(session, can, known)
    except WireError:
        return ()


async def _present(session: Session, can: Capability, report: Report) -> Report:
    return replace(
        report,
        readings=tuple(await session.read()) if Capability.READ in can else (),
        supply=await session.supply() if Capability.SUPPLY in can else None,
    )


async def _answers(
    session: Session, asked: Sequence[Token], clock: Clock
) -> tuple[TokenAnswer, ...]:
    """One question after the other; what is not answered is asked at the next look."""
    answers: list[TokenAnswer] = []
    for token in asked:
        asked_at = clock.now()
        try:
            outcome = await session.token_outcome(token)
        except WireError:
            break
        answers.append(TokenAnswer(token_id=token.id, asked_at=asked_at, outcome=outcome))
    return tuple(answers)
