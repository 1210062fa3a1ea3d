"""Simulated lines on a pseudo-terminal, in a thread of their own, for commands that block."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.rs485 import AnyStation, Rs485Line
from adapters.simulators.stations import Habits, Manners, ModbusStation
from adapters.transport.address import SerialAddress
from tests.bench.rs485_lines import SeededChance, StillClock

START_S = 20
BAUD = 115200


class WatchedWires:
    """A line in real time, and every frame that any master sent on it."""

    def __init__(self, line: Rs485Line, url: str) -> None:
        self.url = url
        self.sent: list[bytes] = []
        send: Callable[[bytes], None] = line.medium.send

        def kept(data: bytes) -> None:
            self.sent.append(data)
            send(data)

        line.medium.send = kept  # type: ignore[method-assign]


@contextmanager
def a_field_line(
    *units: tuple[int, ModbusUnit],
    others: Callable[[Habits], Sequence[AnyStation]] = lambda _: (),
    delay_s: float = 0.01,
    baud: int = BAUD,
) -> Iterator[WatchedWires]:
    """Modbus units, and `others`, on a pseudo-terminal."""
    loop = asyncio.new_event_loop()
    stop, ready = asyncio.Event(), threading.Event()
    wires: list[WatchedWires] = []

    async def run() -> None:
        address = SerialAddress(path="-", baud=baud)
        manners = Manners(delay_s=delay_s)
        chance = SeededChance(1)
        habits = Habits(manners, clock=StillClock(), chance=chance)
        stations: list[AnyStation] = [ModbusStation(number, unit, habits) for number, unit in units]
        stations += others(habits)
        async with Rs485Line(address, stations, chance=chance, manners=manners) as line:
            watched = WatchedWires(line, "")
            watched.url = line.serve_terminal_url()
            wires.append(watched)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    try:
        assert ready.wait(START_S), "the line did not start"
        yield wires[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_S)
        loop.close()
