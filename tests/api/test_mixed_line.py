"""A head-end and meters of three dialects on one pair, in real time on a pseudo-terminal."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from adapters.clock import WallClock
from adapters.simulators.fleet import Fleet
from adapters.simulators.fleet_description import parse_description
from api.head_end import HeadEnd
from tests.api.office import SGC, Caller, a_settings, an_office
from tests.fakes import SeededChance

LINE = {
    "name": "mixed",
    "way": "terminal",
    "meters": 1,
    "dlt645_meters": 2,
    "iec62056_21_meters": 1,
    "physics": {"baud": 38400, "silent": 0},
}
WITHIN_S = 30


@dataclass
class Street:
    """The meters, and a caller of the head-end that reads them all day."""

    fleet: Fleet
    caller: Caller

    def drn(self, profile: str) -> str:
        return next(row["drn"] for row in self.fleet.rows if row["profile"] == profile)

    async def readings(self, drn: str) -> dict[str, int]:
        told = (await self.caller.get(f"/v1/meters/{drn}/readings")).json()
        return {one["type"]: one["value"] for one in reversed(told["items"])}

    async def delivered(self, order: str) -> bool:
        told = (await self.caller.get(f"/v1/deliveries/{order}")).json()
        return bool(told["state"] == "done")


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    description = parse_description({"lines": [LINE], "key": {"sgc": int(SGC)}})
    password = tmp_path / "dlt645.password"
    password.write_text("02 000000 00000000\n")
    async with Fleet(description, clock=WallClock(), chance=SeededChance()) as fleet:
        bus = {"url": fleet.buses["mixed"], "dlt645": {"password_file": password}}
        settings = a_settings(tmp_path, role="all", buses={"mixed": bus}, poll_interval_s=2)
        async with an_office(settings) as office, served(office.head_end):
            caller = await office.caller()
            for row in fleet.rows:
                answer = await caller.post("/v1/meters", json=body_of(row))
                assert answer.status_code == 201, answer.text
            yield Street(fleet, caller)


@asynccontextmanager
async def served(head_end: HeadEnd) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        works = [group.create_task(_run(work.run)) for work in head_end.works]
        yield
        for work in works:
            work.cancel()


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()


def body_of(row) -> dict[str, object]:
    return {
        "drn": row["drn"],
        "service": row["service"],
        "profile": row["profile"],
        "route": {"bus": row["bus"], "address": row["address"]},
        "sts": {"sgc": row["sgc"], "krn": 1, "ti": 1, "kt": 2, "ea": 11},
        "keypad": row["keypad"],
    }


async def until(happened: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await happened():
            await asyncio.sleep(0.05)


async def test_all_are_read_a_recharge_passes_and_supply_obeys(street: Street):
    stsm, dlt645, read_out = map(street.drn, ("stsm", "dlt645-2007", "iec62056-21"))
    sale = {
        "id": "sale-1",
        "meter": stsm,
        "amount": {"kind": "units", "value": "10", "unit": "kWh"},
    }
    before = street.fleet.meters[stsm].credit_milli
    assert (await street.caller.post("/v1/recharges", json=sale)).status_code == 201

    async def lit() -> bool:
        told = (await street.caller.get("/v1/recharges/sale-1")).json()
        return bool(told["state"] == "lit")

    await until(lit)
    assert street.fleet.meters[stsm].credit_milli > before + 9_000

    for row in street.fleet.rows:

        async def read(drn: str = row["drn"]) -> bool:
            return "energy_import_wh" in await street.readings(drn)

        await until(read)
    loads = {drn: meter.circuit.account.load for drn, meter in street.fleet.meters.items()}
    assert (await street.readings(dlt645))["power_w"] == loads[dlt645]
    assert (await street.readings(dlt645))["credit_left_milli"] > 4_000
    assert (await street.readings(read_out))["power_w"] == street.fleet.energy_meters[read_out].load

    obeying = street.fleet.meters[dlt645]
    expires = street.fleet.clock.now() + timedelta(hours=1)
    for action, is_lit in (("open", False), ("permit_close", True)):
        order = {
            "id": action,
            "action": action,
            "reason": "maintenance",
            "expires_at": expires.isoformat(),
        }
        answer = await street.caller.post(f"/v1/meters/{dlt645}/supply", json=order)
        assert answer.status_code == 202, answer.text
        await until(partial(street.delivered, answer.json()["id"]))
        obeying.press_button(street.fleet.clock.now())
        assert obeying.lit is is_lit


async def test_events_of_every_dialect_that_has_them_come_by_one_name(street: Street):
    told = []
    for profile in ("stsm", "dlt645-2007"):
        drn = street.drn(profile)
        street.fleet.meters[drn].tamper(street.fleet.clock.now())

        async def opened(drn: str = drn) -> list[str]:
            page = (await street.caller.get(f"/v1/meters/{drn}/events")).json()
            return [one["type"] for one in page["items"] if one["type"] == "meter_cover_opened"]

        await until(opened)
        told.append(await opened())
    assert told == [["meter_cover_opened"]] * 2
