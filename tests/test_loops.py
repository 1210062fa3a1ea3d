"""Virtual time: the clock jumps, the order of events stays."""

import asyncio
import time

import pytest

from tests.loops import JumpingEventLoop

DAY_S = 86_400
pytestmark = pytest.mark.virtual_time


async def test_thirty_days_of_twenty_polling_meters_take_seconds():
    started = time.monotonic()
    polls: list[tuple[float, int]] = []

    async def poll(meter: int) -> None:
        for _ in range(30 * 24):
            await asyncio.sleep(3600)
            polls.append((asyncio.get_running_loop().time(), meter))

    async with asyncio.TaskGroup() as group:
        for meter in range(20):
            group.create_task(poll(meter))

    assert asyncio.get_running_loop().time() == pytest.approx(30 * DAY_S)
    assert len(polls) == 30 * 24 * 20
    assert polls == sorted(polls, key=lambda poll: poll[0])
    assert time.monotonic() - started < 10


async def test_a_time_out_comes_at_its_time():
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(DAY_S):
            await asyncio.sleep(2 * DAY_S)
    assert loop.time() - began == pytest.approx(DAY_S)


async def test_the_shorter_sleep_wakes_first():
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append(name)

    await asyncio.gather(sleeper("late", 3), sleeper("early", 1), sleeper("between", 2))
    assert woken == ["early", "between", "late"]


def test_waiting_for_nothing_is_an_error_and_no_hang():
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    loop = JumpingEventLoop()
    task = loop.create_task(wait_for_ever())
    with pytest.raises(RuntimeError, match="nothing would ever happen"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


async def test_whoever_waits_for_next_to_nothing_again_and_again_comes_to_an_end():
    loop = asyncio.get_running_loop()
    until, rounds = loop.time() + 1e-9, 0
    while (left_s := until - loop.time()) > 0:
        await asyncio.sleep(left_s / 1_000)
        rounds += 1
        assert rounds < 100
