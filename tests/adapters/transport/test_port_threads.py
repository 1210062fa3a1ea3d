"""Ports that hang hold up nobody else."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.transport.address import SerialAddress
from adapters.transport.port_threads import PortThreads
from adapters.transport.serial import open_serial
from tests.servers.serial_line import SerialLine

WITHIN_S = 10


async def test_many_ports_that_hang_leave_the_shared_threads_alone():
    threads, hanging = PortThreads(), threading.Event()
    closed: list[str] = []

    def hang() -> str:
        hanging.wait(WITHIN_S)
        return "open at last"

    asking = [
        asyncio.create_task(threads.call(f"/dev/ttyUSB{at}", hang, unwanted=closed.append))
        for at in range(100)
    ]
    await asyncio.sleep(0)
    async with asyncio.timeout(WITHIN_S):
        assert await asyncio.to_thread(lambda: 7) == 7
        assert await threads.call("/dev/ttyS0", lambda: 8, unwanted=lambda _: None) == 8
    # What hangs is not begun twice, and what opens when nobody waits any more is closed.
    with pytest.raises(OSError, match="/dev/ttyUSB5: it still hangs"):
        await threads.call("/dev/ttyUSB5", hang, unwanted=closed.append)
    for one in asking[1:]:
        one.cancel()
    await asyncio.sleep(0)
    hanging.set()
    assert await asking[0] == "open at last"
    async with asyncio.timeout(WITHIN_S):
        while len(closed) < 99:
            await asyncio.sleep(0.01)
    assert await threads.call("/dev/ttyUSB5", lambda: 9, unwanted=lambda _: None) == 9


async def test_what_fails_is_told_and_may_be_tried_again():
    threads = PortThreads()

    def fail() -> None:
        raise OSError("not plugged in")

    for _ in range(2):
        with pytest.raises(OSError, match="not plugged in"):
            await threads.call("/dev/ttyUSB0", fail, unwanted=lambda _: None)


async def test_a_port_that_hangs_while_it_closes_is_waited_for_a_bounded_time():
    threads, hanging = PortThreads(), threading.Event()
    threads.close("/dev/ttyUSB0", lambda: assert_waited(hanging), within_s=0.01)
    with pytest.raises(OSError, match="still hangs"):
        await threads.call("/dev/ttyUSB0", lambda: 1, unwanted=lambda _: None)
    hanging.set()
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                assert await threads.call("/dev/ttyUSB0", lambda: 1, unwanted=lambda _: None) == 1
                break
            except OSError:
                await asyncio.sleep(0.01)


def assert_waited(event: threading.Event) -> None:
    assert event.wait(WITHIN_S)


async def test_a_port_opens_though_every_shared_thread_is_taken(pty_pair: SerialLine):
    taken = threading.Event()
    pool = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(pool)
    pool.submit(taken.wait, 2 * WITHIN_S)
    try:
        async with asyncio.timeout(WITHIN_S):
            port = await open_serial(SerialAddress(path=pty_pair.left))
    finally:
        taken.set()
    await port.aclose()
