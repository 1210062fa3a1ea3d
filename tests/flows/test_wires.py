"""Every wire whole: from a request at REST to the registers of a meter, and what it tells back.

One head-end process with five buses; each test takes meters of its own on each of them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from adapters.clock import WallClock
from adapters.simulators.faults import Dying
from adapters.simulators.fleet import Fleet
from adapters.simulators.fleet_description import (
    FleetDescription,
    GatewayDescription,
    LineDescription,
    MeterDescription,
    Way,
)
from adapters.simulators.meter import SimulatedMeter
from adapters.simulators.mqtt_meter import Broker, MqttVersion
from headend.supply import ControlState
from tests.servers.headend import HeadEndProcess
from tests.servers.mosquitto import Mosquitto

LINES = {"modbus-tcp": Way.TCP, "rtu-over-tcp": Way.RTU_OVER_TCP, "rtu-on-a-port": Way.TERMINAL}
BROKERS = {"mqtt-5": MqttVersion.V5, "mqtt-3.1.1": MqttVersion.V311}
METERS_A_WIRE = 5
FIRST_CREDIT_MILLI = 5_000
POLL_INTERVAL_S = 2
# Longer than any driver waits for a token that is in process (15 s on a line).
DOWN_S = 17.0
HOUR = timedelta(hours=1)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]
on_every_wire = pytest.mark.parametrize("wire", [*LINES, *BROKERS])
Json = Mapping[str, Any]


@dataclass
class Wires:
    """Meters that nobody has used yet, by wire, and a caller of the head-end."""

    meters: Mapping[str, list[SimulatedMeter]]
    client: httpx2.AsyncClient

    def take(self, wire: str) -> SimulatedMeter:
        return self.meters[wire].pop()

    async def told(self, place: str, *, within_s: float = 15.0, **wanted: object) -> Json:
        """The resource, once it says what is wanted."""
        told: Json = {}
        for _ in range(int(within_s / 0.1)):
            told = (await self.client.get(place)).json()
            if all(told[name] == value for name, value in wanted.items()):
                return told
            await asyncio.sleep(0.1)
        raise AssertionError(f"{wanted} never came: {told}")

    async def ordered(self, place: str, order: Json, **wanted: Any) -> Json:
        """What becomes of an order, by the resource that the answer names."""
        answer = await self.client.post(place, json=order)
        assert answer.is_success, answer.text
        return await self.told(answer.headers["Location"], **wanted)

    async def recharged(self, meter: SimulatedMeter, **wanted: Any) -> Json:
        amount = {"kind": "units", "value": "25.6", "unit": "kWh"}
        order = {"id": f"sale-{meter.drn}", "meter": meter.drn, "amount": amount}
        return await self.ordered("/v1/recharges", order, **wanted)


def lines() -> FleetDescription:
    return FleetDescription(
        lines=tuple(
            LineDescription(name=name, way=way, meters=METERS_A_WIRE) for name, way in LINES.items()
        ),
        meters=MeterDescription(load=0, credit_milli=FIRST_CREDIT_MILLI),
    )


def gateway(bus: str, broker: Mosquitto, version: MqttVersion, serial: int) -> FleetDescription:
    """Meters that push once at the start: what is read later was asked for."""
    name = bus.replace(".", "")
    return FleetDescription(
        gateways=(GatewayDescription(name=f"gateway-{name}", bus=name, meters=METERS_A_WIRE),),
        broker=Broker(port=broker.port, version=version),
        meters=MeterDescription(first_serial=serial, load=0, credit_milli=FIRST_CREDIT_MILLI),
        reading_interval_s=86_400,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wires(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Wires]:
    async with AsyncExitStack() as stack:
        clock = WallClock()
        buses: dict[str, Json] = {}
        rows: list[Mapping[str, str]] = []
        fleet = await stack.enter_async_context(Fleet(lines(), clock=clock))
        meters = {name: of_bus(fleet, name) for name in LINES}
        rows += fleet.rows
        for name, way in LINES.items():
            framing = "tcp" if way is Way.TCP else "rtu"
            buses[name] = {"url": fleet.buses[name], "framing": framing, "quiet_s": 0.2}
        for place, (name, version) in enumerate(BROKERS.items(), start=1):
            broker = Mosquitto()
            stack.callback(broker.remove)
            broker.start()
            described = gateway(name, broker, version, 1_000 * place)
            fleet = await stack.enter_async_context(Fleet(described, clock=clock))
            meters[name] = list(fleet.meters.values())
            rows += fleet.rows
            url = f"mqtt://{broker.host}:{broker.port}?version={version}"
            buses[name.replace(".", "")] = {"url": url}
        head_end = await started(tmp_path_factory.mktemp("wires"), buses, rows)
        stack.callback(head_end.kill)
        yield Wires(meters, await stack.enter_async_context(head_end.client()))


def of_bus(fleet: Fleet, name: str) -> list[SimulatedMeter]:
    return [fleet.meters[row["drn"]] for row in fleet.rows if row["bus"] == name]


async def started(
    folder: Path, buses: Mapping[str, Json], rows: Iterable[Mapping[str, str]]
) -> HeadEndProcess:
    head_end = HeadEndProcess(
        folder,
        database_url=f"sqlite:///{folder}/headend.db",
        buses=buses,
        poll_interval_s=POLL_INTERVAL_S,
    )
    await head_end.set_up(rows)
    await asyncio.to_thread(head_end.start)
    return head_end


@on_every_wire
async def test_a_recharge_is_credited_and_the_home_is_lit(wires: Wires, wire: str):
    meter = wires.take(wire)
    told = await wires.recharged(meter, state="lit")
    assert meter.credit_milli == FIRST_CREDIT_MILLI + 25_600
    assert told["confirmed_by"] == "echo"
    assert Decimal(told["taken"]["value"]) == Decimal("25.6")
    assert told["supply"]["state"] == "on"


async def test_after_a_lost_answer_the_meter_is_asked_and_nothing_entered_twice(wires: Wires):
    """All wires at once: on a line, the end of a driver's patience takes its time."""
    meters = [wires.take(wire) for wire in (*LINES, *BROKERS)]
    for meter in meters:
        meter.faults.dying, meter.faults.down_s = Dying.AFTER, DOWN_S
    recharges = [wires.recharged(meter, within_s=50, state="lit") for meter in meters]
    for meter, told in zip(meters, await asyncio.gather(*recharges), strict=True):
        assert meter.credit_milli == FIRST_CREDIT_MILLI + 25_600
        assert [entry.result.taken for entry in meter.tokens.newest_first()] == [True]
        assert told["attempts"][0]["outcome"] == "no_answer"
        assert told["confirmed_by"] in ("token_log", "credit_register"), "no echo ever came"


