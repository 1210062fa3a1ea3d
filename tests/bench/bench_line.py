"""How well a master uses an RS485 line: efficiency, wire share, dead slaves, and urgent turns.

Twice: in virtual time, where only the rules of the line take time and which any machine repeats to
the digit; and on a pseudo-terminal in real time, where this machine's own delays come on top.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle

from pymodbus.framer import FramerRTU
from serial import Serial

from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from adapters.simulators.medium import MediumEnd
from adapters.transport.address import Address, SerialAddress
from adapters.transport.line import TIMEOUT_S
from adapters.transport.wire import Wire
from headend.agenda import Urgency
from protocols.modbus.blocks import Span
from tests.bench.figures import percentile_ms
from tests.bench.rs485_bus import longest_s, sell
from tests.bench.rs485_lines import DELAY_S, JITTER_S, SLAVES, Master, Round, a_line
from tests.loops import JumpingEventLoop

BAUDS = (2400, 9600, 19200, 115200)
# Virtual seconds are free: enough for every slave to be known, and then for a steady figure.
LEARNING_S = 120.0
VIRTUAL_S = 300.0
COLD_S = 300.0
SHORT_S = 5.0
URGENT = 200
REQUEST_BYTES, REPLY_BYTES = 8, 5
# The block that a recharge begins with, and the one that readings keep the line busy with.
FIRST_READ, BUSY_READ = Span(0x46, 2), Span(0x00, 60)
# As long as the blocks of an SDM630 are in the mean, so that both lose against the same time.
BARE_READ = Span(0x00, 22)


@dataclass(frozen=True, slots=True)
class LineFigure:
    """Transactions a second; the share of the time that a perfect master would have needed, and in
    which bits were on the wire; readings of the living against those of another figure.
    """

    what: str
    per_second: float
    efficiency: float
    wire_share: float
    readings: int
    against: float | None = None

    def __str__(self) -> str:
        told = (
            f"{self.what:<48}{self.per_second:>8,.1f}/s   efficiency {self.efficiency:6.1%}"
            f"   wire {self.wire_share:6.1%}"
        )
        return told if self.against is None else f"{told}   readings {self.against:6.1%} of healthy"


@dataclass(frozen=True, slots=True)
class UrgentFigure:
    """How long a recharge waits for its first byte on a saturated line, against the longest
    transaction of those that keep it busy; in milliseconds.
    """

    what: str
    per_second: float
    p50_ms: float
    p99_ms: float
    transaction_ms: float

    def __str__(self) -> str:
        return (
            f"{self.what:<48}   p50 {self.p50_ms:.1f} ms   p99 {self.p99_ms:.1f} ms"
            f"   one transaction {self.transaction_ms:.1f} ms"
        )


def measure(seconds: float) -> Iterator[LineFigure | UrgentFigure]:
    """Figures of virtual time first, then those of real time, about so many seconds each."""
    short = seconds < 1
    virtual_s = SHORT_S if short else VIRTUAL_S
    for baud in BAUDS[2:] if short else BAUDS:
        healthy = _virtual(baud, dead=0, seconds=virtual_s)
        yield _figure(f"virtual, {baud} baud, 32 slaves", healthy)
        if baud == BAUDS[1]:
            for dead in (3, 20):
                found = _virtual(baud, dead=dead, seconds=virtual_s)
                yield _figure(f"virtual, {baud} baud, {dead} of 32 dead", found, healthy)
                cold = [_virtual(baud, dead=n, seconds=COLD_S, known=False) for n in (dead, 0)]
                yield _figure(f"virtual, {baud} baud, first minutes, {dead} of 32 dead", *cold)
        yield _urgent(baud, 20 if short else URGENT)
        yield _sold(baud, 20 if short else URGENT)
    for baud in BAUDS[2:3] if short else BAUDS:
        healthy = _real(baud, dead=0, seconds=seconds)
        yield _figure(f"real time, {baud} baud, 32 slaves", healthy)
        yield _figure(f"real time, {baud} baud, a bare loop of reads", _bare(baud, seconds))
        if baud == BAUDS[1]:
            for dead in (3, 20):
                found = _real(baud, dead=dead, seconds=seconds)
                yield _figure(f"real time, {baud} baud, {dead} of 32 dead", found, healthy)


def _figure(what: str, found: Round, healthy: Round | None = None) -> LineFigure:
    against = None
    if healthy is not None:
        against = (found.transactions / found.elapsed_s) / (
            healthy.transactions / healthy.elapsed_s
        )
    return LineFigure(
        what,
        per_second=round(found.transactions / found.elapsed_s, 2),
        efficiency=round(found.efficiency, 4),
        wire_share=round(found.wire_share, 4),
        readings=found.readings,
        against=None if against is None else round(against, 4),
    )


def _virtual(baud: int, *, dead: int, seconds: float, known: bool = True) -> Round:
    address = SerialAddress(path="-", baud=baud)

    async def run() -> Round:
        async with a_line(address, dead=range(1, dead + 1)) as wires:
            line = ModbusLine(f"serial:///dev/wires?baud={baud}", opener=wires.open)
            master = Master(line, address)
            if known:
                await master.read_on(min(seconds, LEARNING_S))
            found = await master.read_on(seconds)
            await line.aclose()
            return found

    with asyncio.Runner(loop_factory=JumpingEventLoop) as runner:
        return runner.run(run())


def _real(baud: int, *, dead: int, seconds: float) -> Round:
    async def run(path: str) -> Round:
        address = SerialAddress(path=path, baud=baud)
        line = ModbusLine(f"serial://{path}?baud={baud}")
        master = Master(line, address)
        await master.read_on(max(1.0, seconds / 2))
        found = await master.read_on(seconds)
        await line.aclose()
        return found

    with _line_process(baud, dead) as path:
        return asyncio.run(run(path))


def _bare(baud: int, seconds: float) -> Round:
    """What this machine lets any master have: one loop that writes, reads, waits, and checks
    nothing. What it loses, the simulator and the scheduler have taken.
    """
    wire = Wire(SerialAddress(path="-", baud=baud))
    reply_bytes = REPLY_BYTES + 2 * BARE_READ.count
    requests = cycle(read_request(unit) for unit in range(1, SLAVES + 1))
    with _line_process(baud, 0) as path, Serial(path, baudrate=baud, timeout=TIMEOUT_S) as port:
        began = time.perf_counter()
        count = 0
        while (now := time.perf_counter()) - began < seconds:
            port.write(next(requests))
            count += len(port.read(reply_bytes)) == reply_bytes
            silent_at = time.perf_counter() + wire.silence_s
            while time.perf_counter() < silent_at:
                pass
            wire.used(REQUEST_BYTES + reply_bytes, delay_s=DELAY_S + JITTER_S / 2)
    used_s, ideal_s = wire.sums
    assert used_s is not None
    assert ideal_s is not None
    return Round(elapsed_s=now - began, ideal_s=ideal_s, wire_s=used_s, transactions=count)


def read_request(unit: int) -> bytes:
    """FC04 of the registers of the bare loop."""
    frame = bytes((unit, 4)) + BARE_READ.start.to_bytes(2) + BARE_READ.count.to_bytes(2)
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2)


@contextmanager
def _line_process(baud: int, dead: int) -> Iterator[str]:
    process = subprocess.Popen(
        (sys.executable, "-m", "tests.bench.rs485_process", str(baud), str(dead)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate()


# --- a recharge on a saturated line ---------------------------------------------------------------


def _urgent(baud: int, count: int) -> UrgentFigure:
    """Four read round and round; now and then one meter is to be recharged."""
    address = SerialAddress(path="-", baud=baud)
    left_at: dict[int, float] = {}

    class Watched(MediumEnd):
        async def write(self, data: bytes, *, timeout: float) -> None:
            left_at[data[0]] = asyncio.get_running_loop().time()
            await super().write(data, timeout=timeout)

    async def run() -> UrgentFigure:
        loop = asyncio.get_running_loop()
        waits, began = [], 0.0
        async with a_line(address) as wires:

            async def opener(_: Address) -> MediumEnd:
                return Watched(wires.medium)

            line = ModbusLine(f"serial:///dev/wires?baud={baud}", opener=opener)
            units = [range(at, SLAVES, 4) for at in range(1, 5)]
            readers = [asyncio.create_task(_keep_busy(line, mine)) for mine in units]
            await asyncio.sleep(10)
            began = loop.time()
            for number in range(count):
                await asyncio.sleep(0.5 + number * 0.0137 % 0.5)
                ready_at = loop.time()
                await line.read(SLAVES, Table.INPUT, FIRST_READ, urgency=Urgency.TOKEN)
                waits.append(left_at[SLAVES] - ready_at)
            for reader in readers:
                reader.cancel()
            await asyncio.wait(readers)
            await line.aclose()
        return UrgentFigure(
            f"virtual, {baud} baud, recharge to first byte",
            per_second=round(count / (loop.time() - began), 2),
            p50_ms=percentile_ms(waits, 0.50),
            p99_ms=percentile_ms(waits, 0.99),
            transaction_ms=round(_longest_s(address) * 1000, 1),
        )

    with asyncio.Runner(loop_factory=JumpingEventLoop) as runner:
        return runner.run(run())


def _sold(baud: int, count: int) -> UrgentFigure:
    """The same over the bus and its store, everything that is less urgent waiting as well."""
    address = SerialAddress(path="-", baud=baud)
    with asyncio.Runner(loop_factory=JumpingEventLoop) as runner:
        till = runner.run(sell(address, count))
    return UrgentFigure(
        f"virtual, {baud} baud, recharge over the bus",
        per_second=round(count / till.took_s, 2),
        p50_ms=percentile_ms(till.waits_s, 0.50),
        p99_ms=percentile_ms(till.waits_s, 0.99),
        transaction_ms=round(longest_s(address) * 1000, 1),
    )


async def _keep_busy(line: ModbusLine, units: range) -> None:
    while True:
        for unit in units:
            await line.read(unit, Table.INPUT, BUSY_READ, urgency=Urgency.READING)


def _longest_s(address: SerialAddress) -> float:
    """T(N) of the block that keeps the line busy, with the slowest delay."""
    wire = Wire(address)
    wire.used(REQUEST_BYTES + REPLY_BYTES + 2 * BUSY_READ.count, delay_s=DELAY_S + JITTER_S)
    return wire.ideal_s
