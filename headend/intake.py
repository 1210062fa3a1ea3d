"""Intake: the only door for what meters say, polled or pushed.

Judges readings, keeps events, and lets every word about a token or the supply reach the delivery
and the recharge it concerns. A batch is one transaction: callers acknowledge after `accept`.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from headend.announcing import meter_event_news, reading_news, recharge_news
from headend.commands import ChangeKey
from headend.deliveries import OPEN_STATES, Confirmation, Delivery, DeliveryState, Fact
from headend.meters import Drn, Meter, TenantId
from headend.outbox import announce
from headend.outcomes import Outcome, write_outcome
from headend.ports import Chance, Clock, Report, TokenSeen
from headend.quantities import Units, fits
from headend.readings import Reading, ReadingType, judge
from headend.recharges import settle
from headend.registers import register_shows
from headend.store import Store, Transaction
from headend.supply import Supply
from headend.tokens import Token, TokenOutcome, TokenResult, TokenState

# A meter that talks every second but never answers commands is not tried every second.
HASTEN_EVERY = timedelta(seconds=60)
HASTEN_KNOWN = 10_000
_EVIDENCE_STATES = OPEN_STATES | {DeliveryState.UNRESOLVED, DeliveryState.FAILED}


class Intake:
    """Takes reports in. `dropped` counts what could not be believed, by reason.

    `announce_readings`: the back-office is told of new readings, too.
    """

    def __init__(
        self, store: Store, clock: Clock, chance: Chance, *, announce_readings: bool = False
    ) -> None:
        self._store = store
        self._clock = clock
        self._chance = chance
        self._announce_readings = announce_readings
        self._hastened: OrderedDict[tuple[TenantId, Drn], datetime] = OrderedDict()
        self.dropped: Counter[str] = Counter()

    async def accept(self, reports: Sequence[Report]) -> None:
        """Take a batch in, in one transaction. Raises StoreDown; then nothing was taken."""
        now = self._clock.now()
        worth = [report for report in reports if self._tells_something(report, now=now)]
        if not worth:
            return
        async with self._store.begin() as tx:
            for report in worth:
                await self._take(tx, report, now=now)

    def _tells_something(self, report: Report, *, now: datetime) -> bool:
        """More than that a meter is alive which was so a moment ago."""
        if report.readings or report.events or report.tokens or report.supply is not None:
            return True
        return report.alive and not self._hastened_lately(report.tenant, report.drn, now=now)

    def _hastened_lately(self, tenant: TenantId, drn: Drn, *, now: datetime) -> bool:
        last = self._hastened.get((tenant, drn))
        return last is not None and now - last < HASTEN_EVERY

    async def _take(self, tx: Transaction, report: Report, *, now: datetime) -> None:
        meter = await tx.meters.find(report.tenant, report.drn)
        if meter is None:
            self.dropped["unknown_meter"] += 1
            return
        if meter.route is None or (meter.route.bus, meter.route.address) != (
            report.bus,
            report.address,
        ):
            self.dropped["wrong_route"] += 1
            return
        before = await _before(tx, report) if report.readings else {}
        await self._keep(tx, report, before, now=now)
        for seen in report.tokens:
            await self._token_seen(tx, report, seen, now=now)
        if report.supply is not None:
            await _supply_seen(tx, report.supply, report, now=now)
        if report.readings:
            await self._register_seen(tx, meter, report, now=now)
        if report.alive and not report.tokens:
            await self._alive(tx, meter, now=now)

    async def _keep(
        self,
        tx: Transaction,
        report: Report,
        before: dict[ReadingType, Reading],
        *,
        now: datetime,
    ) -> None:
        judged = [
            replace(reading, quality=judge(reading, before.get(reading.type)))
            for reading in report.readings
        ]
        if judged and await tx.readings.add(judged) and self._announce_readings:
            await announce(tx, *reading_news(judged, now=now))
        if report.events:
            new = await tx.events.add(report.events)
            await announce(tx, *meter_event_news(new, now=now))

    async def _alive(self, tx: Transaction, meter: Meter, *, now: datetime) -> None:
        """A meter that speaks can be sent to: its deliveries need not wait out their back-off."""
        if self._hastened_lately(meter.tenant, meter.drn, now=now):
            return
        key = (meter.tenant, meter.drn)
        self._hastened[key] = now
        self._hastened.move_to_end(key)
        if len(self._hastened) > HASTEN_KNOWN:
            self._hastened.popitem(last=False)
        await tx.deliveries.hasten(meter.tenant, meter.drn, now=now)

    # --- what is told of tokens ----------------------------------------------------------------

    async def _token_seen(
        self, tx: Transaction, report: Report, seen: TokenSeen, *, now: datetime
    ) -> None:
        token = await _token_of(tx, report, seen)
        if token is None:
            self.dropped["unknown_token"] += 1
            return
        delivery = await tx.deliveries.find(token.tenant, token.delivery_id)
        if delivery is None or delivery.state is DeliveryState.DONE:
            return
        if isinstance(delivery.command, ChangeKey):
            return  # a word about one part proves no key: only who enters the set can judge it
        fact = _fact_told(seen, token)
        if fact is None:
            return
        by = Confirmation.ECHO if seen.token_id else Confirmation.TOKEN_LOG
        outcome = Outcome(
            fact=fact, by=by, token_id=token.id, echo=seen.outcome, supply=report.supply
        )
        await write_outcome(tx, delivery, outcome, now=now, spread=self._chance.spread())

    async def _register_seen(
        self, tx: Transaction, meter: Meter, report: Report, *, now: datetime
    ) -> None:
        """Whether the credit register shows the one recharge that is still in doubt."""
        types = {reading.type for reading in report.readings}
        if ReadingType.CREDIT_LEFT_MILLI not in types:
            return
        doubtful = [
            delivery
            for delivery in await tx.deliveries.of_meter(
                meter.tenant, meter.drn, states=_EVIDENCE_STATES
            )
            if delivery.out and delivery.recharge_id is not None and delivery.size == 1
        ]
        if len(doubtful) != 1:
            return  # none, or more than the register can tell apart
        await self._compare(tx, doubtful[0], report, now=now)

    async def _compare(
        self, tx: Transaction, delivery: Delivery, report: Report, *, now: datetime
    ) -> None:
        recharge = await tx.recharges.find(delivery.tenant, delivery.recharge_id or "")
        if recharge is None or not isinstance(recharge.encoded, Units):
            return  # money is consumed at a price that the registers do not tell
        before = await tx.readings.latest(delivery.tenant, delivery.drn, before=recharge.created_at)
        after = {reading.type: reading for reading in report.readings}
        if not register_shows(before, after, recharge.encoded.value):
            return
        (token,) = await tx.tokens.of(delivery.id, delivery.tenant)
        echo = TokenOutcome(result=TokenResult.ACCEPT, amount=recharge.encoded.value)
        outcome = Outcome(
            fact=Fact.SEEN,
            by=Confirmation.CREDIT_REGISTER,
            token_id=token.id,
            echo=echo,
            supply=report.supply,
        )
        await write_outcome(tx, delivery, outcome, now=now, spread=self._chance.spread())


async def _before(tx: Transaction, report: Report) -> dict[ReadingType, Reading]:
    oldest = min(reading.taken_at for reading in report.readings)
    return dict(await tx.readings.latest(report.tenant, report.drn, before=oldest))


async def _token_of(tx: Transaction, report: Report, seen: TokenSeen) -> Token | None:
    """The token of ours that a meter speaks of; by our command id, else by TID and amount."""
    if seen.token_id is not None:
        token = await tx.tokens.find(report.tenant, seen.token_id)
        return token if token is not None and token.drn == report.drn else None
    if seen.outcome.tid is None:
        return None
    found = await tx.tokens.by_tid(report.tenant, report.drn, seen.outcome.tid)
    if len(found) != 1:
        return None
    return found[0] if await _amount_fits(tx, found[0], seen.outcome.amount) else None


async def _amount_fits(tx: Transaction, token: Token, told: Decimal | None) -> bool:
    """Another vendor may have used the same minute: the amount tells whose token it was."""
    delivery = await tx.deliveries.find(token.tenant, token.delivery_id)
    if delivery is None or delivery.recharge_id is None or told is None:
        return True
    recharge = await tx.recharges.find(token.tenant, delivery.recharge_id)
    if recharge is None or recharge.encoded is None:
        return True
    return fits(recharge.encoded, told)


def _fact_told(seen: TokenSeen, token: Token) -> Fact | None:
    """What a late or unasked word about a token means for its delivery; None: nothing new."""
    result = seen.outcome.result
    if token.state is TokenState.TAKEN:
        return None
    if result.taken:
        strange = None not in (token.tid, seen.outcome.tid) and token.tid != seen.outcome.tid
        return None if strange else Fact.SEEN
    if seen.token_id is None:
        return None  # a refusal that does not answer our command may be of somebody's mistyping
    if result.refused:
        return Fact.REFUSED
    return Fact.USED if result is TokenResult.USED_ERROR else None


async def _supply_seen(tx: Transaction, supply: Supply, report: Report, *, now: datetime) -> None:
    """Let the recharges of a meter that wait for light know."""
    for recharge in await tx.recharges.unlit(report.tenant, report.drn):
        delivery = await tx.deliveries.of(recharge.id, recharge.tenant)
        after = settle(recharge, delivery, now=now, supply=supply)
        if (after.state, after.supply, after.dark_cause) != (
            recharge.state,
            recharge.supply,
            recharge.dark_cause,
        ):
            await tx.recharges.save(after, was=recharge.state)
            await announce(tx, *recharge_news(recharge, after, now=now))