@on_every_wire
async def test_the_basic_registers_are_polled(wires: Wires, wire: str):
    meter = wires.take(wire)
    meter.set_load(36_000, WallClock().now())
    place = f"/v1/meters/{meter.drn}/readings?type=energy_import_wh"
    values = await polled(wires, place, different=3)
    assert values == sorted(values)
    assert values[-1] <= meter.import_milli
    place = f"/v1/meters/{meter.drn}/readings?type=credit_left_milli"
    values = await polled(wires, place, different=2)
    assert FIRST_CREDIT_MILLI > values[-1] >= FIRST_CREDIT_MILLI - meter.import_milli


async def polled(wires: Wires, place: str, *, different: int) -> list[int]:
    """Values in the order in which they were taken, once there are so many different ones."""
    values: list[int] = []
    for _ in range(150):
        items = (await wires.client.get(place)).json()["items"]
        values = [item["value"] for item in reversed(items)]
        if len(set(values)) >= different:
            return values
        await asyncio.sleep(0.1)
    raise AssertionError(f"{place}: only {values}")


@on_every_wire
async def test_supply_is_opened_and_the_customer_permitted_to_close_it(wires: Wires, wire: str):
    meter = wires.take(wire)
    place = f"/v1/meters/{meter.drn}/supply"
    expires_at = (datetime.now(UTC) + HOUR).isoformat()
    order = {"reason": "maintenance", "expires_at": expires_at}
    opened = {"id": f"open-{meter.drn}", "action": "open", **order}
    told = await wires.ordered(place, opened, state="done")
    assert told["confirmed_by"] == "read_back"
    assert control_of(meter) is ControlState.DISCONNECTED
    permitted = {"id": f"close-{meter.drn}", "action": "permit_close", **order}
    await wires.ordered(place, permitted, state="done")
    assert control_of(meter) is ControlState.READY
    meter.press_button(WallClock().now())
    assert meter.lit


def control_of(meter: SimulatedMeter) -> ControlState:
    return meter.relay.control


@on_every_wire
async def test_the_clock_is_set(wires: Wires, wire: str):
    meter, clock = wires.take(wire), WallClock()
    meter.set_clock(clock.now() - HOUR, clock.now(), quietly=True)
    order = {"id": f"clock-{meter.drn}"}
    await wires.ordered(f"/v1/meters/{meter.drn}/clock", order, state="done")
    assert abs(meter.clock.at(clock.now()) - clock.now()) < timedelta(seconds=2)
