"""Modbus TCP at scale: 1,000 devices, 30 single-register values of each every second.

One process reads them: our lines, plain pymodbus calls, and a C client on libmodbus. Ours plans 30
values into one read, and the others are given that read too, so that their numbers compare.
The C client needs a C compiler and libmodbus: `apt-get install gcc pkg-config libmodbus-dev`.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pymodbus.client import AsyncModbusTcpClient

from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from protocols.modbus.blocks import Limits, Span, plan_reads

DEVICES, SHORT_DEVICES = 1000, 20
VALUES = [Span(address, 1) for address in range(30)]
MAX_READ = 125
SOURCE = Path(__file__).parent / "libmodbus_client.c"
INSTALL = "apt-get install gcc pkg-config libmodbus-dev"

Round = Callable[[], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class ScaleFigure:
    """Values a second of all devices, and how much of one core they took."""

    what: str
    per_second: float
    cores: float
    cpu_us: float

    def __str__(self) -> str:
        return (
            f"{self.what:<48}{self.per_second:>10,.0f} values/s   {self.cores:.2f} cores"
            f"   {self.cpu_us:.1f} us CPU each"
        )


def measure(seconds: float) -> Iterator[ScaleFigure]:
    """Each client for about so many seconds, against the same devices."""
    devices = SHORT_DEVICES if seconds < 1 else DEVICES
    length = max(1.0, seconds)
    with _devices() as port:
        yield asyncio.run(_ours(port, devices, length))
        yield asyncio.run(_pymodbus(port, devices, length))
        if (client := _c_client()) is None:
            print(f"no C client on libmodbus: {INSTALL}", file=sys.stderr)
        else:
            yield _libmodbus(client, port, devices, length)


@contextmanager
def _devices() -> Iterator[int]:
    process = subprocess.Popen(
        (sys.executable, "-m", "tests.bench.modbus_tcp_devices"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.communicate()


def _reads() -> Sequence[Span]:
    return plan_reads(VALUES, Limits(max_read=MAX_READ))


async def _every_second(what: str, rounds: Round, length: float) -> ScaleFigure:
    """One round a second, or as fast as it goes; the first one opens the connections."""
    loop = asyncio.get_running_loop()
    await rounds()
    began, began_cpu, got, done = loop.time(), time.process_time(), 0, 0
    while loop.time() - began < length:
        got += await rounds()
        done += 1
        await asyncio.sleep(max(0.0, began + done - loop.time()))
    elapsed, cpu = loop.time() - began, time.process_time() - began_cpu
    return _figure(what, got, elapsed, cpu)


def _figure(what: str, got: int, elapsed: float, cpu: float) -> ScaleFigure:
    return ScaleFigure(
        what,
        per_second=round(got / elapsed, 1),
        cores=round(cpu / elapsed, 3),
        cpu_us=round(cpu / max(1, got) * 1e6, 2),
    )


async def _ours(port: int, devices: int, length: float) -> ScaleFigure:
    url = f"tcp://127.0.0.1:{port}"
    lines = [ModbusLine(url, framing="tcp", timeout_s=30) for _ in range(devices)]
    reads = _reads()

    async def one(line: ModbusLine) -> int:
        return sum([len(await line.read(1, Table.HOLDING, span)) for span in reads])

    async def rounds() -> int:
        return sum(await asyncio.gather(*(one(line) for line in lines)))

    try:
        return await _every_second(f"Modbus TCP, {devices} devices, our lines", rounds, length)
    finally:
        for line in lines:
            await line.aclose()


async def _pymodbus(port: int, devices: int, length: float) -> ScaleFigure:
    reads = _reads()
    clients = [
        AsyncModbusTcpClient("127.0.0.1", port=port, timeout=30, retries=0) for _ in range(devices)
    ]
    await asyncio.gather(*(client.connect() for client in clients))

    async def one(client: AsyncModbusTcpClient) -> int:
        found = 0
        for span in reads:
            answer = await client.read_holding_registers(span.start, count=span.count, device_id=1)
            found += len(answer.registers)
        return found

    async def rounds() -> int:
        return sum(await asyncio.gather(*(one(client) for client in clients)))

    try:
        return await _every_second(f"Modbus TCP, {devices} devices, pymodbus", rounds, length)
    finally:
        for client in clients:
            client.close()


def _c_client() -> Path | None:
    """The C client, compiled; None where it cannot be."""
    compiler, config = shutil.which("cc"), shutil.which("pkg-config")
    if compiler is None or config is None:
        return None
    flags = subprocess.run(
        (config, "--cflags", "--libs", "libmodbus"), capture_output=True, text=True, check=False
    )
    if flags.returncode:
        return None
    program = Path(tempfile.mkdtemp(prefix="headend-bench-")) / "libmodbus_client"
    command = (compiler, "-O2", str(SOURCE), *flags.stdout.split(), "-o", str(program))
    subprocess.run(command, check=True)
    return program


def _libmodbus(client: Path, port: int, devices: int, length: float) -> ScaleFigure:
    try:
        told = subprocess.run(
            (str(client), str(port), str(devices), str(len(VALUES)), str(length)),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
    finally:
        shutil.rmtree(client.parent)
    what = f"Modbus TCP, {devices} devices, libmodbus in C"
    return _figure(what, int(told[0]), float(told[1]), float(told[2]))
