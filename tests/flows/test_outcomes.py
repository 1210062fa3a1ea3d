"""The outcome of a token after a doubt: asked for, weighed, never guessed; in virtual time."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from headend.deliveries import Confirmation, DeliveryState
from headend.evidence import EvidenceKind, Finding, Says, Weight, classify, doubt_of, weigh
from headend.looking import look
from headend.meters import Capability, Drn
from headend.ports import Report, TokenSeen
from headend.recharges import RechargeState
from headend.tokens import TokenOrigin, TokenOutcome, TokenResult
from tests.fakes import MemoryStore
from tests.flows.world import ALL, BUS, TENANT, World, a_poll_of, order, until

pytestmark = pytest.mark.virtual_time
DRN = "12345678903"


@pytest.fixture
async def world() -> World:
    world = World(MemoryStore())
    await world.set_up(DRN)
    return world


async def delivery_is(world: World, ident: str, state: DeliveryState) -> bool:
    delivery = await world.delivery_of(ident)
    return delivery is not None and delivery.state is state


async def evidence_of(world: World, ident: str):
    delivery = await world.delivery_of(ident)
    assert delivery is not None
    async with world.store.look() as tx:
        return delivery, await tx.evidence.of(delivery.id, TENANT)


def told_of(world: World, token, *, stored: bool) -> Report:
    """An event 0601 of this very token, as a gateway passes it on."""
    outcome = TokenOutcome(result=TokenResult.ACCEPT, tid=token.tid, origin=TokenOrigin.KEYPAD)
    return Report(
        tenant=TENANT,
        drn=Drn(DRN),
        bus=BUS,
        address=DRN,
        tokens=(TokenSeen(outcome=outcome),),
        alive=False,
        stored=stored,
        told_at=world.clock.now(),
    )


async def the_token(world: World, ident: str):
    delivery = await world.delivery_of(ident)
    assert delivery is not None
    async with world.store.look() as tx:
        (token,) = await tx.tokens.of(delivery.id, TENANT)
    return token


async def test_a_stored_message_proves_nothing_and_a_live_one_does(world):
    world.meters[Drn(DRN)].faults.silent = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: world.postman.given, within_s=90)
        token = await the_token(world, "r1")
        await process.intake.accept((told_of(world, token, stored=True),))
        delivery, evidence = await evidence_of(world, "r1")
        assert delivery.state is not DeliveryState.DONE
        (event,) = [one for one in evidence if one.kind is EvidenceKind.EVENT]
        assert weigh(event, doubt_of(delivery)) is Weight.NOTHING
        await process.intake.accept((told_of(world, token, stored=False),))
        delivery, evidence = await evidence_of(world, "r1")
    assert delivery.state is DeliveryState.DONE
    assert classify(evidence, doubt_of(delivery)).finding is Finding.TAKEN_BY_HAND


async def test_a_message_from_before_the_sale_proves_nothing_though_it_names_the_token(world):
    world.meters[Drn(DRN)].faults.silent = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        token = await the_token(world, "r1")
        early = replace(
            told_of(world, token, stored=False), told_at=world.clock.now() - timedelta(hours=1)
        )
        await process.intake.accept((early,))
        delivery = await world.delivery_of("r1")
    assert delivery.state is not DeliveryState.DONE


async def test_what_is_unresolved_is_looked_at_again_by_itself_and_found(world):
    """Past the deadline nothing is sent any more; the customer types the digits an hour later."""
    await world.put_group(deadline_after_s=120)
    async with world.store.begin() as tx:
        await tx.polls.put(a_poll_of(DRN, world.clock.now(), interval_s=900))
    meter = world.meters[Drn(DRN)]
    meter.faults.silent = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: delivery_is(world, "r1", DeliveryState.UNRESOLVED), within_s=300)
        meter.faults.silent = False
        await asyncio.sleep(3600)
        delivery, evidence = await evidence_of(world, "r1")
        assert classify(evidence, doubt_of(delivery)).finding is Finding.NOT_SEEN
        asked = [one for one in evidence if one.says is Says.NOT_SEEN]
        assert 5 < max(one.times for one in asked) < 60, "often at first, then ever less"
        meter.customer_types(world.postman.given[0].digits[0], world.clock.now())
        await until(lambda: delivery_is(world, "r1", DeliveryState.DONE), within_s=900)
    delivery, evidence = await evidence_of(world, "r1")
    assert delivery.confirmed_by is Confirmation.TOKEN_LOG
    assert (await world.recharge_of("r1")).state is RechargeState.LIT
    assert world.credited(DRN) == 10


async def test_the_credit_of_another_sale_never_proves_this_one(world):
    """The same amount, bought twice; the first one is not in, and the register cannot tell."""
    meter = world.meters[Drn(DRN)]
    can = ALL & ~Capability.TOKEN_OUTCOME
    process = world.process()
    process.bus._driver.can = can
    async with process.running():
        await process.intake.accept((await read(world, process),))
        await asyncio.sleep(1)
        meter.faults.silent = True
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: world.postman.given, within_s=90)
        process.bus._driver.can = Capability.READ  # nothing can be entered by remote any more
        await asyncio.sleep(70)
        meter.faults.silent = False
        await process.desk.recharge(order("r2", DRN))
        token = await the_token(world, "r2")
        meter.customer_types(token.digits, world.clock.now())
        await process.intake.accept((told_of(world, token, stored=False),))
        assert (await world.delivery_of("r2")).state is DeliveryState.DONE
        await process.intake.accept((await read(world, process),))
        first = await world.delivery_of("r1")
    assert first.state is not DeliveryState.DONE
    assert world.credited(DRN) == 10


async def read(world: World, process) -> Report:
    async with world.store.look() as tx:
        meter = await tx.meters.find(TENANT, Drn(DRN))
    assert meter is not None
    (report,) = await look(process.bus._driver, meter, (), clock=world.clock, within_s=60)
    return report
