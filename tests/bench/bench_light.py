"""Light: from a POST over HTTP to "lit" on each wire; and how soon digits are in hand without any.

One head-end process on PostgreSQL; the meters of the town are here, their registers in reach. In
the second part the broker is killed and the meters on the line are silent: all that is left is the
message with the digits, promised within a minute (a short run promises, and waits, less).
"""

import asyncio
import json
import logging
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from pathlib import Path

import structlog

from adapters.simulators.fleet import MQTT
from headend.recharges import RechargeState
from tests.bench.callers import Times, callers_of
from tests.bench.figures import InHand, ToLight, percentile_ms, spin_ms
from tests.flows.town import Town, a_town
from tests.servers.mosquitto import Mosquitto
from tests.servers.postgres import PostgresServer

METERS_A_WIRE = 16
# A sale every so often, so that none waits for another.
SALES_PER_S = 2.0
LONGER = 30.0
PROMISE_S, SHORT_PROMISE_S = 60, 4
SHORT_RUN_S = 0.5
DEAD_SALES = 64
LOOK_S = 0.1
SGC = "201457"


def measure(seconds: float) -> Iterator[ToLight | InHand]:
    """Yield the time to light wire by wire, then the share of digits in hand in time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    database, broker = PostgresServer(), Mosquitto()
    try:
        database.start()
        broker.start()
        with tempfile.TemporaryDirectory(prefix="headend-bench-") as folder, asyncio.Runner() as on:
            found = _figures(Path(folder), database.url(database.create()), broker, seconds)
            try:
                while (figure := on.run(_next(found))) is not None:
                    yield figure
            finally:
                on.run(found.aclose())
    finally:
        broker.remove()
        database.stop()


async def _next(found: AsyncIterator[ToLight | InHand]) -> ToLight | InHand | None:
    return await anext(found, None)


async def _figures(
    folder: Path, url: str, broker: Mosquitto, seconds: float
) -> AsyncGenerator[ToLight | InHand, None]:
    async with a_town(folder, broker, url, meters_a_wire=METERS_A_WIRE, processing_s=0.05) as town:
        await town.start()
        for what, drns in _wires(town).items():
            yield await _to_light(f"POST to lit, {what}", town, drns, LONGER * seconds)
        promise_s = SHORT_PROMISE_S if seconds < SHORT_RUN_S else PROMISE_S
        await asyncio.to_thread(broker.kill)
        for meter in town.meters:
            meter.faults.silent = True
        sales = DEAD_SALES if promise_s == PROMISE_S else len(town.meters) // 4
        yield await _in_hand(town, folder / "outbox", promise_s, sales)


def _wires(town: Town) -> dict[str, Sequence[str]]:
    behind = {row["drn"] for row in town.fleet.rows if row["profile"] == MQTT}
    on_line = [meter.drn for meter in town.meters if meter.drn not in behind]
    return {"MQTT": sorted(behind), "Modbus TCP": on_line}


async def _to_light(what: str, town: Town, drns: Sequence[str], seconds: float) -> ToLight:
    before = spin_ms()
    lit = [RechargeState.LIT.value]
    async with callers_of(town.head_end, drns, until=lit, name=what[-4:]) as callers:
        await callers.paced(SALES_PER_S, len(drns) / SALES_PER_S / 4)  # every path was walked once
        times: Times = await callers.paced(SALES_PER_S, seconds)
    return ToLight(
        what,
        per_second=round(times.per_second, 1),
        answered_p50_ms=percentile_ms(times.answered_s, 0.50),
        answered_p99_ms=percentile_ms(times.answered_s, 0.99),
        lit_p50_ms=percentile_ms(times.confirmed_s, 0.50),
        lit_p99_ms=percentile_ms(times.confirmed_s, 0.99),
        count=len(times.confirmed_s),
        late=times.late,
        spin_ms=(before, spin_ms()),
    )


async def _in_hand(town: Town, outbox: Path, promise_s: int, sales: int) -> InHand:
    """Sell to one meter after the other, each for a telephone of its own; see when it is told."""
    posted: dict[str, float] = {}
    async with town.head_end.client() as client:
        made = await client.put(f"/v1/supply-groups/{SGC}", json={"fallback_after_s": promise_s})
        assert made.is_success, made.text
        for number in range(sales):
            meter, phone = town.meters[number % len(town.meters)], f"+1555{number:07d}"
            order = {
                "id": f"dark-{number}",
                "meter": meter.drn,
                "amount": {"kind": "units", "value": "1", "unit": "kWh"},
                "fallback": [{"kind": "sms", "address": phone}],
            }
            posted[phone] = time.time()
            sold = await client.post("/v1/recharges", json=order)
            assert sold.status_code == 201, sold.text
    told = await _told(outbox, set(posted), within_s=2 * promise_s)
    took = [told[phone] - posted[phone] for phone in told]
    return InHand(
        f"digits in hand within {promise_s} s, remote dead",
        per_second=round(len(took) / max(took), 1),
        share=round(sum(one <= promise_s for one in took) / len(posted), 4),
        count=len(posted),
        p50_ms=percentile_ms(took, 0.50),
        p99_ms=percentile_ms(took, 0.99),
    )


async def _told(outbox: Path, phones: set[str], *, within_s: float) -> dict[str, float]:
    """When each telephone's message was there, by the time of its file."""
    told: dict[str, float] = {}
    until_s = time.monotonic() + within_s
    while told.keys() < phones and time.monotonic() < until_s:
        told = _messages(outbox)
        await asyncio.sleep(LOOK_S)
    return {phone: at for phone, at in told.items() if phone in phones}


def _messages(outbox: Path) -> dict[str, float]:
    """To whom, and when it was written."""
    paths = outbox.glob("[!.]*")
    return {json.loads(path.read_text())["to"]: path.stat().st_mtime for path in paths}
