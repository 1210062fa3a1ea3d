"""The bus: who gets a slot, with a driver whose conversations take as long as the test wants."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from headend.agenda import Urgency
from headend.bus import Bus
from headend.bus_ports import BusPorts
from headend.commands import Command, EnterToken, SetClock
from headend.deliveries import Confirmation, Delivery, DeliveryState
from headend.events import MeterEvent
from headend.intake import Intake
from headend.meters import Capability, Drn, Meter, ProfileName
from headend.polling import Poll
from headend.ports import Driver
from headend.readings import Reading, ReadingType
from headend.supply import Contacts, Supply, SupplyReason
from headend.tokens import Token, TokenOutcome, TokenResult
from tests.builders import (
    BUS,
    NOW,
    TENANT,
    a_delivery,
    a_drn,
    a_meter,
    a_reading,
    a_recharge,
    a_token,
    always_open,
    an_opening,
)
from tests.fakes import MemoryStore, SeededChance

pytestmark = pytest.mark.virtual_time
# What a slow command, reading or logbook takes here.
SLOW_S = 40.0


class LoopClock:
    def now(self) -> datetime:
        return NOW + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass
class Talk:
    """One conversation: whom with, why, and when it began."""

    drn: Drn
    urgency: Urgency
    began_s: float


@dataclass
class Meters:
    """Every conversation but one about a token takes SLOW_S."""

    talks: list[Talk] = field(default_factory=list)
    ordered: list[str] = field(default_factory=list)

    def capabilities(self, profile: ProfileName) -> Capability:
        return ~Capability.NONE

    @asynccontextmanager
    async def open(
        self, meter: Meter, *, urgency: Urgency = Urgency.READING
    ) -> AsyncIterator["Session"]:
        self.talks.append(Talk(meter.drn, urgency, asyncio.get_running_loop().time()))
        yield Session(meter.drn, self.ordered)


@dataclass
class Session:
    """Satisfies what these tests ask of a session."""

    drn: Drn
    ordered: list[str]

    async def read(self) -> Sequence[Reading]:
        await asyncio.sleep(1)
        return [a_reading(drn=self.drn)]

    async def events(self, *, after: int) -> Sequence[MeterEvent]:
        return []

    async def history(self, *, since: datetime | None) -> Sequence[Reading]:
        await asyncio.sleep(SLOW_S)
        day = NOW - timedelta(hours=12)
        kind = ReadingType.ENERGY_IMPORT_DAY_WH
        return [a_reading(drn=self.drn, type=kind, taken_at=day)]

    async def enter_token(self, token: Token, *, attempt: int) -> TokenOutcome:
        await asyncio.sleep(1)
        return TokenOutcome(result=TokenResult.ACCEPT, tid=token.tid)

    async def token_outcome(self, token: Token) -> TokenOutcome | None:
        return None

    async def supply(self) -> Supply:
        return Supply(contacts=Contacts.CLOSED, taken_at=NOW)

    async def set_supply(self, order: object, *, order_id: str) -> None:
        self.ordered.append(order_id)
        await asyncio.sleep(SLOW_S)

    async def set_clock(self, now: datetime) -> Confirmation:
        await asyncio.sleep(SLOW_S)
        return Confirmation.READ_BACK


@dataclass
class Site:
    store: MemoryStore = field(default_factory=MemoryStore)
    meters: Meters = field(default_factory=Meters)

    async def order(
        self, meter: int, command: Command, urgency: Urgency, **fields: object
    ) -> Delivery:
        drn = a_drn(meter)
        delivery = a_delivery(drn=drn, command=command, priority=urgency, rank=meter, **fields)
        async with self.store.begin() as tx:
            if await tx.meters.find(TENANT, drn) is None:
                await tx.meters.add(a_meter(drn=drn))
            await tx.deliveries.add(delivery)
            if isinstance(command, EnterToken):
                await tx.tokens.add(a_token(drn=drn, delivery_id=delivery.id))
        return delivery

    async def poll(self, meter: int) -> None:
        drn = a_drn(meter)
        async with self.store.begin() as tx:
            await tx.meters.add(a_meter(drn=drn))
            await tx.polls.put(Poll(tenant=TENANT, drn=drn, bus=BUS, due_at=NOW, interval_s=900))

    async def state(self, delivery: Delivery) -> DeliveryState:
        async with self.store.look() as tx:
            found = await tx.deliveries.find(TENANT, delivery.id)
        assert found is not None
        return found.state

    @asynccontextmanager
    async def serving(self, *, slots: int = 1) -> AsyncIterator[Bus]:
        clock, chance = LoopClock(), SeededChance()
        intake = Intake(self.store, clock, chance)
        driver: Driver = self.meters  # type: ignore[assignment] # a bus asks no more than this here
        ports = BusPorts(store=self.store, clock=clock, chance=chance, intake=intake)
        bus = Bus(BUS, slots=slots, driver=driver, ports=ports)
        task = asyncio.create_task(bus.serve())
        yield bus
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_token_waits_for_no_slot_that_less_urgent_work_holds():
    site = Site()
    await site.order(1, an_opening(), Urgency.SUPPLY)
    await site.order(2, EnterToken(), Urgency.BULK)
    await site.order(3, SetClock(), Urgency.READING)
    await site.poll(4)
    async with site.serving() as bus:
        await asyncio.sleep(5)
        token = await site.order(5, EnterToken(), Urgency.TOKEN)
        bus.wake()
        await asyncio.sleep(1.1)
        assert await site.state(token) is DeliveryState.DONE
    assert {talk.urgency for talk in site.meters.talks} == set(Urgency)


async def test_a_till_waits_for_no_job_however_many_lines_it_has():
    site = Site()
    for meter in range(1, 30):
        await site.order(meter, EnterToken(), Urgency.BULK)
    async with site.serving() as bus:
        await asyncio.sleep(3.5)
        till = await site.order(50, EnterToken(), Urgency.TOKEN)
        bus.wake()
        await asyncio.sleep(1.1)
        assert await site.state(till) is DeliveryState.DONE
    done = [talk for talk in site.meters.talks if talk.urgency is Urgency.BULK]
    assert 1 <= len(done) <= 5, "a job goes on, one conversation after the other"


async def test_of_one_meter_the_token_from_a_till_goes_before_that_of_a_job():
    site = Site()
    bulk = await site.order(1, EnterToken(), Urgency.BULK)
    till = await site.order(1, EnterToken(), Urgency.TOKEN)
    async with site.serving():
        await asyncio.sleep(1.1)
        assert await site.state(till) is DeliveryState.DONE
        await asyncio.sleep(1.1)
        assert await site.state(bulk) is DeliveryState.DONE


async def test_a_flood_of_one_urgency_starves_no_other():
    site = Site()
    for meter in range(1, 40):
        await site.order(meter, EnterToken(), Urgency.TOKEN)
        await site.order(meter + 40, EnterToken(), Urgency.BULK)
    clock = await site.order(90, SetClock(), Urgency.READING)
    async with site.serving():
        await asyncio.sleep(SLOW_S + 1)
        assert await site.state(clock) is DeliveryState.DONE


async def test_past_days_take_no_poll_s_place():
    site = Site()
    for meter in (1, 2, 3):
        await site.poll(meter)
    async with site.serving():
        await asyncio.sleep(10)
        read = [talk.drn for talk in site.meters.talks if talk.urgency is Urgency.READING]
        assert read == [a_drn(1), a_drn(2), a_drn(3)]
        await asyncio.sleep(3 * SLOW_S + 5)
        past = [talk for talk in site.meters.talks if talk.urgency is Urgency.HISTORY]
        assert [talk.drn for talk in past] == [a_drn(1), a_drn(2), a_drn(3)]
        assert past[1].began_s - past[0].began_s >= SLOW_S, "one logbook at a time"
        async with site.store.look() as tx:
            latest = await tx.readings.latest(TENANT, a_drn(3), before=NOW + timedelta(days=1))
    assert ReadingType.ENERGY_IMPORT_DAY_WH in latest


async def test_a_meter_whose_token_is_in_doubt_is_looked_at_before_due_readings():
    site = Site()
    await site.order(1, EnterToken(), Urgency.TOKEN, state=DeliveryState.UNRESOLVED)
    async with site.store.begin() as tx:
        poll = Poll(tenant=TENANT, drn=a_drn(1), bus=BUS, due_at=NOW, interval_s=900)
        await tx.polls.put(poll)
    async with site.serving():
        await asyncio.sleep(5)
    assert site.meters.talks[0].urgency is Urgency.SUPPLY


@pytest.mark.parametrize("paid", [True, False])
async def test_an_opening_in_doubt_is_looked_at_and_sent_again_only_if_nobody_paid(paid):
    """The home is on, so the lost order was not carried out; the bus says why it stops."""
    site = Site()
    opening = await site.order(
        1, an_opening(reason=SupplyReason.NON_PAYMENT), Urgency.SUPPLY,
        state=DeliveryState.UNCERTAIN, maybe_taken=True, doubted_at=NOW,
    )  # fmt: skip
    async with site.store.begin() as tx:
        await tx.opening_hours.put(always_open(TENANT, a_meter().sts.sgc, NOW), was=None)
        if paid:
            sale = a_recharge(drn=opening.drn, issued_at=NOW + timedelta(seconds=1))
            await tx.recharges.add(sale)
    async with site.serving():
        await asyncio.sleep(30)
        assert site.meters.ordered == ([] if paid else [opening.id])
        if paid:
            await asyncio.sleep(600)
            assert await site.state(opening) is DeliveryState.UNRESOLVED
