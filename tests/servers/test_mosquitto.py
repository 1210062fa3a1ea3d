"""The Mosquitto fixtures: a real broker that can be ended in every way a broker ends."""

import asyncio
import os

import aiomqtt
import pytest

from tests.conftest import StartMosquitto
from tests.servers import mosquitto as broker_module
from tests.servers.mosquitto import Login, Mosquitto
from tests.servers.process import ServerMissing

TOPIC = "amr/v1/test/gw/meter/event/0104"


async def round_trip(client: aiomqtt.Client) -> bytes:
    await client.subscribe(TOPIC, qos=1)
    await client.publish(TOPIC, b"credit out", qos=1)
    async with asyncio.timeout(5):
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            return message.payload
    raise AssertionError("the broker closed the connection")


async def test_a_message_goes_out_and_comes_back(mosquitto: Mosquitto):
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as client:
        assert await round_trip(client) == b"credit out"


async def test_the_broker_with_a_password_lets_its_login_in(mosquitto_with_password: Mosquitto):
    broker = mosquitto_with_password
    assert broker.login is not None
    async with aiomqtt.Client(
        broker.host, broker.port, username=broker.login.username, password=broker.login.password
    ) as client:
        assert await round_trip(client) == b"credit out"


@pytest.mark.parametrize("login", [Login("headend", "wrong"), Login("stranger", "for tests only")])
async def test_the_broker_with_a_password_refuses_others(
    mosquitto_with_password: Mosquitto, login: Login
):
    broker = mosquitto_with_password
    with pytest.raises(aiomqtt.MqttError, match=r"[Nn]ot authori[sz]ed"):
        async with aiomqtt.Client(
            broker.host, broker.port, username=login.username, password=login.password
        ):
            pass


async def test_the_broker_with_a_password_refuses_the_nameless(
    mosquitto_with_password: Mosquitto,
):
    broker = mosquitto_with_password
    with pytest.raises(aiomqtt.MqttError, match=r"[Nn]ot authori[sz]ed"):
        async with aiomqtt.Client(broker.host, broker.port):
            pass


async def test_a_killed_broker_comes_back_on_its_port(mosquitto: Mosquitto):
    mosquitto.kill()
    assert not mosquitto.is_running()
    with pytest.raises(aiomqtt.MqttError):
        async with aiomqtt.Client(mosquitto.host, mosquitto.port):
            pass
    mosquitto.start()
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as client:
        assert await round_trip(client) == b"credit out"


async def test_a_persistent_broker_keeps_what_an_absent_client_is_owed(
    start_mosquitto: StartMosquitto,
):
    broker = start_mosquitto(persistence=True)

    def meter() -> aiomqtt.Client:
        return aiomqtt.Client(broker.host, broker.port, identifier="meter", clean_session=False)

    async with meter() as client:
        await client.subscribe(TOPIC, qos=1)
    async with aiomqtt.Client(broker.host, broker.port) as client:
        await client.publish(TOPIC, b"a token", qos=1)
    broker.stop()
    broker.start()
    async with meter() as client, asyncio.timeout(5):
        message = await anext(aiter(client.messages))
    assert message.payload == b"a token"


async def test_a_frozen_broker_answers_nothing_until_it_thaws(mosquitto: Mosquitto):
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as client:
        mosquitto.freeze()
        waiting = asyncio.create_task(client.publish(TOPIC, b"late", qos=1))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
        mosquitto.thaw()
        await waiting


def test_a_machine_without_mosquitto_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    monkeypatch.setattr(broker_module, "SYSTEM_FOLDERS", ())
    with pytest.raises(ServerMissing, match="apt-get install mosquitto"):
        broker_module.find_program()
