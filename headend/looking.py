"""Looking: what a meter is asked beside its readings, and for how long something waits to be seen.

A recharge that waits for its light, or a token whose outcome is not known, makes the polls of its
meter come soon, then ever less often. A look only reads: it never enters anything.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from headend.commands import EnterToken, Manage
from headend.deliveries import OPEN_STATES, Delivery, DeliveryState
from headend.errors import Resting, WireError
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
    moments += [delivery.changed_at for delivery in stuck]
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
    return delivery.handed_at is not None or (delivery.out and not delivery.by_remote)


async def look(
    driver: Driver, meter: Meter, asked: Sequence[Token], *, clock: Clock, within_s: float
) -> Report | None:
    """Readings, supply and what the meter knows of these tokens, or None when it does not answer.

    Raises Resting when the line would not ask it now.
    """
    assert meter.route is not None
    can = driver.capabilities(meter.profile)
    asked_at = clock.now()
    answers: list[TokenAnswer] = []
    try:
        async with asyncio.timeout(within_s), driver.open(meter) as session:
            readings = tuple(await session.read()) if Capability.READ in can else ()
            supply = await session.supply() if Capability.SUPPLY in can else None
            if Capability.TOKEN_OUTCOME in can:
                await _ask(session, asked, answers, clock=clock)
    except Resting:
        raise
    except (WireError, TimeoutError):
        return None
    return Report(
        tenant=meter.tenant,
        drn=meter.drn,
        bus=meter.route.bus,
        address=meter.route.address,
        readings=readings,
        supply=supply,
        answers=tuple(answers),
        asked_at=asked_at,
    )


async def _ask(
    session: Session, asked: Sequence[Token], answers: list[TokenAnswer], *, clock: Clock
) -> None:
    """One question after the other; what is not answered is asked at the next look."""
    for token in asked:
        asked_at = clock.now()
        try:
            outcome = await session.token_outcome(token)
        except WireError:
            return
        answers.append(TokenAnswer(token_id=token.id, asked_at=asked_at, outcome=outcome))
