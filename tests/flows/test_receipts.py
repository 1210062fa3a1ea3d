"""Receipts that fail, never come, or lie: the customer has the digits, and nothing is harmed."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from adapters.handover.message import load_templates
from adapters.handover.providers import Provider, ProviderDown
from adapters.handover.router import Router
from headend.messages import ASK_AGAIN_AFTER, MAX_TIMES, Receipt
from headend.meters import Drn
from headend.receiving import ask_again, take_receipt
from headend.recharges import RechargeState
from headend.refusals import NothingToGive, TooOften, UnknownRecharge
from headend.tending import Tending
from headend.usage_points import ContactKind
from tests.fakes import MemoryStore
from tests.flows.world import TENANT, World, order, until

pytestmark = pytest.mark.virtual_time
DRN = "12345678903"
WITHIN_S = 60.0


@dataclass
class Carrier:
    """A gateway that takes every message, unless it is down."""

    down: bool = False
    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    async def send(self, message, contact):
        if self.down:
            raise ProviderDown("down")
        self.ids.append(message.id)
        self.texts.append(message.text)

    async def aclose(self) -> None:
        pass


class Post:
    """Two gateways, the first with receipts, before a head-end whose meter is dead."""

    def __init__(self, world, *, second_within_s=None) -> None:
        self.world = world
        self.first, self.second = Carrier(), Carrier()
        providers = [
            Provider("first", self.first, WITHIN_S),
            Provider("second", self.second, second_within_s),
        ]
        self.router = Router({ContactKind.SMS: providers}, load_templates())

    async def receipt(self, receipt, *, provider="first", reference=None) -> bool:
        carrier = self.first if provider == "first" else self.second
        return await take_receipt(
            self.world.store,
            self.world.clock,
            provider=provider,
            reference=reference or carrier.ids[-1],
            receipt=receipt,
        )

    async def ask(self, ident="r1") -> None:
        await ask_again(self.world.store, self.world.clock, TENANT, ident)

    async def messages(self, ident="r1"):
        delivery = await self.world.delivery_of(ident)
        async with self.world.store.look() as tx:
            return await tx.sent_messages.of(TENANT, delivery.id)


@pytest.fixture
async def world() -> World:
    world = World(MemoryStore())
    await world.set_up(DRN)
    await world.put_group(fallback_after_s=4)
    world.meters[Drn(DRN)].faults.silent = True
    return world


@pytest.fixture
async def post(world):
    post = Post(world)
    process = world.process()
    process.tending = Tending(
        world.store, post.router, clock=world.clock, chance=world.chance, wake=process.bus.wake
    )
    async with process.running():
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: post.first.texts, within_s=10)
        await asyncio.sleep(1)
        yield post


async def test_a_failed_receipt_brings_the_same_digits_through_the_next_provider(post):
    assert await post.receipt(Receipt.FAILED)
    await until(lambda: post.second.texts, within_s=5)
    assert post.second.texts == post.first.texts
    await asyncio.sleep(1)
    messages = await post.messages()
    assert [(one.provider, one.receipt) for one in messages] == [
        ("first", Receipt.FAILED),
        ("second", Receipt.NONE),
    ]


async def test_no_receipt_in_time_brings_the_next_provider(post):
    await asyncio.sleep(WITHIN_S - 10)
    assert not post.second.texts
    await until(lambda: post.second.texts, within_s=15)


async def test_a_failure_that_comes_hours_later_still_brings_the_next_provider(world):
    post = Post(world)
    process = world.process()
    process.tending = Tending(
        world.store, post.router, clock=world.clock, chance=world.chance, wake=process.bus.wake
    )
    tending = asyncio.create_task(process.tending.serve())
    await process.desk.recharge(order("r1", DRN))
    await until(lambda: post.first.texts, within_s=10)
    await asyncio.sleep(1)
    await post.receipt(Receipt.DELIVERED)
    async with world.store.begin() as tx:
        [message] = await tx.sent_messages.of(TENANT, (await world.delivery_of("r1")).id)
        await tx.sent_messages.save(replace(message, receipt=Receipt.NONE, receipt_at=None))
    world.clock.start += timedelta(hours=5)
    await post.receipt(Receipt.FAILED)
    await until(lambda: post.second.texts, within_s=5)
    tending.cancel()
    await asyncio.gather(tending, return_exceptions=True)


async def test_a_receipt_is_never_taken_for_entry(post, world):
    """The gateway says delivered and the phone shows nothing: remote goes on until it is lit."""
    assert await post.receipt(Receipt.DELIVERED)
    await asyncio.sleep(300)
    assert not post.second.texts
    assert (await world.recharge_of("r1")).state is RechargeState.ISSUED
    world.meters[Drn(DRN)].faults.silent = False
    await until(lambda: lit(world), within_s=1000)
    assert world.credited(DRN) == 10


async def test_a_customer_whom_a_lying_gateway_left_without_asks_again(post):
    await post.receipt(Receipt.DELIVERED)
    await asyncio.sleep(ASK_AGAIN_AFTER.total_seconds())
    await post.ask()
    await until(lambda: post.second.texts, within_s=5)
    assert post.second.texts == post.first.texts
    assert len(set(post.first.ids + post.second.ids)) == 2


async def test_who_asks_a_third_time_gets_it_from_the_first_again(post):
    for _ in range(2):
        await asyncio.sleep(ASK_AGAIN_AFTER.total_seconds() + 2)
        await post.ask()
        await asyncio.sleep(3)
    assert (len(post.first.texts), len(post.second.texts)) == (2, 1)
    assert len(set(post.first.ids + post.second.ids)) == 3


async def test_asking_is_bounded(post):
    with pytest.raises(TooOften, match="a moment ago"):
        await post.ask()
    for _ in range(MAX_TIMES - 1):
        await asyncio.sleep(ASK_AGAIN_AFTER.total_seconds() + 5)
        await post.ask()
        await asyncio.sleep(3)
    await asyncio.sleep(ASK_AGAIN_AFTER.total_seconds() + 5)
    with pytest.raises(TooOften, match="times already"):
        await post.ask()
    assert len(post.first.texts) + len(post.second.texts) == MAX_TIMES


async def test_gateways_that_fail_everything_make_no_storm(world):
    post = Post(world, second_within_s=WITHIN_S)
    process = world.process()
    process.tending = Tending(
        world.store, post.router, clock=world.clock, chance=world.chance, wake=process.bus.wake
    )
    async with process.running():
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: post.first.texts, within_s=10)
        for _ in range(120):
            await asyncio.sleep(5)
            for provider, carrier in (("first", post.first), ("second", post.second)):
                if carrier.ids:
                    await post.receipt(Receipt.FAILED, provider=provider)
    assert (len(post.first.texts), len(post.second.texts)) == (1, 1)


async def test_a_provider_that_is_down_is_tried_again_later(post):
    post.second.down = True
    await post.receipt(Receipt.FAILED)
    await asyncio.sleep(30)
    post.second.down = False
    await until(lambda: post.second.texts, within_s=120)


async def test_receipts_that_come_twice_out_of_order_or_for_nobody_change_nothing(post):
    assert not await post.receipt(Receipt.FAILED, reference="never-sent")
    assert not await post.receipt(Receipt.DELIVERED, provider="second", reference="x")
    for receipt in (Receipt.DELIVERED, Receipt.DELIVERED, Receipt.FAILED):
        assert await post.receipt(receipt)
    await asyncio.sleep(30)
    [message] = await post.messages()
    assert message.receipt is Receipt.DELIVERED
    assert not post.second.texts


async def test_a_credit_that_is_in_needs_no_more_digits(post, world):
    world.meters[Drn(DRN)].faults.silent = False
    await until(lambda: lit(world), within_s=1000)
    await post.receipt(Receipt.FAILED)
    await asyncio.sleep(200)
    assert not [text for text in post.second.texts if "need not" not in text]
    with pytest.raises(NothingToGive):
        await post.ask()
    with pytest.raises(UnknownRecharge):
        await post.ask("nobody")


async def test_who_asks_before_the_hand_over_gets_the_digits_at_once():
    world = World(MemoryStore())
    await world.set_up(DRN)
    world.meters[Drn(DRN)].faults.silent = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await ask_again(world.store, world.clock, TENANT, "r1")
        await until(lambda: world.postman.given, within_s=5)


async def lit(world):
    return (await world.recharge_of("r1")).state is RechargeState.LIT
