"""A head-end killed while it tells: its receiver is told all the same, by the next process."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from adapters.clock import WallClock
from adapters.simulators.fleet import Fleet
from adapters.simulators.fleet_description import (
    FleetDescription,
    LineDescription,
    MeterDescription,
)
from tests.servers.headend import HeadEndProcess
from tests.servers.receiver import Receiver, a_receiver, answers, hangs

pytestmark = pytest.mark.timeout(150)
WITHIN_S = 60
OUTBOX: dict[str, Any] = {
    "outbox.private_receivers": ["127.0.0.0/8"],
    "outbox.timeout_s": 1,
}
DESCRIPTION = FleetDescription(
    lines=(LineDescription(name="line", meters=1),), meters=MeterDescription(load=0)
)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/headend.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


async def test_killed_between_the_commit_and_the_telling_it_tells_when_it_is_back(
    tmp_path: Path, database_url: str
):
    async with Fleet(DESCRIPTION, clock=WallClock()) as fleet, a_receiver(hangs) as receiver:
        head_end = HeadEndProcess(
            tmp_path,
            database_url=database_url,
            buses={"line": {"url": fleet.buses["line"], "quiet_s": 0.2}},
            **OUTBOX,
        )
        try:
            await head_end.set_up(fleet.rows)
            await asyncio.to_thread(head_end.start)
            secret = await sold(head_end, receiver, next(iter(fleet.meters)))
            await until_received(receiver, 1)
            await asyncio.to_thread(head_end.kill)
            held = {one.headers["webhook-id"] for one in receiver.received}
            receiver.behaviour = answers(204)
            await asyncio.to_thread(head_end.start)
            events = await until_lit(receiver, secret)
        finally:
            await asyncio.to_thread(head_end.kill)
    sequences = sorted({int(event["sequence"]) for event in events})
    assert sequences == list(range(1, len(sequences) + 1))
    assert held <= {one.headers["webhook-id"] for one in receiver.received[len(held) :]}


async def sold(head_end: HeadEndProcess, receiver: Receiver, drn: str) -> str:
    """A webhook is made and a sale, at once; the secret of the webhook."""
    async with head_end.client() as client:
        made = await client.post("/v1/webhooks", json={"url": receiver.url})
        assert made.status_code == 201, made.text
        amount = {"kind": "units", "value": "1", "unit": "kWh"}
        sale = await client.post("/v1/recharges", json={"id": "r1", "meter": drn, "amount": amount})
        assert sale.status_code == 201, sale.text
    secret: str = made.json()["secret"]
    return secret


async def until_received(receiver: Receiver, count: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        while len(receiver.received) < count:
            await asyncio.sleep(0.02)


async def until_lit(receiver: Receiver, secret: str):
    """All that the receiver was told, once that includes the light."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            events = [one.verified(secret) for one in receiver.received]
            first = any(event["sequence"] == "000000000001" for event in events[1:])
            if first and any(event["type"] == "headend.recharge.lit.v1" for event in events):
                return events
            await asyncio.sleep(0.1)
