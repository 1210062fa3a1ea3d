"""The post office in virtual time: everybody is told everything, whatever some receivers do."""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from headend.errors import ModuleDown
from headend.outbox import Bell, announce
from headend.outbox_pruning import Kept, prune_outbox
from headend.posting import LEASE, LOOK_EVERY, PostingPorts, PostOffice
from headend.receivers import Message, Reply
from headend.refusals import MalformedOrder, OrderRefused
from headend.webhook_desk import WebhookDesk, WebhookOrder
from headend.webhook_refusals import ReceiverRefused, TooManyWebhooks, UnknownWebhook
from headend.webhooks import MAX_WEBHOOKS, PausedBy, SealedSecret, WebhookState
from tests.builders import OTHER_TENANT, TENANT, a_drn, an_announcement
from tests.fakes import MemoryStore, SeededChance
from tests.flows.world import LoopClock, until

pytestmark = pytest.mark.virtual_time
Answer = Callable[[Message], Awaitable[Reply]]
DAY_S = 86_400
# For stories of days.
ONCE_A_MINUTE = timedelta(minutes=1)


class Chance(SeededChance):
    def secret(self) -> bytes:
        return self._random.randbytes(32)


class PlainSeals:
    """Seals that hide nothing but still open only where they were bound."""

    broken = False

    def seal(self, secret: bytes, *, bound_to: str) -> SealedSecret:
        return SealedSecret(b"", bound_to.encode() + b"|" + secret, "m")

    def unseal(self, sealed: SealedSecret, *, bound_to: str) -> bytes:
        owner, _, secret = sealed.ciphertext.partition(b"|")
        if self.broken or owner.decode() != bound_to:
            raise ModuleDown("no master key")
        return secret


async def takes(_message: Message) -> Reply:
    await asyncio.sleep(0.05)
    return Reply(status=200)


def says(status: int | None, **more: Any) -> Answer:
    async def answer(_message: Message) -> Reply:
        await asyncio.sleep(0.05)
        return Reply(status=status, detail=f"answered {status}", **more)

    return answer


async def hangs(_message: Message) -> Reply:
    await asyncio.sleep(10)
    return Reply(detail="no answer within 10 s")


