"""Jobs: a file of many recharges worked off to its end, and what a till notices of it meanwhile.

One head-end process on PostgreSQL, 200 MQTT meters in a process of their own, a real broker. The
till's sales are timed twice in one run: with nothing else to do, and beside the job.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2

from adapters.clock import WallClock
from adapters.simulators.fleet import Fleet
from headend.jobs import JOB_ENDS, JobState
from headend.recharges import RechargeState
from tests.bench.bench_recharges import meters
from tests.bench.callers import callers_of
from tests.bench.figures import JobDone, percentile_ms, spin_ms
from tests.bench.fleet import BUS, description
from tests.servers.headend import HeadEndProcess
from tests.servers.postgres import PostgresServer

# 1,000 lines unless told otherwise; for 10,000: --seconds 20.
LINES_PER_S = 500
LEAST_LINES = 20
TILL_PER_S = 2.0
# Meters that the till sells to, and the job does not.
TILLS = 20
A_WEEK_S = 7 * 86_400
LOOK_S = 0.2
WORKING = frozenset(JobState) - JOB_ENDS
NDJSON = {"Content-Type": "application/x-ndjson"}


def measure(seconds: float) -> Iterator[JobDone]:
    """Yield the one figure."""
    database = PostgresServer()
    try:
        database.start()
        with tempfile.TemporaryDirectory(prefix="headend-bench-") as folder, meters() as broker:
            url = database.url(database.create())
            buses = {BUS: {"url": f"mqtt://{broker.host}:{broker.port}"}}
            head_end = HeadEndProcess(
                Path(folder), database_url=url, buses=buses, poll_interval_s=A_WEEK_S
            )
            fleet = Fleet(description(broker.port), clock=WallClock())
            asyncio.run(head_end.set_up(fleet.rows))
            head_end.start()
            try:
                lines = max(LEAST_LINES, int(LINES_PER_S * seconds))
                alone_s = min(TILLS / TILL_PER_S, 2.0 + 4.0 * seconds)
                yield asyncio.run(_job(head_end, list(fleet.meters), lines, alone_s))
            finally:
                head_end.kill()
    finally:
        database.stop()


async def _job(
    head_end: HeadEndProcess, drns: Sequence[str], lines: int, alone_s: float
) -> JobDone:
    before = spin_ms()
    tills, others = drns[:TILLS], drns[TILLS:]
    async with callers_of(head_end, tills) as callers, head_end.client() as client:
        alone = await callers.paced(TILL_PER_S, alone_s)
        posted = await client.post(
            "/v1/jobs?id=bench", content=_file(others, lines), headers=NDJSON
        )
        assert posted.status_code == 202, posted.text
        ending = asyncio.create_task(_end_of(client, lines))
        beside: list[float] = []
        while not ending.done():
            beside += (await callers.paced(TILL_PER_S, 1.0)).answered_s
        ordered_s, lit_s = ending.result()
    return JobDone(
        f"a job of {lines:,} recharges",
        per_second=round(lines / ordered_s, 1),
        lit_after_s=round(lit_s, 1),
        till_alone_p50_ms=percentile_ms(alone.answered_s, 0.50),
        till_alone_p99_ms=percentile_ms(alone.answered_s, 0.99),
        till_beside_p50_ms=percentile_ms(beside, 0.50),
        till_beside_p99_ms=percentile_ms(beside, 0.99),
        spin_ms=(before, spin_ms()),
    )


async def _end_of(client: httpx2.AsyncClient, lines: int) -> tuple[float, float]:
    """After how many seconds the job was done, and all its recharges lit."""
    began, done_s = time.perf_counter(), 0.0
    while True:
        told = (await client.get("/v1/jobs/bench")).json()
        if not done_s and told["state"] not in WORKING:
            assert told["state"] == JobState.DONE, told
            done_s = time.perf_counter() - began
        if done_s and told["outcomes"].get(RechargeState.LIT, 0) == lines:
            return done_s, time.perf_counter() - began
        await asyncio.sleep(LOOK_S)


def _file(drns: Sequence[str], lines: int) -> bytes:
    orders = (
        {
            "do": "recharge",
            "meter": drns[number % len(drns)],
            "amount": {"kind": "units", "value": "1", "unit": "kWh"},
        }
        for number in range(lines)
    )
    return "".join(f"{json.dumps(order)}\n" for order in orders).encode()
