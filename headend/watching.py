"""Watching: looks at the clocks that are due, records what passed, and tells the people in charge.

What passed is committed once, whoever looks and however often: clock, record and the message that
is owed stand in one commit. The message itself is given after it, once more if we die in between,
under the same name.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from headend.announcing import moment_json
from headend.compensations import cause_of, record_of
from headend.deliveries import Delivery, retry_at
from headend.errors import NotSent
from headend.escalations import Escalation
from headend.occurrences import Occurrence
from headend.outbox import Announcement, announce
from headend.ports import Alarm, Alert, Chance, Clock
from headend.recharges import Json, Recharge
from headend.restoration import RestorationClock, Strike, Threshold, strike
from headend.rounds import Rounds
from headend.store import Store, Transaction
from headend.supply_groups import SupplyGroup, default_group

LOOKERS = 8
TELLERS = 8
TELL_TIMEOUT_S = 60.0
CLAIM = timedelta(seconds=TELL_TIMEOUT_S + 30)
TELL_RETRY_FIRST_S = 5.0
TELL_RETRY_MAX_S = 300.0
TELL_UNTIL = timedelta(hours=24)


class Watch:
    """Looks at clocks and tells people, until cancelled."""

    def __init__(self, store: Store, alarm: Alarm, *, clock: Clock, chance: Chance) -> None:
        self._store = store
        self._alarm = alarm
        self._clock = clock
        self._chance = chance
        self._clocks = Rounds(self._due, self._look, at_once=LOOKERS)
        self._messages = Rounds(self._claim, self._tell, at_once=TELLERS)

    async def serve(self) -> None:
        """Go round every second until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._clocks.serve())
            group.create_task(self._messages.serve())

    # --- clocks --------------------------------------------------------------------------------

    async def _due(self, limit: int) -> Sequence[RestorationClock]:
        async with self._store.look() as tx:
            return await tx.restoration_clocks.due(now=self._clock.now(), limit=limit)

    async def _look(self, clock: RestorationClock) -> None:
        """Two that look at once: the slower one is Stale and has written nothing."""
        now = self._clock.now()
        async with self._store.look() as tx:
            recharge = await tx.recharges.find(clock.tenant, clock.recharge_id)
            delivery = await tx.deliveries.of(clock.recharge_id, clock.tenant)
            group = await tx.supply_groups.find(clock.tenant, clock.sgc)
        assert recharge is not None, "a clock belongs to a recharge"
        found = strike(clock, recharge, delivery, now=now)
        async with self._store.begin() as tx:
            await tx.restoration_clocks.save(found.clock, was=clock.version)
            await _record(tx, found, recharge, delivery, now=now)
            known = group or default_group(clock.tenant, clock.sgc, now)
            for threshold in found.passed:
                await _owe(tx, clock, threshold, known, now=now)
                await announce(tx, _news(clock, threshold, recharge, delivery, now=now))

    # --- people in charge ----------------------------------------------------------------------

    async def _claim(self, limit: int) -> Sequence[Escalation]:
        now = self._clock.now()
        async with self._store.look() as tx:
            if not await tx.escalations.due(now=now, limit=1):
                return ()
        async with self._store.begin() as tx:
            due = await tx.escalations.due(now=now, limit=limit)
            for one in due:
                await tx.escalations.save(replace(one, not_before=now + CLAIM))
        return due

    async def _tell(self, escalation: Escalation) -> None:
        given = await self._given(escalation)
        now = self._clock.now()
        if given:
            after = replace(escalation, given_at=now, not_before=None)
        else:
            after = self._later(escalation, now)
        async with self._store.begin() as tx:
            await tx.escalations.save(after)

    async def _given(self, escalation: Escalation) -> bool:
        now = self._clock.now()
        async with self._store.look() as tx:
            alert = await _alert(tx, escalation, now=now)
        try:
            async with asyncio.timeout(TELL_TIMEOUT_S):
                await self._alarm.tell(alert)
        except (NotSent, TimeoutError):
            return False
        return True

    def _later(self, escalation: Escalation, now: datetime) -> Escalation:
        tries = escalation.tries + 1
        if now - escalation.made_at > TELL_UNTIL:
            return replace(escalation, tries=tries, not_before=None)
        again = retry_at(
            tries,
            now=now,
            spread=self._chance.spread(),
            first_s=TELL_RETRY_FIRST_S,
            longest_s=TELL_RETRY_MAX_S,
        )
        return replace(escalation, tries=tries, not_before=again)


