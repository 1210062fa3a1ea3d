"""The head-end as a process that dies: whatever is killed, each recharge is credited once.

Meters, broker, database and callers are real and outlive it. The moments are drawn from a seed,
which is printed: KILL_SEED=... draws them again.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.wiring import open_store
from headend.meters import BusName
from tests.conftest import StartMosquitto
from tests.flows.town import Town, a_town
from tests.servers.mosquitto import Mosquitto
from tests.servers.postgres import PostgresServer
from tests.servers.process import answers

SEED = int(os.environ.get("KILL_SEED", "1"))
KILLS = 5
# What was being sent when something died is asked for within seconds, long before a lease ends.
LIT_WITHIN_S = 40.0
# A start takes seconds, on a busy machine several.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def broker(start_mosquitto: StartMosquitto) -> Mosquitto:
    return start_mosquitto(persistence=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/headend.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def town(tmp_path: Path, broker: Mosquitto, database_url: str) -> AsyncIterator[Town]:
    async with a_town(tmp_path, broker, database_url) as town:
        yield town


async def test_a_head_end_killed_again_and_again_credits_every_recharge_once(town: Town):
    chance = random.Random(SEED)
    await town.start()
    async with town.buying(chance):
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.2, 2.0))
            await town.kill()
            await town.start()
    took_s = await town.all_lit(within_s=LIT_WITHIN_S)
    print(
        f"KILL_SEED={SEED}: {KILLS} kills, {town.bought.total()} recharges,"
        f" {town.repeats} posts repeated, all lit {took_s:.1f} s after the last answer"
    )
    assert town.credited() == dict(town.bought)


async def test_a_head_end_told_to_end_gives_back_the_conversations_it_was_in(
    tmp_path: Path, broker: Mosquitto
):
    loop = asyncio.get_running_loop()
    database = f"sqlite:///{tmp_path}/headend.db"
    async with a_town(tmp_path, broker, database, processing_s=3.0) as town:
        await town.start()
        for meter in town.meters:
            await town.buy(meter)
        told_s = loop.time()
        assert await town.stop() == 0
        assert loop.time() - told_s < 8
        assert not answers(town.head_end.port)
        assert await under_way(town) == 0
        await town.start()
        await town.all_lit(within_s=LIT_WITHIN_S)
        assert town.credited() == dict(town.bought)


async def under_way(town: Town) -> int:
    """How many deliveries wait for the end of a lease, as the database has it."""
    async with open_store(town.head_end.settings) as store, store.look() as tx:
        buses = town.head_end.settings.buses
        return sum([len(await tx.deliveries.sending(BusName(bus), limit=99)) for bus in buses])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_broker_killed_in_the_middle_loses_and_doubles_nothing(
    town: Town, broker: Mosquitto
):
    await town.start()
    async with town.buying(random.Random(SEED)):
        await asyncio.sleep(1.5)
        broker.kill()
        await asyncio.sleep(1.0)
        await asyncio.to_thread(broker.start)
        await asyncio.sleep(1.5)
    await town.all_lit(within_s=LIT_WITHIN_S)
    assert town.credited() == dict(town.bought)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_database_restarted_in_the_middle_loses_and_doubles_nothing(
    town: Town, postgres_server: PostgresServer
):
    await town.start()
    pid = town.head_end.pid
    async with town.buying(random.Random(SEED)):
        await asyncio.sleep(1.5)
        await asyncio.to_thread(postgres_server.restart)
        await asyncio.sleep(1.5)
    await town.all_lit(within_s=LIT_WITHIN_S)
    assert town.head_end.is_running()
    assert town.head_end.pid == pid
    assert town.credited() == dict(town.bought)
