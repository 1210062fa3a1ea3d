"""The broker's settings that we ship, on a real broker: who gets in, and who may say what."""

import asyncio
import os
import signal
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiomqtt
import pytest

from tests.servers.mosquitto import find_program
from tests.servers.process import HOST, ServerProcess, free_port

SHIPPED = Path(__file__).parents[2] / "deploy" / "mosquitto"
MESSAGE_TIMEOUT_S = 5


@dataclass(frozen=True)
class Broker:
    port: int
    certificates: Path

    def client(self, name: str) -> aiomqtt.Client:
        """A client that shows the certificate of this name."""
        context = ssl.create_default_context(cafile=str(self.certificates / "ca.pem"))
        context.load_cert_chain(
            self.certificates / f"{name}.pem", self.certificates / f"{name}.key"
        )
        return aiomqtt.Client("localhost", self.port, identifier=name, tls_context=context)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker under the shipped settings, with only its paths and port moved."""
    folder = tmp_path_factory.mktemp("mosquitto")
    certificates = folder / "certificates"
    script = SHIPPED / "make-certificates.sh"
    subprocess.run([script, certificates, "localhost", "headend", "gw1", "gw2"], check=True)
    port = free_port()
    settings = (SHIPPED / "mosquitto.conf").read_text()
    for shipped, ours in (
        ("/mosquitto/config/acl", str(SHIPPED / "acl")),
        ("/mosquitto/config", str(folder)),
        ("/mosquitto/data", str(folder)),
        ("listener 8883", f"listener {port} {HOST}"),
    ):
        assert shipped in settings
        settings = settings.replace(shipped, ours)
    if os.geteuid() == 0:
        settings += "user root\n"  # it would become `mosquitto` and lose sight of this folder
    file = folder / "mosquitto.conf"
    file.write_text(settings)
    server = ServerProcess([find_program(), "-c", str(file)], port=port, log=folder / "log")
    server.start()
    yield Broker(port, certificates)
    server.stop(signal=signal.SIGTERM)


async def heard_of(listener: aiomqtt.Client, count: int) -> list[tuple[str, bytes]]:
    heard: list[tuple[str, bytes]] = []
    async with asyncio.timeout(MESSAGE_TIMEOUT_S):
        async for message in listener.messages:
            assert isinstance(message.payload, bytes)
            heard.append((message.topic.value, message.payload))
            if len(heard) == count:
                break
    return heard


@pytest.mark.parametrize(
    "topic", ["status", "m1/birth", "m1/state", "m1/reading/daily", "m1/event/0104", "m1/res/01"]
)
async def test_the_headend_hears_what_a_gateway_may_say(broker: Broker, topic: str):
    async with broker.client("headend") as headend, broker.client("gw1") as gateway:
        await headend.subscribe("amr/v1/t1/#", qos=1)
        await gateway.publish(f"amr/v1/t1/gw1/{topic}", b"{}", qos=1)
        assert await heard_of(headend, 1) == [(f"amr/v1/t1/gw1/{topic}", b"{}")]


async def test_a_command_reaches_its_gateway_and_no_other(broker: Broker):
    async with (
        broker.client("headend") as headend,
        broker.client("gw1") as gateway,
        broker.client("gw2") as stranger,
    ):
        await gateway.subscribe("amr/v1/t1/gw1/+/cmd/#", qos=1)
        await stranger.subscribe("amr/v1/t1/#", qos=1)
        await headend.publish("amr/v1/t1/gw1/m1/cmd/token", b"for gw1", qos=1)
        await headend.publish("amr/v1/t1/gw2/m2/cmd/token", b"for gw2", qos=1)
        assert await heard_of(gateway, 1) == [("amr/v1/t1/gw1/m1/cmd/token", b"for gw1")]
        assert await heard_of(stranger, 1) == [("amr/v1/t1/gw2/m2/cmd/token", b"for gw2")]


async def test_a_gateway_cannot_speak_for_another_nor_command_itself(broker: Broker):
    async with broker.client("headend") as headend, broker.client("gw2") as gateway:
        await headend.subscribe("amr/v1/t1/+/+/event/#", qos=1)
        await headend.subscribe("amr/v1/t1/+/+/cmd/#", qos=1)
        await gateway.publish("amr/v1/t1/gw1/m1/event/0104", b"forged", qos=1)
        await gateway.publish("amr/v1/t1/gw2/m2/cmd/token", b"forged", qos=1)
        await gateway.publish("amr/v1/t1/gw2/m2/event/0104", b"true", qos=1)
        assert await heard_of(headend, 1) == [("amr/v1/t1/gw2/m2/event/0104", b"true")]


async def test_nobody_enters_without_a_certificate(broker: Broker):
    context = ssl.create_default_context(cafile=str(broker.certificates / "ca.pem"))
    with pytest.raises(ssl.SSLError):
        await hello(broker.port, context)


async def hello(port: int, context: ssl.SSLContext) -> bytes:
    """Connect and listen: under TLS 1.3 a refusal comes after the handshake."""
    reader, _ = await asyncio.open_connection("localhost", port, ssl=context)
    return await reader.read()
