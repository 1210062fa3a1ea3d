"""The back-office's books agree with ours, whatever dies on the way, in virtual time."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby

import pytest

from headend.cloud_events import event_body
from headend.events import EventType, MeterEvent
from headend.intake import Intake
from headend.meters import Drn
from headend.outbox import Announced, StreamFilter
from headend.ports import Report, TokenSeen
from headend.readings import Reading, ReadingType
from headend.recharges import RechargeState
from headend.supply_groups import Reveal
from tests.fakes import MemoryStore
from tests.flows.world import BUS, TENANT, Fuse, Killed, World, order, outcome_of, until

pytestmark = pytest.mark.virtual_time
DRN = "12345678903"
OTHER = "01234567897"
TWENTY = re.compile(rb"(?<![0-9A-Za-z])\d(?:[ -]?\d){19}")


@pytest.fixture
async def world() -> World:
    world = World(MemoryStore())
    await world.set_up(DRN, OTHER)
    return world


async def told(world: World) -> Sequence[Announced]:
    """All that was announced, in the order of the stream."""
    now = world.clock.now()
    async with world.store.begin() as tx:
        while await tx.outbox.order(now=now, give_up_at=now, limit=1000):
            pass
    async with world.store.look() as tx:
        return await tx.outbox.after(TENANT, 0, StreamFilter(), limit=10_000)


def kinds(events: Sequence[Announced]) -> list[str]:
    return [one.announcement.occurrence.value for one in events]


async def books_agree(world: World, *idents: str) -> None:
    """The last that was told of each sale is its state, and no number is missing."""
    events = await told(world)
    for ident in idents:
        recharge = await world.recharge_of(ident)
        of_sale = [
            one.announcement.data
            for one in events
            if one.announcement.occurrence.family == "recharge"
            and one.announcement.data["recharge"] == ident
        ]
        if recharge is None:
            assert of_sale == []
            continue
        last = of_sale[-1]
        assert last["state"] == recharge.state.value
        assert [one["was"] for one in of_sale] == [None, *(one["state"] for one in of_sale[:-1])]
    by_meter = groupby(sorted(events, key=_meter), key=lambda one: one.announcement.drn)
    for _, some in by_meter:
        sequences = [one.sequence for one in some]
        assert sequences == list(range(1, len(sequences) + 1))
    assert not any(TWENTY.search(event_body(one, "urn:test")) for one in events)


def _meter(one: Announced) -> tuple[str, int]:
    return one.announcement.drn or "", one.cursor


async def lit(world: World, ident: str) -> bool:
    recharge = await world.recharge_of(ident)
    return recharge is not None and recharge.state is RechargeState.LIT


async def test_a_healthy_sale_is_told_step_by_step(world):
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: lit(world, "r1"), within_s=10)
    assert kinds(await told(world))[:2] == ["recharge.created", "recharge.issued"]
    assert kinds(await told(world))[-1] == "recharge.lit"
    await books_agree(world, "r1")


async def test_a_repeat_of_the_caller_tells_nothing_twice(world):
    async with world.process().running() as process:
        for _ in range(3):
            await process.desk.recharge(order("r1", DRN))
        await until(lambda: lit(world, "r1"), within_s=10)
    assert kinds(await told(world)).count("recharge.created") == 1
    await books_agree(world, "r1")


async def test_digits_that_leave_are_told(world):
    world.meters[Drn(DRN)].faults.silent = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: world.postman.given, within_s=90)
        world.meters[Drn(DRN)].faults.silent = False
        await until(lambda: lit(world, "r1"), within_s=1000)
    said = [kind for kind in kinds(await told(world)) if kind.startswith("digits")]
    assert said == ["digits.out", "digits.handed_over"]
    await books_agree(world, "r1")


async def test_a_sale_reversed_that_a_customer_typed_after_all_is_an_alarm(world):
    """The digits were never out by us: they leaked, and the meter tells."""
    await world.put_group(reveal=Reveal.NEVER)
    meter = world.meters[Drn(DRN)]
    meter.faults.busy = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN, fallback_to=()))
        async with world.store.look() as tx:
            delivery = await tx.deliveries.of("r1", TENANT)
            (token,) = await tx.tokens.of(delivery.id, TENANT)

        async def reversed_() -> bool:
            with suppress(Exception):
                await process.desk.reverse(TENANT, "r1", reason="mistyped")
                return True
            return False

        await until(reversed_, within_s=60)
        meter.faults.busy = False
        meter.customer_types(token.digits, world.clock.now())
        entry = meter.tokens.newest_first()[0]
        report = Report(
            tenant=TENANT, drn=Drn(DRN), bus=BUS, address=DRN, tokens=(_seen(entry, token),)
        )
        await process.intake.accept([report])
        await process.intake.accept([report])
    alarms = [
        one.announcement.data
        for one in await told(world)
        if one.announcement.occurrence.value == "delivery.late_truth"
    ]
    assert len(alarms) == 1
    assert (alarms[0]["recharge"], alarms[0]["was"], alarms[0]["state"]) == (
        "r1",
        "cancelled",
        "done",
    )
    assert kinds(await told(world)).count("recharge.reversed") == 1


def _seen(entry, token):
    return TokenSeen(outcome=replace(outcome_of(entry), tid=token.tid))


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("after", range(1, 40, 3))
async def test_killed_at_any_step_the_books_agree(world, after, silent):
    world.meters[Drn(DRN)].faults.silent = silent
    with suppress(Killed, BaseExceptionGroup, AssertionError):
        async with world.process(Fuse(after)).running() as process:
            await process.desk.recharge(order("r1", DRN))
            await process.desk.recharge(order("r2", DRN))
            await until(lambda: lit(world, "r2"), within_s=60 if not silent else 100)
    await books_agree(world, "r1", "r2")
    world.meters[Drn(DRN)].faults.silent = False
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await process.desk.recharge(order("r2", DRN))
        await until(lambda: lit(world, "r1"), within_s=2000)
        await until(lambda: lit(world, "r2"), within_s=2000)
    await books_agree(world, "r1", "r2")
    assert kinds(await told(world)).count("recharge.created") == 2


# --- what comes to us twice ---------------------------------------------------------------------


def a_report(world: World, *, count: int = 1) -> Report:
    now = world.clock.now()
    events = tuple(
        MeterEvent(
            tenant=TENANT,
            drn=Drn(DRN),
            code=EventType.METER_COVER_OPENED,
            taken_at=now,
            received_at=now,
            number=number,
        )
        for number in range(count)
    )
    reading = Reading(
        tenant=TENANT,
        drn=Drn(DRN),
        type=ReadingType.ENERGY_IMPORT_WH,
        value=1,
        taken_at=now,
        received_at=now,
    )
    return Report(
        tenant=TENANT, drn=Drn(DRN), bus=BUS, address=DRN, events=events, readings=(reading,)
    )


@pytest.mark.parametrize("readings", [False, True])
async def test_what_is_replayed_to_us_is_told_once(world, readings):
    intake = Intake(world.store, world.clock, world.chance, announce_readings=readings)
    report, more = a_report(world), a_report(world, count=2)
    await intake.accept([report, report])
    await intake.accept([report])
    assert kinds(await told(world)).count("meter.event") == 1
    await intake.accept([more])
    assert kinds(await told(world)).count("meter.event") == 2
    assert kinds(await told(world)).count("readings.taken") == int(readings)
