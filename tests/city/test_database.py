"""The simulated database keeps nobody waiting for ever: not even one that hung and came back."""

import asyncio
import random

import pytest

from headend.errors import StoreDown
from tests.city.database import IDLE_IN_TRANSACTION_S, Client, Database
from tests.city.lives import CityLoop, Life


@pytest.fixture
def city():
    with asyncio.Runner(loop_factory=CityLoop) as runner:
        yield runner


def database() -> tuple[CityLoop, Database]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CityLoop)
    luck = random.Random(1)
    return loop, Database(loop, luck, told=lambda *_: None, committed=lambda *_: None)


async def holding(client: Client, for_s: float) -> None:
    async with client.begin():
        await asyncio.sleep(for_s)


@pytest.mark.parametrize("held_s", [1.0, 2 * IDLE_IN_TRANSACTION_S])
def test_one_that_hangs_while_it_waits_hears_of_it(city, held_s: float):
    """Whether its turn came meanwhile, or the other one still holds."""

    async def story() -> None:
        loop, store = database()
        busy, hung = Life(loop, "busy"), Life(loop, "hung")
        holder = busy.run(holding(store.client(busy), for_s=held_s))
        await asyncio.sleep(0.1)
        waiter = hung.run(holding(store.client(hung), for_s=1.0))
        await asyncio.sleep(0.1)
        hung.freeze()
        store.hangs(hung)
        await asyncio.sleep(1.5 * IDLE_IN_TRANSACTION_S)
        hung.thaw()
        async with asyncio.timeout(90):
            with pytest.raises(StoreDown):
                await waiter
            await holder
        assert store.turn.holder is None

    city.run(story())


def test_the_dead_give_back_their_turn(city):
    async def story() -> None:
        loop, store = database()
        dead, alive = Life(loop, "dead"), Life(loop, "alive")
        dead.run(holding(store.client(dead), for_s=1.0))
        await asyncio.sleep(0.1)
        waiter = alive.run(holding(store.client(alive), for_s=1.0))
        dead.kill()
        async with asyncio.timeout(10):
            await waiter
        await dead.bury()

    city.run(story())
