"""Turns on a line: what happens to those who stop waiting."""

import asyncio

import pytest

from adapters.transport.turns import Turns
from headend.agenda import Urgency


async def test_who_stops_waiting_as_the_line_becomes_free_is_passed_over():
    turns = Turns()
    urgency = next(iter(Urgency))
    await turns.take(urgency)
    first = asyncio.ensure_future(turns.take(urgency))
    second = asyncio.ensure_future(turns.take(urgency))
    await asyncio.sleep(0)
    first.cancel()  # it has not run since: its turn is still in the queue
    turns.release()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert turns.taken == 1
