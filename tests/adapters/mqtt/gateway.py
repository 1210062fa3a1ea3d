"""A scripted gateway, the peer of the tests: it does what the test says and no more."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiomqtt

TENANT = "t1"
GATEWAY = "gw-1"
DRN = "01234567897"
NOON_MS = 1_795_521_600_000
NOON = datetime.fromtimestamp(NOON_MS // 1000, UTC)

Body = dict[str, object]
Script = Callable[[Body], list[Body]]


def topic(tail: str, *, gateway: str = GATEWAY, drn: str = DRN) -> str:
    return f"amr/v1/{TENANT}/{gateway}/{drn}/{tail}"


def status_topic(gateway: str = GATEWAY) -> str:
    return f"amr/v1/{TENANT}/{gateway}/status"


def body(**fields: object) -> bytes:
    return json.dumps({"v": 1, "ts": NOON_MS, **fields}).encode()


def reading(number: int) -> bytes:
    """A reading that can be told from the others by its time and its value."""
    return body(ts=NOON_MS + number, seq=number, values={"1.8.0": [number, "Wh"]})


def received(command: Body) -> Body:
    return {"cmd": command["id"], "verb": command["verb"], "state": "received"}


def done(command: Body, **fields: object) -> Body:
    return {"cmd": command["id"], "verb": command["verb"], "state": "done", **fields}


def failed(command: Body, **fields: object) -> Body:
    return {"cmd": command["id"], "verb": command["verb"], "state": "failed", **fields}


class Gateway:
    """Connected; `commands` are the bodies that came, `packets` the messages that carried them."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self.script: Script = lambda _: []
        self.commands: list[Body] = []
        self.packets: list[aiomqtt.Message] = []

    async def say(self, where: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        await self._client.publish(where, payload, qos=qos, retain=retain)

    async def result(self, answer: Body) -> None:
        fields = {key: value for key, value in answer.items() if key != "v"}
        await self.say(topic(f"res/{answer['cmd']}"), body(**fields))

    async def obey(self) -> None:
        """Answer commands as the script says, until cancelled."""
        async for message in self._client.messages:
            assert isinstance(message.payload, bytes)
            command: Body = json.loads(message.payload)
            self.commands.append(command)
            self.packets.append(message)
            for answer in self.script(command):
                await self.result(answer)


@asynccontextmanager
async def gateway_at(
    port: int, *, version: str = "3.1.1", username: str | None = None
) -> AsyncIterator[Gateway]:
    """A gateway with a persistent session at the broker."""
    v5 = version == "5"
    async with aiomqtt.Client(
        "127.0.0.1",
        port,
        identifier=GATEWAY,
        username=username,
        protocol=aiomqtt.ProtocolVersion.V5 if v5 else aiomqtt.ProtocolVersion.V311,
        clean_session=None if v5 else False,
    ) as client:
        client.pending_calls_threshold = 10_000
        gateway = Gateway(client)
        await client.subscribe(f"amr/v1/{TENANT}/{GATEWAY}/+/cmd/+", qos=1)
        obeying = asyncio.create_task(gateway.obey())
        try:
            yield gateway
        finally:
            while not obeying.done():  # wait_for of Python 3.11, in aiomqtt, may swallow it
                obeying.cancel()
                await asyncio.wait([obeying], timeout=0.1)
