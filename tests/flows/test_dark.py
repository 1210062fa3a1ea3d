"""Done means lit: each way in which a paid home stays dark, through both wires, with its cause.

Real Modbus TCP, a real broker, one head-end process; every meter is put into its condition by the
words of `headend simulate`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from adapters.clock import WallClock
from adapters.simulators.control import Control
from adapters.simulators.fleet import Fleet
from adapters.simulators.fleet_description import (
    FleetDescription,
    GatewayDescription,
    LineDescription,
    MeterDescription,
)
from adapters.simulators.mqtt_meter import Broker
from tests.servers.headend import HeadEndProcess
from tests.servers.mosquitto import Mosquitto

WIRES = ("line", "broker")
# Words that are said to a meter without credit before it is sold 10 kWh, and what comes of it.
CONDITIONS: Mapping[str, tuple[tuple[str, ...], str, str | None, str | None]] = {
    "healthy": ((), "lit", None, None),
    "button": (("disconnect {} on", "disconnect {} off"), "lit", None, None),
    "relay_fault": (("relay-fault {} on",), "dark", "relay_fault", None),
    "tamper": (("tamper {}",), "dark", "tamper_lock", None),
    "overload": (("load {} 4000", "limit {} 2000"), "dark", "overload", None),
    "threshold": (("threshold {} 12.5",), "dark", "below_threshold", "2.500"),
    "debt": (("debt {} 33.25",), "dark", "debt", "33.250"),
    "order": (("disconnect {} on",), "dark", "disconnected", None),
    "voltage": (("voltage {} off",), "dark", "no_voltage", None),
    "typed": ((), "lit", None, None),
}
NEEDS_BUTTON = {
    "button": (("keypad-unit {} seen",), "awaiting_button", None, None),
    "keypad": (("keypad-unit {} lost",), "dark", "keypad_unit_lost", None),
}
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@dataclass
class Town:
    client: httpx2.AsyncClient
    fleets: Mapping[tuple[str, bool], Fleet]
    head_end: HeadEndProcess

    def say(self, wire: str, line: str, *, button: bool = False) -> None:
        answer = Control(self.fleets[wire, button]).obey(line)
        assert answer.ok, answer.text

    async def told(self, ident: str, within_s: float = 60.0, **wanted: Any) -> Mapping[str, Any]:
        told: Mapping[str, Any] = {}
        for _ in range(int(within_s)):
            told = (await self.client.get(f"/v1/recharges/{ident}")).json()
            if all(told[name] == value for name, value in wanted.items()):
                return told
            await asyncio.sleep(1)
        raise AssertionError(f"{wanted} never came: {told['state']} {told['supply']}")

    async def sell(self, drn: str, kwh: str = "10") -> str:
        amount = {"kind": "units", "value": kwh, "unit": "kWh"}
        ident = f"sale-{drn}-{kwh}"
        order = {"id": ident, "meter": drn, "amount": amount}
        answer = await self.client.post("/v1/recharges", json=order)
        assert answer.is_success, answer.text
        return ident


def described(broker: Mosquitto, *, button: bool, meters: int) -> FleetDescription:
    suffix = "-button" if button else ""
    return FleetDescription(
        lines=(LineDescription(name=f"line{suffix}", meters=meters),),
        gateways=(GatewayDescription(name=f"gateway{suffix}", meters=meters),),
        broker=Broker(port=broker.port),
        meters=MeterDescription(
            first_serial=5_000 if button else 1,
            load=0,
            credit_milli=0,
            needs_button=button,
        ),
        reading_interval_s=86_400,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        broker = Mosquitto()
        stack.callback(broker.remove)
        broker.start()
        fleets: dict[tuple[str, bool], Fleet] = {}
        rows: list[Mapping[str, str]] = []
        buses: dict[str, Mapping[str, Any]] = {
            "broker": {"url": f"mqtt://{broker.host}:{broker.port}"}
        }
        for button, meters in ((False, len(CONDITIONS)), (True, len(NEEDS_BUTTON))):
            described_ = described(broker, button=button, meters=meters)
            fleet = await stack.enter_async_context(Fleet(described_, clock=WallClock()))
            fleets |= {(wire, button): fleet for wire in WIRES}
            rows += fleet.rows
            buses |= {name: {"url": url, "quiet_s": 0.2} for name, url in fleet.buses.items()}
        folder = tmp_path_factory.mktemp("dark")
        head_end = HeadEndProcess(
            folder,
            database_url=f"sqlite:///{folder}/headend.db",
            buses=buses,
            poll_interval_s=5,
        )
        await head_end.set_up(rows)
        stack.callback(head_end.kill)
        await asyncio.to_thread(head_end.start)
        client = await stack.enter_async_context(head_end.client())
        client.timeout = httpx2.Timeout(30)
        yield Town(client, fleets, head_end)


def meters_of(town: Town, wire: str, *, button: bool) -> list[str]:
    bus = f"line{'-button' if button else ''}" if wire == "line" else "broker"
    return [row["drn"] for row in town.fleets[wire, button].rows if row["bus"] == bus]


async def seen(town: Town, wire: str, name: str, drn: str, *, button: bool) -> None:
    words, state, cause, missing = (NEEDS_BUTTON if button else CONDITIONS)[name]
    for line in words:
        town.say(wire, line.format(drn), button=button)
    told = await town.told(await town.sell(drn), state=state)
    supply = told["supply"]
    found = (name, wire, supply["cause"], supply["missing"])
    assert found == (name, wire, cause, missing)
    if state == "lit":
        assert supply["proof"] == "load"
    if cause == "debt":
        assert supply["debt"] == "33.250"


async def test_each_way_to_stay_dark_is_told_with_its_cause_and_what_is_missing(town: Town):
    async with asyncio.TaskGroup() as group:
        for wire in WIRES:
            for button, conditions in ((False, CONDITIONS), (True, NEEDS_BUTTON)):
                meters = meters_of(town, wire, button=button)
                for name, drn in zip(conditions, meters, strict=True):
                    group.create_task(seen(town, wire, name, drn, button=button))


async def test_what_was_dark_is_lit_when_the_cause_is_gone(town: Town):
    """Looked at again without anybody asking; the missing amount can also be bought."""
    names = list(CONDITIONS)
    for wire in WIRES:
        meters = dict(zip(names, meters_of(town, wire, button=False), strict=True))
        town.say(wire, f"voltage {meters['voltage']} on")
        town.say(wire, f"debt {meters['debt']} 0")
        await town.told(f"sale-{meters['voltage']}-10", state="lit")
        await town.told(f"sale-{meters['debt']}-10", state="lit")
        short = meters["threshold"]
        await town.told(await town.sell(short, "2.5"), state="lit")
        await town.told(f"sale-{short}-10", state="lit")


async def test_digits_typed_while_the_wire_is_dead_are_found_and_told_as_typed(town: Town):
    """No second token, no guess: the meter is asked, and its log tells where it came from."""
    group = {"fallback_after_s": 3}
    asked = (await town.client.get("/v1/supply-groups/201457")).headers.get("ETag")
    headers = {"If-Match": asked} if asked else {"If-None-Match": "*"}
    answer = await town.client.put("/v1/supply-groups/201457", json=group, headers=headers)
    assert answer.is_success, answer.text
    await asyncio.gather(*(typed(town, wire) for wire in WIRES))


async def typed(town: Town, wire: str) -> None:
    drn = meters_of(town, wire, button=False)[list(CONDITIONS).index("typed")]
    meter = town.fleets[wire, False].meters[drn]
    before = meter.credit_milli
    town.say(wire, f"silent {drn} on")
    ident = await town.sell(drn, "7.5")
    digits = None
    while digits is None:
        told = (await town.client.get(f"/v1/recharges/{ident}?reveal=true")).json()
        digits = told["tokens"][0]["digits"]
        await asyncio.sleep(0.2)
    town.say(wire, f"type {drn} {digits}")
    town.say(wire, f"silent {drn} off")
    told = await town.told(ident, within_s=90.0, state="lit")
    assert meter.credit_milli == before + 7_500
    (finding,) = told["findings"]
    # The log and events tell by what hand it came; a register read before them, only that it came.
    typed_in = any(one["origin"] == "keypad" for one in told["evidence"])
    assert finding["finding"] == ("taken_by_hand" if typed_in else "taken"), told["evidence"]
    assert typed_in or told["confirmed_by"] == "credit_register"
    assert len(told["tokens"]) == 1
