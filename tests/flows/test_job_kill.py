"""A head-end killed again and again in the middle of a job: every line is bought once, and told."""

import asyncio
import csv
import io
import json
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import StartMosquitto
from tests.flows.town import KWH, Town, a_town

pytestmark = pytest.mark.timeout(300)
METERS_A_WIRE, LINES, KILLS = 4, 24, 3
WITHIN_S = 150.0
ENDED = ("done", "done_with_failures")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/headend.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


async def test_a_job_killed_again_and_again_buys_every_line_once(
    tmp_path: Path, database_url: str, start_mosquitto: StartMosquitto
):
    luck = random.Random(7)
    async with a_town(
        tmp_path, start_mosquitto(), database_url, meters_a_wire=METERS_A_WIRE, processing_s=0.02
    ) as town:
        await town.start()
        content = lines(town)
        await posted(town, content)
        for number in range(1, KILLS + 1):
            await ordered(town, LINES * number // (KILLS + 2))
            await asyncio.sleep(luck.uniform(0.0, 0.3))
            await town.kill()
            await town.start()
            await posted(town, content)  # the back-office had no answer, perhaps
        told = await ended(town)
        assert Counter(row["outcome"] for row in told) == {"lit": LINES}
        assert len({row["id"] for row in told}) == LINES
        each = Decimal(LINES) / len(town.meters)
        assert set(town.credited().values()) == {each}, KWH


def lines(town: Town) -> bytes:
    """One kWh a line, for every meter in turn."""
    orders = (
        {
            "do": "recharge",
            "id": f"line-{number}",
            "meter": town.meters[number % len(town.meters)].drn,
            "amount": {"kind": "units", "value": "1", "unit": "kWh"},
        }
        for number in range(LINES)
    )
    return "".join(f"{json.dumps(order)}\n" for order in orders).encode()


async def posted(town: Town, content: bytes) -> None:
    headers = {"Content-Type": "application/x-ndjson"}
    async with town.head_end.client() as client:
        answer = await client.post("/v1/jobs?id=j1", content=content, headers=headers)
        assert answer.status_code in (200, 202), answer.text


async def ordered(town: Town, count: int) -> None:
    """Wait until so many lines were ordered."""
    async with asyncio.timeout(WITHIN_S), town.head_end.client() as client:
        while (await job(client))["lines"]["ordered"] < count:
            await asyncio.sleep(0.02)


async def ended(town: Town) -> list[dict[str, str]]:
    """The results, once the job and all that it ordered are at their end."""
    async with asyncio.timeout(WITHIN_S), town.head_end.client() as client:
        while True:
            if (await job(client))["state"] in ENDED:
                answer = await client.get("/v1/jobs/j1/results", headers={"Accept": "text/csv"})
                told = list(csv.DictReader(io.StringIO(answer.text)))
                if all(row["outcome"] == "lit" for row in told):
                    return told
            await asyncio.sleep(0.5)


async def job(client: httpx2.AsyncClient) -> dict[str, Any]:
    told: dict[str, Any] = (await client.get("/v1/jobs/j1")).json()
    return told
