"""Rounds: a piece that takes long holds up no other, and there are never too many at once."""

import asyncio

import pytest

from headend.errors import Stale, StoreDown
from headend.rounds import Rounds

pytestmark = pytest.mark.virtual_time


class Work:
    """Pieces that take so many seconds each; the most that were under way at once."""

    def __init__(self, *seconds: float) -> None:
        self.waiting = list(seconds)
        self.ended: list[float] = []
        self.under_way = self.most = 0

    async def find(self, limit: int) -> list[float]:
        found, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return found

    async def act(self, seconds: float) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(seconds)
        self.under_way -= 1
        self.ended.append(seconds)


async def serving(rounds, *, for_s):
    task = asyncio.create_task(rounds.serve())
    await asyncio.sleep(for_s)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_piece_that_hangs_holds_up_no_other():
    work = Work(60.0, 1.0, 1.0, 1.0)
    await serving(Rounds(work.find, work.act, at_once=2), for_s=10)
    assert work.ended == [1.0, 1.0, 1.0]


async def test_there_are_never_more_at_once_than_set():
    work = Work(*[3.0] * 20)
    await serving(Rounds(work.find, work.act, at_once=4), for_s=30)
    assert len(work.ended) == 20
    assert work.most == 4


@pytest.mark.parametrize("error", [StoreDown, Stale])
async def test_a_store_that_is_away_is_waited_for(error):
    work = Work(1.0)
    left = [error("away")] * 3

    async def find(limit):
        if left:
            raise left.pop()
        return await work.find(limit)

    await serving(Rounds(find, work.act, at_once=2), for_s=10)
    assert work.ended == [1.0]


async def test_a_fault_of_ours_ends_it():
    async def broken(_):
        raise KeyError("a fault of ours")

    work = Work(1.0)
    with pytest.raises(ExceptionGroup):
        await Rounds(work.find, broken, at_once=2).serve()


async def test_one_round_waits_for_its_pieces():
    work = Work(5.0, 6.0)
    assert await Rounds(work.find, work.act, at_once=8).once() == 2
    assert work.ended == [5.0, 6.0]
