"""The turns of a bus as the databases take them, against the plain rules of the store in memory."""

import random
from dataclasses import replace
from datetime import timedelta

from headend.commands import EnterToken, SetClock, SetSupply
from headend.deliveries import DeliveryMethod, DeliveryState, Fact
from headend.meters import BusName
from headend.supply import SupplyAction, SupplyReason
from tests.adapters.store.conftest import furnish
from tests.builders import BUS, NOW, OTHER_TENANT, TENANT, a_delivery, a_drn
from tests.fakes import MemoryStore

SECOND = timedelta(seconds=1)
PERMIT = SetSupply(SupplyAction.PERMIT_CLOSE, SupplyReason.NON_PAYMENT, expires_at=NOW)
OUTCOMES = (Fact.ACCEPTED, Fact.NO_ANSWER, Fact.NOT_SENT, Fact.REFUSED, Fact.UNSUPPORTED)


def a_random_delivery(luck):
    state = luck.choice([*DeliveryState, *[DeliveryState.WAITING] * 6])
    return a_delivery(
        tenant=luck.choice([TENANT, TENANT, OTHER_TENANT]),
        drn=a_drn(luck.randint(1, 3)),
        bus=luck.choice([BUS, BUS, BUS, BusName("line-2"), None]),
        command=luck.choice([EnterToken(), EnterToken(), SetClock(), PERMIT]),
        rank=luck.randint(1, 4),
        state=state,
        lease_until=NOW if state is DeliveryState.SENDING else None,
        methods=frozenset(luck.sample(list(DeliveryMethod), luck.randint(1, 3))),
        handed_at=luck.choice([None, None, NOW]),
        not_before=NOW + luck.randint(-2, 3) * SECOND,
        deadline=NOW + luck.randint(1, 12) * SECOND,
    )


async def step(store, luck_seed, now):
    """One worker's turn, and what became of what it took."""
    luck = random.Random(luck_seed)
    lease = {"lease_id": "lease-1", "lease_until": now + SECOND}
    async with store.begin() as tx:
        due = await tx.deliveries.next_due(BUS, now=now)
        limit, some = luck.randint(1, 3), luck.choice([[0], [3], [0, 3], [0, 1, 2, 3, 4]])
        leased = await tx.deliveries.take_next(BUS, priorities=some, now=now, limit=limit, **lease)
    async with store.begin() as tx:
        for one in leased:
            after = one.delivery.after(luck.choice(OUTCOMES), now=now, spread=0.0)
            await tx.deliveries.save(after, was=DeliveryState.SENDING, lease_id="lease-1")
        people = await tx.deliveries.due_to_people(now=now, limit=9)
    return due, list(leased), list(people)


async def test_turns_are_those_of_the_plain_rules(sql_store):
    luck = random.Random(62055)
    for round_ in range(20):
        memory = MemoryStore()
        await furnish(memory)
        # Deliveries of former rounds are out of the way: their deadlines have passed.
        start = NOW + round_ * timedelta(hours=1)
        for store in (memory, sql_store):
            async with store.begin() as tx:
                for delivery in await everything_open(tx):
                    await tx.deliveries.save(
                        replace(delivery, state=DeliveryState.FAILED), was=delivery.state
                    )
        for delivery in [a_random_delivery(luck) for _ in range(14)]:
            shifted = shift(delivery, start - NOW)
            for store in (memory, sql_store):
                async with store.begin() as tx:
                    await tx.deliveries.add(shifted)
        for second in range(12):
            seed = luck.random()
            now = start + second * SECOND
            assert await step(sql_store, seed, now) == await step(memory, seed, now)


async def everything_open(tx):
    states = frozenset(DeliveryState) - {DeliveryState.FAILED}
    return [
        delivery
        for tenant in (TENANT, OTHER_TENANT)
        for serial in (1, 2, 3)
        for delivery in await tx.deliveries.of_meter(tenant, a_drn(serial), states=states)
    ]


def shift(delivery, by):
    return replace(
        delivery,
        not_before=delivery.not_before + by,
        deadline=delivery.deadline + by,
        fallback_at=delivery.fallback_at + by,
        handed_at=delivery.handed_at and delivery.handed_at + by,
        lease_until=delivery.lease_until and delivery.lease_until + by,
        created_at=delivery.created_at + by,
        changed_at=delivery.changed_at + by,
    )
