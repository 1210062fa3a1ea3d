"""Turns on a line: what happens to those who stop waiting."""

import asyncio

import pytest

from adapters.transport.turns import Turns
from headend.agenda import Urgency


async def test_who_stops_waiting_as_the_line_becomes_free_is_passed_over():
    turns = Turns[str]()
    urgency = next(iter(Urgency))
    await turns.take("owner", urgency)
    first = asyncio.ensure_future(turns.take("first", urgency))
    second = asyncio.ensure_future(turns.take("second", urgency))
    await asyncio.sleep(0)
    first.cancel()  # it has not run since: its turn is still in the queue
    turns.release("owner")
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert turns.taken == 1


async def test_who_leaves_lets_those_go_who_waited_for_nobody_else():
    turns = Turns[str](lambda who, _: who != "alone")
    turns.deepen(2)
    await turns.take("owner", Urgency.READING)
    alone = asyncio.ensure_future(turns.take("alone", Urgency.READING))
    await asyncio.sleep(0)
    behind = asyncio.ensure_future(turns.take("behind", Urgency.READING))
    await turns.take("till", Urgency.TOKEN)
    assert not behind.done()
    turns.release("till")
    await asyncio.sleep(0)
    assert not behind.done()
    alone.cancel()
    await asyncio.wait_for(behind, 1)
    assert turns.taken == 2
