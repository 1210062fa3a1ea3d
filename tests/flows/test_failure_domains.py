"""Everything but us is down, for real: the head-end starts, sells, and the digits are in hand.

Broker killed, serial port missing, Modbus gateway away, first SMS gateway hanging, mail server
away: what is left is a process, its database and one gateway, and that is enough.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.adapters.handover.conftest import WebServer, answer, web_server
from tests.conftest import StartMosquitto
from tests.servers.headend import HeadEndProcess
from tests.servers.process import free_port

pytestmark = pytest.mark.timeout(180)
DRNS = {"dead-serial": "12345678903", "broker": "01234567897", "dead-tcp": "98765432103"}
WITHIN_S = 40.0
GROUP = {"fallback_after_s": 4}


def a_row(bus: str, drn: str) -> dict[str, str]:
    profile, address = ("amr-v1", "gw-1") if bus == "broker" else ("stsm", "17")
    return {
        "drn": drn, "service": "electricity", "profile": profile, "bus": bus, "address": address,
        "sgc": "201457", "krn": "1", "ti": "01", "kt": "2", "ea": "11", "keypad": "meter",
    }  # fmt: skip


def gateway(port: int) -> dict[str, object]:
    url = f"http://127.0.0.1:{port}/?to={{to}}&text={{text}}&id={{id}}"
    return {"url": url, "method": "GET", "timeout_s": 1.0}


def _gateways(names: list[str], ports: list[int]) -> dict[str, dict[str, object]]:
    return {
        f"handover.sms_gateways.{name}": gateway(port)
        for name, port in zip(names, ports, strict=True)
    }


async def hang(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


@asynccontextmanager
async def a_head_end(
    folder: Path, broker_port: int, sms: list[int]
) -> AsyncIterator[HeadEndProcess]:
    names = [f"gateway-{place}" for place in range(1, len(sms) + 1)]
    process = HeadEndProcess(
        folder,
        database_url=f"sqlite:///{folder}/headend.db",
        buses={
            "dead-serial": {"url": f"serial://{folder}/no-such-port?baud=9600&parity=E"},
            "dead-tcp": {"url": f"tcp://127.0.0.1:{free_port()}"},
            "broker": {"url": f"mqtt://127.0.0.1:{broker_port}"},
        },
        handover={"sms": names, "mail": ["gone"]},
        tables={
            **_gateways(names, sms),
            "handover.mail_servers.gone": {
                "host": "127.0.0.1", "port": free_port(), "security": "none",
                "sender": "t@utility.example", "timeout_s": 1.0,
            },
        },
    )  # fmt: skip
    try:
        await process.set_up([a_row(bus, drn) for bus, drn in DRNS.items()])
        yield process
    finally:
        await asyncio.to_thread(process.kill)


async def sell(process: HeadEndProcess, *, email: bool = False) -> None:
    contacts = [{"kind": "sms", "address": "+15550100"}]
    if email:
        contacts.append({"kind": "email", "address": "someone@example.org"})
    async with process.client() as client:
        made = await client.put("/v1/supply-groups/201457", json=GROUP)
        assert made.is_success, made.text
        for bus, drn in DRNS.items():
            sold = await client.post(
                "/v1/recharges",
                json={
                    "id": f"sale-{bus}",
                    "meter": drn,
                    "amount": {"kind": "units", "value": "10", "unit": "kWh"},
                    "fallback": contacts,
                },
            )
            assert sold.status_code == 201, sold.text


def numbers_told(server: WebServer) -> set[str]:
    """The meters whose digits this gateway was given."""
    told = set()
    for head, _ in server.requests:
        query = parse_qs(urlsplit(head.split(" ")[1]).query)
        told |= {drn for drn in DRNS.values() if drn in query["text"][0]}
    return told


async def everybody_told(*servers: WebServer) -> None:
    async with asyncio.timeout(WITHIN_S):
        while set().union(*map(numbers_told, servers)) != set(DRNS.values()):
            await asyncio.sleep(0.1)


async def test_with_every_wire_down_and_a_gateway_hanging_the_digits_are_in_hand(
    tmp_path: Path, start_mosquitto: StartMosquitto
):
    broker = start_mosquitto()
    broker.kill()
    async with (
        web_server(hang) as hanging,
        web_server(answer("202 Accepted")) as good,
        a_head_end(tmp_path, broker.port, [hanging.port, good.port]) as process,
    ):
        await asyncio.to_thread(process.start)
        await sell(process, email=True)
        await everybody_told(good)
        assert process.is_running()
        async with process.client() as client:
            told = (await client.get("/v1/recharges/sale-broker")).json()
        assert [one["provider"] for one in told["messages"]] == ["gateway-2"]
        assert told["state"] == "issued"


async def test_a_broker_killed_while_selling_keeps_no_digits_from_anybody(
    tmp_path: Path, start_mosquitto: StartMosquitto
):
    broker = start_mosquitto()
    async with (
        web_server(answer("202 Accepted")) as good,
        a_head_end(tmp_path, broker.port, [good.port]) as process,
    ):
        await asyncio.to_thread(process.start)
        broker.freeze()
        await sell(process)
        broker.kill()
        await everybody_told(good)


async def test_with_every_gateway_down_the_digits_go_when_one_is_back(
    tmp_path: Path, start_mosquitto: StartMosquitto
):
    broker = start_mosquitto()
    broker.kill()
    async with (
        web_server(answer("503 Away")) as first,
        web_server(answer("503 Away")) as second,
        a_head_end(tmp_path, broker.port, [first.port, second.port]) as process,
    ):
        await asyncio.to_thread(process.start)
        await sell(process)
        await everybody_told(first)
        await everybody_told(second)
        async with process.client() as client:
            told = (await client.get("/v1/recharges/sale-dead-tcp")).json()
            assert told["handed_at"] is None
        second.answer = answer("202 Accepted")
        second.requests.clear()
        await everybody_told(second)
