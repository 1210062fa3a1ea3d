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
from headend.deliveries import OPEN_STATES, Confirmation, Delivery, DeliveryState, Fact
from headend.evidence import Evidence, EvidenceKind, Says, Weight, doubt_of, weigh
from headend.meters import Drn, Meter, TenantId
from headend.outbox import announce
from headend.outcomes import Outcome, write_outcome
from headend.ports import Chance, Clock, Report, TokenAnswer, TokenSeen
from headend.proving import expected_of, may_still_be_seen, said, says_of, silence, weigh_in
from headend.quantities import fits
from headend.readings import Quality, Reading, ReadingType, judge
from headend.recharges import settle
from headend.reconnecting import permit_after_credit
from headend.register_words import register_word
from headend.registers import believable_before
from headend.store import Store, Transaction
from headend.supply import Supply
from headend.supply_orders import supply_told
from headend.tokens import Token, TokenOutcome

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
        if report.readings or report.events or report.tokens or report.answers:
            return True
        if report.supply is not None:
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
        for answer in report.answers:
            await self._answered(tx, report, answer, now=now)
        if report.supply is not None and report.stored:
            await _look_instead(tx, report, now=now)
        elif report.supply is not None:
            await _supply_seen(tx, report.supply, report, now=now)
            if report.asked_at is not None:
                # What is told unasked may have left the meter before the order reached it.
                await supply_told(
                    tx, report.drn, report.tenant, report.supply, asked_at=report.asked_at, now=now
                )
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
        if delivery is None or not may_still_be_seen(delivery, token):
            return
        _, expected = await expected_of(tx, delivery)
        says = says_of(token, seen.outcome, expected)
        if says is None or (seen.token_id is None and says is not Says.TAKEN):
            return  # a refusal that does not answer our command may be of somebody's mistyping
        evidence = said(
            token,
            seen.outcome,
            kind=EvidenceKind.ECHO if seen.token_id else EvidenceKind.EVENT,
            says=says,
            now=now,
            told_at=report.told_at or seen.outcome.at,
            stored=report.stored,
        )
        if weigh(evidence, doubt_of(delivery)) is Weight.NOTHING:
            await self._ask_instead(tx, delivery, evidence, now=now)
            return
        if says is Says.USED:
            await self._late_used(tx, delivery, evidence, seen, now=now)
            return
        await self._weigh_in(tx, delivery, evidence, report, echo=seen.outcome, now=now)

    async def _ask_instead(
        self, tx: Transaction, delivery: Delivery, evidence: Evidence, *, now: datetime
    ) -> None:
        """The past proves nothing, but it is a reason to ask the meter soon."""
        self.dropped["old_evidence"] += 1
        await tx.evidence.note(evidence)
        await tx.polls.hasten(delivery.tenant, delivery.drn, due_at=now)

    async def _late_used(
        self, tx: Transaction, delivery: Delivery, evidence: Evidence, seen: TokenSeen,
        *, now: datetime,
    ) -> None:  # fmt: skip
        if delivery.by_remote and delivery.state in OPEN_STATES:
            # "Used" does not tell by whom: whoever sends it asks the log, now or at the next try.
            await tx.evidence.note(evidence)
            return
        outcome = Outcome(
            fact=Fact.USED,
            by=Confirmation.ECHO,
            token_id=evidence.token_id,
            echo=seen.outcome,
            evidence=(evidence,),
        )
        await write_outcome(tx, delivery, outcome, now=now, spread=self._chance.spread())

    async def _answered(
        self, tx: Transaction, report: Report, answer: TokenAnswer, *, now: datetime
    ) -> None:
        """What a meter said when it was asked of a token, without entering anything."""
        token = await tx.tokens.find(report.tenant, answer.token_id)
        if token is None or token.drn != report.drn:
            return
        delivery = await tx.deliveries.find(token.tenant, token.delivery_id)
        if delivery is None or not may_still_be_seen(delivery, token):
            return
        _, expected = await expected_of(tx, delivery)
        says = says_of(token, answer.outcome, expected)
        if says is None:
            return
        evidence = said(
            token,
            answer.outcome,
            kind=EvidenceKind.TOKEN_LOG,
            says=says,
            now=now,
            asked_at=answer.asked_at,
        )
        await self._weigh_in(tx, delivery, evidence, report, echo=answer.outcome, now=now)

    async def unanswered(self, asked: Sequence[Token], *, asked_at: datetime) -> None:
        """A meter was asked of these tokens and did not answer."""
        if not asked:
            return
        now = self._clock.now()
        async with self._store.begin() as tx:
            for token in asked:
                delivery = await tx.deliveries.find(token.tenant, token.delivery_id)
                if delivery is not None and delivery.state is not DeliveryState.DONE:
                    await tx.evidence.note(silence(token, asked_at=asked_at, now=now))

    async def _weigh_in(
        self,
        tx: Transaction,
        delivery: Delivery,
        evidence: Evidence,
        report: Report,
        *,
        echo: TokenOutcome | None,
        now: datetime,
    ) -> None:
        await weigh_in(
            tx,
            delivery,
            evidence,
            now=now,
            spread=self._chance.spread(),
            echo=echo,
            supply=None if report.stored else report.supply,
        )

    # --- what the registers tell -----------------------------------------------------------------

    async def _register_seen(
        self, tx: Transaction, meter: Meter, report: Report, *, now: datetime
    ) -> None:
        """What the credit register shows of the one recharge that is still in doubt."""
        types = {reading.type for reading in report.readings if reading.quality is Quality.GOOD}
        if report.stored or ReadingType.CREDIT_LEFT_MILLI not in types:
            return
        at_work = [
            delivery
            for delivery in await tx.deliveries.of_meter(
                meter.tenant, meter.drn, states=_EVIDENCE_STATES
            )
            if delivery.recharge_id is not None
            and (delivery.out or delivery.state is DeliveryState.SENDING)
        ]
        if len(at_work) != 1:
            return  # none, or more than the register can tell apart
        (doubtful,) = at_work
        if doubtful.out and doubtful.size == 1:
            await self._compare(tx, doubtful, report, now=now)

    async def _compare(
        self, tx: Transaction, delivery: Delivery, report: Report, *, now: datetime
    ) -> None:
        recharge = await tx.recharges.find(delivery.tenant, delivery.recharge_id or "")
        if recharge is None:
            return
        found = await register_word(
            tx,
            delivery,
            recharge,
            await believable_before(tx, recharge),
            _good(report),
            told_at=max(reading.taken_at for reading in report.readings),
            asked_at=report.asked_at,
            now=now,
        )
        if found is not None:
            word, echo = found
            await self._weigh_in(tx, delivery, word, report, echo=echo, now=now)


def _good(report: Report) -> dict[ReadingType, Reading]:
    return {reading.type: reading for reading in report.readings if reading.quality is Quality.GOOD}


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


async def _look_instead(tx: Transaction, report: Report, *, now: datetime) -> None:
    """The past proves no light, but it is a reason to look soon."""
    if await tx.recharges.unlit(report.tenant, report.drn):
        await tx.polls.hasten(report.tenant, report.drn, due_at=now)


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
            if delivery is not None:
                await permit_after_credit(tx, delivery, after, now=now)