@dataclass
class World:
    """A store, receivers by URL, and what each was told."""

    store: MemoryStore = field(default_factory=MemoryStore)
    clock: LoopClock = field(default_factory=LoopClock)
    chance: Chance = field(default_factory=Chance)
    seals: PlainSeals = field(default_factory=PlainSeals)
    answers: dict[str, Answer] = field(default_factory=dict)
    told: list[Message] = field(default_factory=list)
    taken: list[Message] = field(default_factory=list)
    bell: Bell = field(default_factory=Bell)
    look_every: timedelta = LOOK_EVERY

    def check(self, url: str) -> None:
        if not url.startswith("https://"):
            raise ReceiverRefused("url: no", field="url")

    async def tell(self, message: Message) -> Reply:
        self.told.append(message)
        reply = await self.answers.get(message.url, takes)(message)
        if reply.taken:
            self.taken.append(message)
        return reply

    @property
    def desk(self) -> WebhookDesk:
        return WebhookDesk(
            self.store, self, self.seals, clock=self.clock, chance=self.chance, wake=self.bell
        )

    def office(self) -> PostOffice:
        ports = PostingPorts(
            store=self.store,
            receivers=self,
            seals=self.seals,
            clock=self.clock,
            chance=self.chance,
            announced=self.bell,
            ordered=Bell(),
        )
        return PostOffice(ports, source="urn:test", look_every=self.look_every)

    @asynccontextmanager
    async def running(self, offices: int = 1):
        tasks = [asyncio.create_task(self.office().serve()) for _ in range(offices)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def hook(self, url: str = "https://a.example/", **order: Any):
        return (await self.desk.add(TENANT, WebhookOrder(url=url, **order))).webhook

    async def say(self, *serials: int) -> None:
        said = [an_announcement(drn=a_drn(serial), at=self.clock.now()) for serial in serials]
        async with self.store.begin() as tx:
            await announce(tx, *said)

    async def backlog(self, webhook):
        async with self.store.look() as tx:
            found = {one.webhook_id: one for one in await tx.postings.backlogs(None)}
        return found.get(webhook.id)

    def told_more_than(self, count: int) -> bool:
        return len(self.taken) > count

    def sequences(self, url: str, messages: list[Message]) -> list[str]:
        return [message.id.rpartition("_")[2] for message in messages if message.url == url]


async def test_everything_is_told_once_and_in_the_order_of_each_meter():
    world = World()
    await world.hook()
    async with world.running(offices=3):
        for _ in range(20):
            await world.say(1, 2, 3)
        await until(lambda: len(world.taken) == 60, within_s=60)
    assert len(world.told) == 60
    by_meter: dict[bytes, list[bytes]] = {}
    for message in world.taken:
        subject = message.body.partition(b'"subject":"')[2][:11]
        sequence = message.body.partition(b'"sequence":"')[2][:12]
        by_meter.setdefault(subject, []).append(sequence)
    assert sorted(by_meter) == sorted(a_drn(serial).encode() for serial in (1, 2, 3))
    for sequences in by_meter.values():
        assert [int(one) for one in sequences] == list(range(1, 21))


async def test_dead_receivers_delay_nobody_else():
    world = World()
    for number in range(10):
        world.answers[f"https://dead{number}.example/"] = hangs
        await world.hook(f"https://dead{number}.example/")
    await world.hook("https://well.example/")
    async with world.running():
        await asyncio.sleep(5)
        for _ in range(30):
            began = world.clock.now()
            await world.say(1)
            await until(partial(world.told_more_than, len(world.taken)), within_s=2)
            assert world.clock.now() - began < timedelta(seconds=2)
            await asyncio.sleep(10)


async def test_a_dead_receiver_is_let_rest_and_told_all_when_it_is_back():
    world = World(look_every=timedelta(seconds=10))
    hook = await world.hook()
    world.answers[hook.url] = hangs
    async with world.running():
        for _ in range(100):
            await world.say(*range(1, 10))
        await asyncio.sleep(3600)
        assert len(world.told) < 60
        found = await world.desk.find(TENANT, hook.id)
        assert found.health.failing_since is not None
        world.answers[hook.url] = takes
        await until(lambda: len(world.taken) == 900, within_s=1800)
        found = await world.desk.find(TENANT, hook.id)
    assert (found.health.failures, found.health.failing_since) == (0, None)
    assert await world.backlog(hook) is None


async def test_what_a_receiver_never_took_is_dead_after_three_days_and_replayed():
    world = World(look_every=ONCE_A_MINUTE)
    hook = await world.hook()
    world.answers[hook.url] = says(500)
    async with world.running():
        await world.say(*range(1, 9), *range(1, 9))
        await asyncio.sleep(2 * DAY_S)
        assert (await world.backlog(hook)).pending == 16
        await asyncio.sleep(2 * DAY_S)
        backlog = await world.backlog(hook)
        assert (backlog.pending, backlog.dead) == (0, 16)
        letters = await world.desk.dead_letters(TENANT, hook.id, after=0, limit=50)
        assert len(letters) == 16
        world.answers[hook.url] = takes
        first = {message.id for message in world.told}
        one = await world.desk.replay_one(TENANT, hook.id, letters[0].announced.id)
        await until(lambda: len(world.taken) == 1, within_s=1800)
        rest = await world.desk.replay_dead(TENANT, hook.id)
        assert (one.count, rest.count, rest.more) == (1, 15, False)
        await until(lambda: len(world.taken) == 16, within_s=1800)
    assert {message.id for message in world.taken} >= first
    assert await world.backlog(hook) is None


async def test_an_event_that_alone_is_rejected_keeps_the_next_ones_not_for_long():
    world = World(look_every=ONCE_A_MINUTE)
    hook = await world.hook()

    async def picky(message: Message) -> Reply:
        return Reply(status=422 if message.id.endswith("_1") else 200, detail="answered 422")

    world.answers[hook.url] = picky
    async with world.running():
        await world.say(1, 1, 1, 2)
        await until(lambda: len(world.taken) == 3, within_s=300)
        assert (await world.backlog(hook)).pending == 1
        await asyncio.sleep(5 * DAY_S)
        assert (await world.backlog(hook)).dead == 1
        tries = len(world.sequences(hook.url, world.told)) - 3
    assert 20 <= tries <= 45


async def test_gone_pauses_the_webhook_and_loses_nothing():
    world = World()
    hook = await world.hook()
    world.answers[hook.url] = says(410)
    async with world.running():
        await world.say(1, 2)
        await asyncio.sleep(600)
        found = await world.desk.find(TENANT, hook.id)
        assert (found.state, found.paused_by) == (WebhookState.PAUSED, PausedBy.RECEIVER)
        assert len(world.told) == 2
        world.answers[hook.url] = takes
        await world.desk.change(TENANT, hook.id, WebhookOrder(state=WebhookState.ACTIVE))
        await until(lambda: len(world.taken) == 2, within_s=30)


@pytest.mark.parametrize(
    ("asked", "waited_s"), [(timedelta(minutes=10), 600), (timedelta(days=30), 3600)]
)
async def test_a_receiver_that_asks_to_come_later_is_left_alone_within_bounds(asked, waited_s):
    world = World(look_every=timedelta(seconds=10))
    hook = await world.hook()
    world.answers[hook.url] = says(429, retry_after=asked)
    async with world.running():
        await world.say(1)
        await until(lambda: world.told, within_s=5)
        world.answers[hook.url] = takes
        began = world.clock.now()
        await world.say(2)
        await until(lambda: len(world.taken) == 2, within_s=2 * waited_s)
        took = (world.clock.now() - began).total_seconds()
    assert waited_s - 5 <= took <= waited_s + 60


async def test_killed_between_taking_and_telling_it_is_told_by_the_next():
    world = World()
    await world.hook()
    await world.say(1)

    async def dies(_message: Message) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    world.answers["https://a.example/"] = dies
    async with world.running():
        await until(lambda: world.told, within_s=5)
    world.answers["https://a.example/"] = takes
    async with world.running():
        await until(lambda: world.taken, within_s=LEASE.total_seconds() + 5)
    first, second = world.told
    assert first.id == second.id
    assert first.body == second.body


async def test_paused_it_is_told_later_and_after_three_days_by_replay_only():
    world = World(look_every=ONCE_A_MINUTE)
    hook = await world.hook()
    pause = WebhookOrder(state=WebhookState.PAUSED)
    resume = WebhookOrder(state=WebhookState.ACTIVE)
    await world.desk.change(TENANT, hook.id, pause)
    async with world.running():
        await world.say(1)
        await asyncio.sleep(DAY_S)
        assert not world.told
        await world.desk.change(TENANT, hook.id, resume)
        await until(lambda: len(world.taken) == 1, within_s=5)
        await world.desk.change(TENANT, hook.id, pause)
        await world.say(1)
        await asyncio.sleep(4 * DAY_S)
        await prune_outbox(world.store, world.clock, Kept())
        await world.desk.change(TENANT, hook.id, resume)
        await asyncio.sleep(60)
        assert len(world.taken) == 1
        assert (await world.backlog(hook)).dead == 1
        await world.desk.replay_dead(TENANT, hook.id)
        await until(lambda: len(world.taken) == 2, within_s=5)


async def test_what_happened_in_a_time_is_told_again_with_the_same_ids():
    world = World()
    hook = await world.hook(types=("headend.recharge.*",))
    async with world.running():
        await world.say(1)
        await asyncio.sleep(60)
        since = world.clock.now()
        await world.say(2, 3)
        await asyncio.sleep(60)
        until_ = world.clock.now()
        await world.say(4)
        await until(lambda: len(world.taken) == 4, within_s=5)
        replayed = await world.desk.replay_since(TENANT, hook.id, since=since, until=until_)
        assert (replayed.count, replayed.more) == (2, False)
        await until(lambda: len(world.taken) == 6, within_s=5)
    ids = [message.id for message in world.taken]
    assert sorted(ids[4:]) == sorted(ids[1:3])


async def test_a_new_secret_signs_beside_the_old_one_for_a_time():
    world = World()
    made = await world.desk.add(TENANT, WebhookOrder(url="https://a.example/"))
    async with world.running():
        rotated = await world.desk.rotate(TENANT, made.webhook.id, old_for=timedelta(hours=1))
        assert rotated.secret != made.secret
        await world.say(1)
        await until(lambda: len(world.taken) == 1, within_s=5)
        await asyncio.sleep(3600)
        await world.say(1)
        await until(lambda: len(world.taken) == 2, within_s=5)
    both, one = ([_text(secret) for secret in message.secrets] for message in world.taken)
    assert both == [rotated.secret, made.secret]
    assert one == [rotated.secret]


def _text(secret: bytes) -> str:
    return "whsec_" + b64encode(secret).decode()


async def test_a_secret_that_does_not_open_loses_nothing():
    world = World()
    hook = await world.hook()
    world.seals.broken = True
    async with world.running():
        await world.say(1)
        await asyncio.sleep(300)
        found = await world.desk.find(TENANT, hook.id)
        assert "does not open" in found.health.detail
        world.seals.broken = False
        await until(lambda: world.taken, within_s=3600)


async def test_the_desk_refuses_what_cannot_be():
    world = World()
    desk = world.desk
    with pytest.raises(ReceiverRefused):
        await world.hook("http://a.example/")
    with pytest.raises(MalformedOrder, match="no event type"):
        await world.hook(types=("headend.recharge.gone.v1",))
    hook = await world.hook()
    with pytest.raises(ReceiverRefused):
        await desk.change(TENANT, hook.id, WebhookOrder(url="http://a.example/"))
    for call in (
        desk.find(OTHER_TENANT, hook.id),
        desk.remove(OTHER_TENANT, hook.id),
        desk.rotate(OTHER_TENANT, hook.id, old_for=timedelta(0)),
        desk.change(OTHER_TENANT, hook.id, WebhookOrder(description="mine")),
        desk.replay_dead(OTHER_TENANT, hook.id),
    ):
        with pytest.raises(UnknownWebhook):
            await call
    for event in ("nonsense", f"{a_drn(1)}-1", f"{a_drn(1)}--1", "tenant-1", "tenant-" + "9" * 30):
        with pytest.raises(OrderRefused):
            await desk.replay_one(TENANT, hook.id, event)
    for _ in range(MAX_WEBHOOKS - 1):
        await world.hook()
    with pytest.raises(TooManyWebhooks):
        await world.hook()


async def test_a_secret_never_prints():
    world = World()
    made = await world.desk.add(TENANT, WebhookOrder(url="https://a.example/?password=hidden"))
    assert made.secret not in repr(made)
    assert "hidden" not in repr(made)
    message = replace(
        Message(url=made.webhook.url, id="1", at=world.clock.now(), body=b"", secrets=(b"hidden",))
    )
    assert "hidden" not in repr(message)


async def test_what_people_change_holds_from_the_next_message_on():
    """A lane with much to tell is paused, moved and given another secret in the middle."""
    world = World()
    made = await world.desk.add(TENANT, WebhookOrder(url="https://a.example/"))
    ident = made.webhook.id
    await world.say(*[1] * 50)
    async with world.running():
        await until(lambda: len(world.taken) >= 5, within_s=30)
        await world.desk.change(TENANT, ident, WebhookOrder(state=WebhookState.PAUSED))
        await asyncio.sleep(1)
        count = len(world.taken)
        await asyncio.sleep(10)
        assert len(world.taken) == count < 50
        rotated = await world.desk.rotate(TENANT, ident, old_for=timedelta(0))
        moved = WebhookOrder(url="https://b.example/", state=WebhookState.ACTIVE)
        await world.desk.change(TENANT, ident, moved)
        await until(lambda: len(world.taken) == 50, within_s=60)
    assert {message.url for message in world.taken[count:]} == {"https://b.example/"}
    assert {_text(message.secrets[0]) for message in world.taken[count:]} == {rotated.secret}


async def test_a_webhook_removed_in_the_middle_is_told_no_more():
    world = World()
    hook = await world.hook()
    await world.say(*[1] * 50)
    async with world.running():
        await until(lambda: len(world.taken) >= 5, within_s=30)
        await world.desk.remove(TENANT, hook.id)
        await asyncio.sleep(1)
        count = len(world.taken)
        await asyncio.sleep(10)
    assert len(world.taken) == count < 50
