"""Recharges: from a POST over HTTP to the meter's confirmation, on both databases.

One head-end process, 200 MQTT meters in a process of their own, a real broker. `closed` is what a
bounded number of callers get through; `paced` is how long it takes at half of that; then the first
load once more under a sampler tells where the processor time goes. Needs Linux (/proc).
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

from adapters.clock import WallClock
from adapters.simulators.fleet import Fleet
from tests.bench.callers import Callers, Times, callers_of
from tests.bench.figures import Breakdown, Flow, percentile_ms, spin_ms
from tests.bench.fleet import BUS, description
from tests.servers.headend import ROOT, HeadEndProcess
from tests.servers.mosquitto import Mosquitto
from tests.servers.postgres import PostgresServer

CALLERS = 32
A_WEEK_S = 7 * 86_400
SAMPLES_WITHIN_S = 10.0
# A rate over a second or two depends on what the machine does besides.
LONGER = 4.0

Samples: TypeAlias = Mapping[str, Mapping[str, int]]
Load: TypeAlias = Callable[[Callers], Awaitable[Times]]


def measure(seconds: float) -> Iterator[Flow | Breakdown]:
    """Yield rates, times and breakdown on SQLite, then on PostgreSQL."""
    served: dict[str, Callable[[Path], AbstractContextManager[str]]] = {
        "SQLite": _sqlite,
        "PostgreSQL": _postgresql,
    }
    for database, serve in served.items():
        with (
            tempfile.TemporaryDirectory(prefix="headend-bench-") as folder,
            serve(Path(folder)) as url,
            meters() as broker,
        ):
            yield from _of_database(database, url, broker, Path(folder), LONGER * seconds)


def _of_database(
    database: str, url: str, broker: Mosquitto, folder: Path, seconds: float
) -> Iterator[Flow | Breakdown]:
    samples = folder / "samples.json"
    head_end = HeadEndProcess(
        folder,
        database_url=url,
        buses={BUS: {"url": f"mqtt://{broker.host}:{broker.port}"}},
        command=(sys.executable, "-m", "tests.bench.sampling", str(samples), "serve", "--config"),
        poll_interval_s=A_WEEK_S,
    )
    fleet = Fleet(description(broker.port), clock=WallClock())
    asyncio.run(head_end.set_up(fleet.rows))
    head_end.start()
    try:
        with asyncio.Runner() as runner:
            results = _figures(head_end, database, list(fleet.meters), seconds, samples)
            try:
                while (figure := runner.run(_next(results))) is not None:
                    yield figure
            finally:
                runner.run(results.aclose())
    finally:
        head_end.kill()


async def _next(results: AsyncIterator[Flow | Breakdown]) -> Flow | Breakdown | None:
    return await anext(results, None)


async def _figures(
    head_end: HeadEndProcess, database: str, drns: list[str], seconds: float, samples: Path
) -> AsyncGenerator[Flow | Breakdown, None]:
    def closed(callers: Callers) -> Awaitable[Times]:
        return callers.closed(CALLERS, seconds)

    async with callers_of(head_end, drns) as callers:
        await callers.closed(CALLERS, seconds / 4)  # everything has been opened and compiled once
        flow = await _flow(f"{database}: recharges, {CALLERS} callers", head_end, callers, closed)
        yield flow
        pace = flow.per_second / 2
        yield await _flow(
            f"{database}: recharges at half of that",
            head_end,
            callers,
            lambda callers: callers.paced(pace, seconds),
        )
        os.kill(head_end.pid, signal.SIGUSR1)
        times = await closed(callers)
        os.kill(head_end.pid, signal.SIGUSR2)
        told = await asyncio.to_thread(_read, samples)
        yield _breakdown(f"{database}: where the processor time goes", times, told)


async def _flow(what: str, head_end: HeadEndProcess, callers: Callers, load: Load) -> Flow:
    before = spin_ms()
    cpu_s = _cpu_s(head_end.pid)
    times = await load(callers)
    cpu_s = _cpu_s(head_end.pid) - cpu_s
    done = len(times.confirmed_s)
    return Flow(
        what,
        per_second=round(times.per_second, 1),
        cpu_us=round(cpu_s / done * 1e6, 1),
        answered_p50_ms=percentile_ms(times.answered_s, 0.50),
        answered_p99_ms=percentile_ms(times.answered_s, 0.99),
        confirmed_p50_ms=percentile_ms(times.confirmed_s, 0.50),
        confirmed_p99_ms=percentile_ms(times.confirmed_s, 0.99),
        count=done,
        late=times.late,
        spin_ms=(before, spin_ms()),
    )


def _read(samples: Path) -> Samples:
    """What the sampler found; it takes a moment to write it down."""
    deadline_s = time.monotonic() + SAMPLES_WITHIN_S
    while not samples.exists() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    told: Samples = json.loads(samples.read_text())
    return told


def _breakdown(what: str, times: Times, told: Samples) -> Breakdown:
    rooms, done = Counter(told["rooms"]), len(times.confirmed_s)
    whole = max(1, rooms.total())
    return Breakdown(
        what,
        per_second=round(times.per_second, 1),
        shares={room: round(found / whole, 3) for room, found in rooms.most_common()},
        counts={name: round(number / done, 1) for name, number in told["asked"].items()},
    )


def _cpu_s(pid: int) -> float:
    """Processor time of a process so far: fields 14 and 15 of /proc/PID/stat, proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder}/headend.db"


@contextmanager
def _postgresql(_: Path) -> Iterator[str]:
    server = PostgresServer()
    try:
        server.start()
        yield server.url(server.create())
    finally:
        server.stop()


@contextmanager
def meters() -> Iterator[Mosquitto]:
    """A broker, and the process of the meters that are connected to it."""
    broker = Mosquitto()
    try:
        broker.start()
        command = [sys.executable, "-m", "tests.bench.fleet", str(broker.port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as fleet:
            try:
                assert fleet.stdout is not None
                assert fleet.stdout.readline(), "the meters did not come up"
                yield broker
            finally:
                fleet.terminate()
    finally:
        broker.remove()
