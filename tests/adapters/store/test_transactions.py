"""Contract of the store port: what commits, what does not, and many at once."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from headend.agenda import Urgency
from headend.deliveries import DeliveryState, Fact
from headend.errors import Stale
from headend.pages import Cursor
from headend.recharges import RechargeState
from headend.refusals import TokenKnown
from tests.builders import (
    BUS,
    DRN,
    NOW,
    TENANT,
    a_delivery,
    a_drn,
    a_meter,
    a_poll,
    a_reading,
    a_recharge,
    a_token,
    some_digits,
)

MINUTE = timedelta(minutes=1)


class Broken(Exception):
    """What a body may raise."""


async def break_after_writing(store):
    async with store.begin() as tx:
        await tx.meters.add(a_meter(drn=a_drn(77)))
        await tx.meters.save(a_meter(version=2), was=1)
        raise Broken


async def test_an_exception_rolls_back_and_comes_through(store):
    with pytest.raises(Broken):
        await break_after_writing(store)
    async with store.look() as tx:
        assert await tx.meters.find(TENANT, a_drn(77)) is None
        assert await tx.meters.find(TENANT, DRN) == a_meter()


async def test_a_reader_sees_what_is_committed_and_never_waits_for_a_writer(store):
    async with asyncio.timeout(5), store.begin() as writing:
        await writing.meters.add(a_meter(drn=a_drn(77)))
        assert await writing.meters.find(TENANT, a_drn(77)) is not None
        async with store.look() as reading:
            assert await reading.meters.find(TENANT, a_drn(77)) is None
            assert await reading.meters.find(TENANT, DRN) is not None
    async with store.look() as reading:
        assert await reading.meters.find(TENANT, a_drn(77)) is not None


async def test_nothing_is_written_while_looking(store):
    with pytest.raises(Exception, match=r"(?i)read.?only|reading only"):
        async with store.look() as tx:
            await tx.meters.add(a_meter(drn=a_drn(77)))
    async with store.look() as tx:
        assert await tx.meters.find(TENANT, a_drn(77)) is None


async def test_sixteen_at_once_never_lose_or_double_a_token_identifier(store):
    given = []

    async def allocate():
        for _ in range(30):
            async with store.begin() as tx:
                last = await tx.tids.last(TENANT, DRN, 1993)
                await asyncio.sleep(0)
                tid = 1 if last is None else last + 1
                await tx.tids.give(TENANT, DRN, 1993, tid)
            given.append(tid)

    await asyncio.gather(*(allocate() for _ in range(16)))
    assert sorted(given) == list(range(1, 481))


async def test_one_of_many_opens_the_recharge_of_an_id(store):
    async def open_it(number):
        try:
            async with store.begin() as tx:
                await tx.recharges.add(a_recharge(id="same", tid=number))
        except Stale:
            return None
        return number

    (winner,) = [n for n in await asyncio.gather(*map(open_it, range(12))) if n is not None]
    async with store.look() as tx:
        assert (await tx.recharges.find(TENANT, "same")).tid == winner


async def test_one_of_many_issues_a_recharge(store):
    """Those who read it while it was open wait, and find it issued."""
    async with store.begin() as tx:
        await tx.recharges.add(a_recharge(id="r-1"))

    async def issue():
        async with store.begin() as tx:
            found = await tx.recharges.find(TENANT, "r-1")
            if found.state is not RechargeState.OPEN:
                return 0
            await tx.deliveries.add(a_delivery(id="d-1", recharge_id="r-1"))
            await tx.tokens.add(a_token(delivery_id="d-1", digits=some_digits(1)))
            await tx.recharges.save(
                replace(found, state=RechargeState.ISSUED), was=RechargeState.OPEN
            )
            return 1

    assert sum(await asyncio.gather(*(issue() for _ in range(8)))) == 1


async def test_two_who_change_one_delivery_do_not_overwrite_each_other(store):
    """The one marks it handed over, the other done; both must show in the end."""
    delivery = a_delivery()
    async with store.begin() as tx:
        await tx.deliveries.add(delivery)

    async def mark(*facts):
        async with store.begin() as tx:
            found = await tx.deliveries.find(TENANT, delivery.id)
            await asyncio.sleep(0.01)
            for fact in facts:
                found = found.after(fact, now=NOW)
            await tx.deliveries.save(found, was=DeliveryState.WAITING)

    await asyncio.gather(mark(Fact.REVEALED), mark(Fact.HANDED))
    async with store.look() as tx:
        after = await tx.deliveries.find(TENANT, delivery.id)
    assert after.revealed
    assert after.handed_at == NOW


async def test_workers_never_share_a_delivery_nor_a_meter(store):
    meters = [a_drn(number) for number in range(1, 10)]
    async with store.begin() as tx:
        for number in range(90):
            delivery = a_delivery(
                drn=meters[number % 9], rank=number, state=DeliveryState.UNCERTAIN
            )
            await tx.deliveries.add(delivery)
    sending, done = set(), []

    async def work(name):
        idle = 0
        while idle < 20:
            lease = {"lease_id": name, "lease_until": NOW + MINUTE}
            async with store.begin() as tx:
                leased = await tx.deliveries.take_next(
                    BUS, priorities=tuple(Urgency), now=NOW, limit=3, **lease
                )
            idle = 0 if leased else idle + 1
            for one in leased:
                assert one.meter.drn not in sending
                sending.add(one.meter.drn)
            await asyncio.sleep(0.001)
            for one in leased:
                after = one.delivery.after(Fact.ACCEPTED, now=NOW)
                sending.remove(one.meter.drn)
                async with store.begin() as tx:
                    await tx.deliveries.save(after, was=DeliveryState.SENDING, lease_id=name)
                done.append(after.id)

    await asyncio.gather(*(work(f"worker-{number}") for number in range(4)))
    assert len(done) == len(set(done)) == 90


async def test_two_never_take_the_same_poll(store):
    async with store.begin() as tx:
        for number in range(1, 10):
            await tx.polls.put(a_poll(drn=a_drn(number)))

    async def work():
        async with store.begin() as tx:
            due = await tx.polls.take_due(BUS, now=NOW, until=NOW + MINUTE, limit=3)
            await asyncio.sleep(0.005)
        return [poll.drn for poll, _ in due]

    taken = [drn for drns in await asyncio.gather(*(work() for _ in range(6))) for drn in drns]
    assert len(taken) == len(set(taken)) == 9


# --- cancellation ------------------------------------------------------------------------------


async def sell(store, number):
    """All the rows of one sale in one transaction; returns whether it was acknowledged."""
    ident = f"r-{number}"
    async with store.begin() as tx:
        last = await tx.tids.last(TENANT, DRN, 1993)
        await tx.tids.give(TENANT, DRN, 1993, (last or 0) + 1)
        await tx.recharges.add(a_recharge(id=ident))
        await tx.deliveries.add(a_delivery(id=ident, recharge_id=ident, rank=number))
        await tx.tokens.add(a_token(delivery_id=ident))
        await tx.readings.add([a_reading(taken_at=NOW + number * MINUTE)])


async def cancelled_after(store, number, seconds):
    """Whether the sale was acknowledged before it could be cancelled."""
    task = asyncio.create_task(sell(store, number))
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait([task])
    return not task.cancelled()


async def test_cancelled_anywhere_a_sale_is_whole_or_not_there(sql_store):
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(1000, 1010):
        await sell(sql_store, number)
    usual_s = (loop.time() - started) / 10
    acknowledged = {
        f"r-{number}"
        for number in range(100)
        if await cancelled_after(sql_store, number, usual_s * number / 60)
    }
    await sell(sql_store, 1010)

    async with asyncio.timeout(5), sql_store.begin() as tx:
        there = {f"r-{number}" for number in range(100) if await is_whole(tx, f"r-{number}")}
        assert await tx.tids.last(TENANT, DRN, 1993) == len(there) + 11
        page = await tx.readings.page(TENANT, DRN, Cursor(limit=200))
    assert len(page.items) == len(there) + 11
    assert acknowledged <= there
    assert 0 < len(acknowledged) < 100, "the cancellations missed all that matters"


async def is_whole(tx, ident):
    """Whether a sale is there; it must not be half there."""
    parts = {
        await tx.recharges.find(TENANT, ident) is not None,
        len(await tx.tokens.of(ident, TENANT)) == 1,
        await tx.deliveries.of(ident, TENANT) is not None,
    }
    assert len(parts) == 1, f"{ident} is half there"
    return parts.pop()


async def test_cancelled_readers_leave_nothing_behind(store):
    for number in range(60):
        task = asyncio.create_task(look_around(store))
        for _ in range(number):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    async with asyncio.timeout(5):
        await asyncio.gather(*(look_around(store) for _ in range(40)))


async def look_around(store):
    async with store.look() as tx:
        await tx.meters.find(TENANT, DRN)
        await tx.recharges.unlit(TENANT, DRN)
        await tx.readings.latest(TENANT, DRN)


async def test_a_task_that_is_cancelled_twice_still_ends_its_transaction(store):
    began = asyncio.Event()

    async def work():
        async with store.begin() as tx:
            await tx.meters.add(a_meter(drn=a_drn(77)))
            began.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await began.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5), store.begin() as tx:
        assert await tx.meters.find(TENANT, a_drn(77)) is None
        await tx.meters.add(a_meter(drn=a_drn(77)))


async def test_a_refused_token_leaves_the_transaction_usable(store):
    async with store.begin() as tx:
        await tx.deliveries.add(a_delivery(id="d-1"))
        await tx.tokens.add(a_token(delivery_id="d-1", digits=some_digits(5)))
        with pytest.raises(TokenKnown):
            await tx.tokens.add(a_token(delivery_id="d-1", digits=some_digits(5)))
        await tx.tokens.add(a_token(delivery_id="d-1", sequence=2, digits=some_digits(6)))
    async with store.look() as tx:
        assert len(await tx.tokens.of("d-1", TENANT)) == 2
