"""The broker of the demo: starts, keeps sessions, comes back, and never outlives its head-end."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adapters.mqtt.embedded import USER, EmbeddedBroker
from headend.errors import NotSent
from headend.tokens import TokenResult
from tests.adapters.mqtt.gateway import done, gateway_at, reading, topic
from tests.adapters.mqtt.headend_side import a_head_end, a_meter, a_token, running
from tests.servers.process import answers, free_port


async def test_tokens_and_readings_pass(free_port: int):
    async with EmbeddedBroker(free_port) as broker:
        async with (
            running(a_head_end(broker.url)) as headend,
            gateway_at(broker.port, username=USER) as gateway,
        ):
            gateway.script = lambda command: [done(command, code=1, tid=17_286)]
            await gateway.say(topic("reading/basic"), reading(7))
            async with headend.driver.open(a_meter()) as session:
                outcome = await session.enter_token(a_token(), attempt=0)
            await headend.until(lambda: headend.values() == {7})
        assert outcome.result is TokenResult.ACCEPT
        assert answers(free_port)
    assert not answers(free_port)


async def test_what_came_while_we_were_away_waits_for_us(free_port: int):
    async with EmbeddedBroker(free_port) as broker:
        async with running(a_head_end(broker.url)):
            pass
        async with gateway_at(broker.port, username=USER) as gateway:
            for number in range(20):
                await gateway.say(topic("reading/basic"), reading(number))
        back = a_head_end(broker.url)
        async with running(back):
            await back.until(lambda: back.values() == set(range(20)))


async def test_it_comes_back_when_it_dies(free_port: int):
    async with EmbeddedBroker(free_port) as broker, running(a_head_end(broker.url)) as headend:
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        await headend.until(lambda: not headend.link.connected)
        async with asyncio.timeout(20):
            await headend.link.wait_connected()
        async with gateway_at(broker.port, username=USER) as gateway:
            await gateway.say(topic("reading/basic"), reading(1))
            await headend.until(lambda: headend.values() == {1})


async def test_a_port_that_is_taken_is_told(free_port: int):
    async with EmbeddedBroker(free_port):
        with pytest.raises(NotSent, match=str(free_port)):
            async with EmbeddedBroker(free_port):
                pass


def test_it_ends_with_its_parent_however_that_ends():
    port = free_port()
    program = f"""
import asyncio
from adapters.mqtt.embedded import EmbeddedBroker
async def main():
    async with EmbeddedBroker({port}):
        print("up", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == b"up\n"
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while answers(port):
        assert time.monotonic() < deadline, "the broker outlives its parent"
        time.sleep(0.05)
