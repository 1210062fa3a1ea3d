"""Lending a line: it is ours alone, for as long as the loan is renewed, and comes back whatever
becomes of us.
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from headend.errors import StoreDown
from headend.lending import GRANT_S, Borrower, Lender, LineNotLent
from headend.loans import GRACE, LOAN
from headend.meters import BusName
from tests.bench.rs485_lines import SeededChance
from tests.fakes import MemoryStore

pytestmark = pytest.mark.virtual_time
BUS = BusName("line-1")
T0 = datetime(2026, 3, 1, tzinfo=UTC)


class LoopClock:
    def now(self) -> datetime:
        return T0 + timedelta(seconds=asyncio.get_running_loop().time())


class Unplugged(MemoryStore):
    """A store that can be away."""

    away = False

    def begin(self):
        if self.away:
            raise StoreDown
        return super().begin()


class Line:
    """Who uses it; two at once are what must never be."""

    def __init__(self) -> None:
        self.let_go_at: list[float] = []

    async def let_go(self) -> None:
        self.let_go_at.append(asyncio.get_running_loop().time())


class Bus:
    """A bus that looks as the real one does, and has something under way until it is told."""

    def __init__(self, store: MemoryStore, line: Line, *, busy_until: float = 0.0) -> None:
        self.lender = Lender(BUS, line, store=store, clock=LoopClock())
        self.busy_until = busy_until
        self.started_at: list[float] = []

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with suppress(StoreDown):
                if not await self.lender.lent(busy=loop.time() < self.busy_until):
                    self.started_at.append(loop.time())
            await asyncio.sleep(0.25)


def a_borrower(store: MemoryStore, told: list[str] | None = None, seed: int = 1) -> Borrower:
    tell = (told if told is not None else []).append
    return Borrower(store, clock=LoopClock(), chance=SeededChance(seed), name="a test", tell=tell)


async def test_the_line_is_lent_when_nothing_is_under_way_and_goes_on_afterwards():
    store, line, told = MemoryStore(), Line(), list[str]()
    loop = asyncio.get_running_loop()
    bus = Bus(store, line, busy_until=5.0)
    serving = asyncio.create_task(bus.serve())
    async with a_borrower(store, told).borrow(BUS) as ours:
        began = loop.time()
        assert ours.granted
        assert began >= 5.0
        assert len(line.let_go_at) == 1
        assert told == ["the head-end ends its conversations on line-1"]
        await asyncio.sleep(300)  # many times as long as a loan that nobody renews
        ended = loop.time()
    await asyncio.sleep(3)
    serving.cancel()
    assert not [at for at in bus.started_at if began <= at <= ended]
    assert max(bus.started_at) > ended


async def test_nobody_serves_the_line():
    store = MemoryStore()
    async with a_borrower(store).borrow(BUS) as ours:
        assert not ours.granted
        # One that starts now finds the line lent, and lets it be.
        line = Line()
        bus = Bus(store, line)
        serving = asyncio.create_task(bus.serve())
        await asyncio.sleep(30)
        assert bus.started_at == []
    await asyncio.sleep(3)
    assert bus.started_at
    serving.cancel()


async def test_a_second_borrower_is_told_who_has_it():
    store = MemoryStore()
    async with a_borrower(store).borrow(BUS):
        with pytest.raises(LineNotLent, match=r"lent to a test since 00:00:00"):
            async with a_borrower(store, seed=2).borrow(BUS):
                pass
    async with a_borrower(store, seed=3).borrow(BUS) as ours:
        assert not ours.granted


async def test_a_borrower_who_dies_does_not_keep_the_line():
    store, line = MemoryStore(), Line()
    bus = Bus(store, line)
    loop = asyncio.get_running_loop()
    serving = asyncio.create_task(bus.serve())
    loan = await a_borrower(store)._ask(BUS)  # and nothing more of it
    await asyncio.sleep((LOAN + GRACE).total_seconds() - 1)
    assert line.let_go_at
    assert max(bus.started_at, default=0.0) <= line.let_go_at[0]
    await asyncio.sleep(5)
    assert max(bus.started_at) > loop.time() - 2
    assert loan.bus == BUS
    serving.cancel()


async def test_the_borrower_stops_before_the_line_is_taken_back():
    store, line = Unplugged(), Line()
    bus = Bus(store, line)
    loop = asyncio.get_running_loop()
    serving = asyncio.create_task(bus.serve())

    async def use() -> None:
        async with a_borrower(store).borrow(BUS):
            store.away = True
            await asyncio.sleep(600)

    with pytest.raises(LineNotLent, match="could not be renewed"):
        await use()
    stopped = loop.time()
    store.away = False
    await asyncio.sleep(60)
    first = min(at for at in bus.started_at if at > line.let_go_at[0] + 1)
    assert stopped + GRACE.total_seconds() <= first
    serving.cancel()


async def test_a_bus_that_never_ends_its_conversations_is_no_loan():
    store = MemoryStore()
    bus = Bus(store, Line(), busy_until=10_000.0)
    serving = asyncio.create_task(bus.serve())
    loop = asyncio.get_running_loop()
    with pytest.raises(LineNotLent, match="headend line line-1"):
        async with a_borrower(store).borrow(BUS):
            pass
    assert loop.time() == pytest.approx(GRANT_S, abs=2)
    await asyncio.sleep(3)
    assert max(bus.started_at) > GRANT_S
    serving.cancel()