async def _record(
    tx: Transaction, found: Strike, recharge: Recharge, delivery: Delivery | None, *, now: datetime
) -> None:
    """The compensation, when the limit passed; and its end, when that comes."""
    clock = found.clock
    if Threshold.LIMIT in found.passed:
        meter = await tx.meters.find(clock.tenant, clock.drn)
        point = meter.usage_point if meter else None
        record = record_of(clock, recharge, delivery, usage_point=point, now=now)
        await tx.compensations.add(record)
    elif clock.limit_passed_at is not None:
        known = await tx.compensations.find(clock.tenant, clock.recharge_id)
        if known is not None:
            # The cause of a home that is lit again is what it was while it was dark.
            cause = known.cause if clock.ended_at else cause_of(recharge, delivery)
            ended = replace(known, ended_at=clock.ended_at, ended_by=clock.ended_by, cause=cause)
            await tx.compensations.ended(ended)


async def _owe(
    tx: Transaction,
    clock: RestorationClock,
    threshold: Threshold,
    group: SupplyGroup,
    *,
    now: datetime,
) -> None:
    if not group.restoration.contacts:
        return
    await tx.escalations.add(
        Escalation(
            tenant=clock.tenant,
            recharge_id=clock.recharge_id,
            threshold=threshold,
            contacts=group.restoration.contacts,
            language=group.language,
            made_at=now,
            not_before=now,
        )
    )


def _news(
    clock: RestorationClock,
    threshold: Threshold,
    recharge: Recharge,
    delivery: Delivery | None,
    *,
    now: datetime,
) -> Announcement:
    data: Mapping[str, Json] = {
        "recharge": clock.recharge_id,
        "reference": recharge.order.reference,
        "sgc": clock.sgc,
        "state": recharge.state.value,
        "cause": cause_of(recharge, delivery),
        "paid_at": moment_json(clock.paid_at),
        "tell_at": moment_json(clock.tell_at),
        "limit_at": moment_json(clock.limit_at),
    }
    return Announcement(
        tenant=clock.tenant, drn=clock.drn, occurrence=_NEWS[threshold], at=now, data=data
    )


_NEWS = {
    Threshold.TELL: Occurrence.RESTORATION_OVERDUE,
    Threshold.LIMIT: Occurrence.RESTORATION_LIMIT_PASSED,
}


async def _alert(tx: Transaction, escalation: Escalation, *, now: datetime) -> Alert:
    tenant, ident = escalation.tenant, escalation.recharge_id
    recharge = await tx.recharges.find(tenant, ident)
    clock = await tx.restoration_clocks.find(tenant, ident)
    assert recharge is not None, "an escalation belongs to a recharge"
    assert clock is not None, "and to its clock"
    delivery = await tx.deliveries.of(ident, tenant)
    end = clock.ending(recharge, delivery)
    return Alert(
        id=f"{tenant}/{ident}.{escalation.threshold}",
        drn=recharge.drn,
        language=escalation.language,
        contacts=escalation.contacts,
        recharge=ident,
        reference=recharge.order.reference,
        limit=escalation.threshold is Threshold.LIMIT,
        minutes=max(0, round(((end[1] if end else now) - clock.paid_at).total_seconds() / 60)),
        state=f"{recharge.state}, {cause_of(recharge, delivery)}",
    )
