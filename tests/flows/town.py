"""A small town for real: meters on a line and behind a broker, a head-end in its own process.

The meters live in the test's process, so their registers can be read; whatever stands between them
and the customers may be killed at any moment.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import httpx2

from adapters.clock import WallClock
from adapters.simulators.fleet import MQTT, Fleet
from adapters.simulators.fleet_description import (
    FleetDescription,
    GatewayDescription,
    LineDescription,
    MeterDescription,
)
from adapters.simulators.meter import SimulatedMeter
from adapters.simulators.mqtt_meter import Broker
from tests.servers.headend import HeadEndProcess
from tests.servers.mosquitto import Mosquitto

FIRST_CREDIT_MILLI = 5_000
KWH = 1_000
AGAIN_S = 0.2
ANSWERS_IN_TIME = (200, 201)
# Its gateway is on no cellular link: a command lost with the broker is not waited for long.
QUICK_PROFILE = """
format    = 1
title     = "Prepayment meter behind a gateway on a fast network"
source    = "docs/mqtt.md, version 1"
can       = ["READ", "ENTER_TOKEN", "TOKEN_OUTCOME", "SUPPLY", "SUPPLY_ORDER", "CLOCK", "EVENTS"]
silence_s = 3
answer_s  = 8
"""
# The database is away: the caller is told to come again.
COME_AGAIN = 503


class Town:
    """Meters, callers, and what they bought. `repeats` counts posts that were not answered."""

    def __init__(self, fleet: Fleet, head_end: HeadEndProcess) -> None:
        self.fleet = fleet
        self.head_end = head_end
        self.bought: Counter[str] = Counter()
        self.repeats = 0

    @property
    def meters(self) -> list[SimulatedMeter]:
        return list(self.fleet.meters.values())

    def idents(self) -> set[str]:
        return {ident(drn, number) for drn, count in self.bought.items() for number in range(count)}

    async def start(self) -> None:
        await asyncio.to_thread(self.head_end.start)

    async def kill(self) -> None:
        await asyncio.to_thread(self.head_end.kill)

    async def stop(self) -> int | None:
        return await asyncio.to_thread(self.head_end.stop)

    async def buy(self, meter: SimulatedMeter) -> None:
        """Buy one kWh, posting with the same id until there is an answer."""
        name = ident(meter.drn, self.bought[meter.drn])
        self.bought[meter.drn] += 1
        amount = {"kind": "units", "value": "1", "unit": "kWh"}
        order = {"id": name, "meter": meter.drn, "amount": amount}
        async with self.head_end.client() as client:
            while not await self._sold(client, order):
                self.repeats += 1
                await asyncio.sleep(AGAIN_S)

    @asynccontextmanager
    async def buying(self, chance: random.Random) -> AsyncIterator[None]:
        """Every meter's customer buys now and then while the block runs; all are answered."""
        end = asyncio.Event()
        async with asyncio.TaskGroup() as customers:
            for meter in self.meters:
                customers.create_task(self._buy_until(end, meter, chance.random()))
            try:
                yield
            finally:
                end.set()

    async def states(self) -> Counter[str]:
        """How many of the recharges are in which state, as REST tells."""
        told: Counter[str] = Counter()
        async with self.head_end.client() as client:
            for name in sorted(self.idents()):
                answer = await client.get(f"/v1/recharges/{name}")
                told[answer.json()["state"] if answer.is_success else "unknown"] += 1
        return told

    async def all_lit(self, *, within_s: float) -> float:
        """Wait until every recharge says that it is lit; after how many seconds that was."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while (found := await self.states()).keys() > {"lit"} or not found["lit"]:
            if loop.time() - began_s > within_s:
                raise AssertionError(f"not lit within {within_s} s: {dict(found)}")
            await asyncio.sleep(0.5)
        return loop.time() - began_s

    def credited(self) -> dict[str, Decimal]:
        """What each meter's own register has gained, in kWh."""
        return {
            meter.drn: Decimal(meter.credit_milli - FIRST_CREDIT_MILLI) / KWH
            for meter in self.meters
        }

    async def _buy_until(self, end: asyncio.Event, meter: SimulatedMeter, luck: float) -> None:
        """Buy now and then, without waiting for the light; some answers of the meter are lost."""
        chance = random.Random(luck)
        while not end.is_set():
            if chance.random() < 0.2:
                meter.faults.lose(1)
            await self.buy(meter)
            await asyncio.sleep(chance.uniform(0.3, 1.2))

    async def _sold(self, client: httpx2.AsyncClient, order: Mapping[str, object]) -> bool:
        try:
            answer = await client.post("/v1/recharges", json=order)
        except httpx2.TransportError:
            return False
        if answer.status_code == COME_AGAIN:
            return False
        assert answer.status_code in ANSWERS_IN_TIME, answer.text
        return True


def ident(drn: str, number: int) -> str:
    return f"{drn}-{number}"


@asynccontextmanager
async def a_town(
    folder: Path,
    broker: Mosquitto,
    database_url: str,
    *,
    meters_a_wire: int = 4,
    processing_s: float = 0.2,
) -> AsyncIterator[Town]:
    """A town whose head-end is set up but not started; nothing consumes, so credit only rises."""
    description = FleetDescription(
        lines=(LineDescription(name="line", meters=meters_a_wire),),
        gateways=(GatewayDescription(name="gateway", meters=meters_a_wire),),
        broker=Broker(port=broker.port),
        meters=MeterDescription(load=0, processing_s=processing_s, credit_milli=FIRST_CREDIT_MILLI),
    )
    async with Fleet(description, clock=WallClock()) as fleet:
        head_end = HeadEndProcess(
            folder,
            database_url=database_url,
            buses={
                "line": {"url": fleet.buses["line"], "quiet_s": 0.2},
                "broker": {"url": f"mqtt://{broker.host}:{broker.port}"},
            },
            profile_folders=[str(_profiles(folder))],
        )
        rows = [
            {**row, "profile": "quick"} if row["profile"] == MQTT else row for row in fleet.rows
        ]
        try:
            await head_end.set_up(rows)
            yield Town(fleet, head_end)
        finally:
            await asyncio.to_thread(head_end.kill)


def _profiles(folder: Path) -> Path:
    profiles = folder / "profiles"
    (profiles / "mqtt").mkdir(parents=True)
    (profiles / "mqtt" / "quick.toml").write_text(QUICK_PROFILE)
    return profiles
