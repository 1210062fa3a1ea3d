"""Key changes over real wires: our drivers and the simulated meters, nothing between them missing.

Modbus TCP and a broker of its own; the rest of the head-end is that of `world`, in real time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from adapters.modbus.driver import ModbusDriver
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import load_profiles as modbus_profiles
from adapters.mqtt.address import parse_broker_url
from adapters.mqtt.broker import MqttLink
from adapters.mqtt.driver import MqttDriver
from adapters.mqtt.profile import load_profiles as mqtt_profiles
from adapters.mqtt.topics import FILTERS
from adapters.simulators.gateway_messages import VERBS
from adapters.simulators.meter import SimulatedMeter
from adapters.simulators.modbus_server import SimulatedLine
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.mqtt_meter import Broker, MqttGateway
from adapters.simulators.stsm_registers import StsmRegisters
from adapters.vault.key_import import KeyToImport, import_keys
from headend.deliveries import Confirmation, Delivery, DeliveryState, Fact
from headend.listening import listen
from headend.meters import Drn, KeyType, Meter, ProfileName, Route, StsConfiguration
from headend.ports import Driver
from headend.recharges import RechargeState
from headend.tokens import TokenResult
from tests.fakes import MemoryStore
from tests.flows.test_recharge import settled
from tests.flows.world import BUS, SGC, TENANT, Process, World, order, until
from tests.servers.mosquitto import Mosquitto

DRN = Drn("12345678903")
PRESENT = StsConfiguration(SGC, 1, 1, KeyType.UNIQUE, 11)
NEXT = replace(PRESENT, krn=2, tariff_index=7)
OTHER_KEY = "0123456789abcdef0123456789abcdef01234567"
UNIT = 17
CONNECT_S = 10.0

pytestmark = pytest.mark.timeout(60)


@dataclass
class Site:
    """A meter on a wire, and the head-end's end of it."""

    world: World
    process: Process

    @property
    def meter(self) -> SimulatedMeter:
        return self.world.meters[DRN]

    def results(self) -> list[TokenResult]:
        """What the meter said to each token, oldest first."""
        return [entry.result for entry in reversed(self.meter.tokens.newest_first())]

    async def change_key(self, ident: str = "k1") -> None:
        await self.process.keys.order_change(TENANT, DRN, NEXT, ident=ident, ordered_by="key")

    async def delivery(self, ident: str = "k1") -> Delivery:
        async with self.world.store.look() as tx:
            found = await tx.deliveries.find(TENANT, ident)
        assert found is not None
        return found

    async def changed(self, *, within_s: float) -> Delivery:
        async def is_done() -> bool:
            return (await self.delivery()).state is DeliveryState.DONE

        await until(is_done, within_s=within_s)
        return await self.delivery()

    async def record(self) -> Meter:
        async with self.world.store.look() as tx:
            meter = await tx.meters.find(TENANT, DRN)
        assert meter is not None
        return meter


async def a_world(profile: str, address: str, **settings: Any) -> World:
    world = World(MemoryStore())
    await world.set_up(DRN, processing_s=0.05)
    key = KeyToImport(sgc=SGC, krn=2, base_date=2014, ken=255, mark="test", key=OTHER_KEY)
    now = world.clock.now()
    await import_keys(world.store, world.masters, [key], tenant=TENANT, now=now)
    async with world.store.begin() as tx:
        meter = await tx.meters.find(TENANT, DRN)
        assert meter is not None
        route = Route(BUS, address)
        placed = replace(meter, profile=ProfileName(profile), route=route, version=2)
        await tx.meters.save(placed, was=meter.version)
    return world


def a_process(world: World, driver: Driver) -> Process:
    process = world.process()
    process.bus._driver = driver
    return process


@asynccontextmanager
async def over_modbus(_: Mosquitto) -> AsyncIterator[Site]:
    world = await a_world("stsm", str(UNIT))
    meter = world.meters[DRN]
    unit = ModbusUnit(StsmRegisters(meter, exponent=-2), meter, meter.faults)
    async with SimulatedLine({UNIT: unit}, clock=world.clock) as simulated:
        url = f"tcp://127.0.0.1:{await simulated.serve_tcp()}"
        line = ModbusLine(url, framing="tcp", timeout_s=0.4, quiet_s=0.2)
        process = a_process(world, ModbusDriver(line, modbus_profiles(), world.clock))
        async with process.running():
            yield Site(world, process)
        await line.aclose()


@asynccontextmanager
async def over_mqtt(broker: Mosquitto, *, verbs: tuple[str, ...] = VERBS) -> AsyncIterator[Site]:
    world = await a_world("amr-v1", "gw-1")
    gateway = MqttGateway(
        "gw-1",
        {str(drn): meter for drn, meter in world.meters.items()},
        tenant=TENANT,
        broker=Broker(host=broker.host, port=broker.port),
        clock=world.clock,
        look_s=0.1,
        verbs=verbs,
    )
    link = MqttLink(
        parse_broker_url(f"mqtt://{broker.host}:{broker.port}"),
        client_id="headend",
        filters=FILTERS,
        chance=world.chance,
    )
    quick = {
        name: replace(profile, silence_s=1, answer_s=2) for name, profile in mqtt_profiles().items()
    }
    driver = MqttDriver(link, bus=BUS, profiles=quick, clock=world.clock, chance=world.chance)
    process = a_process(world, driver)
    running = [
        asyncio.create_task(gateway.run()),
        asyncio.create_task(driver.run()),
        asyncio.create_task(listen(driver, process.intake)),
    ]
    try:
        async with asyncio.timeout(CONNECT_S):
            await gateway.connected.wait()
            await link.wait_connected()
        async with process.running():
            yield Site(world, process)
    finally:
        while not all(task.done() for task in running):
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=1)


Wire = Callable[..., AbstractAsyncContextManager[Site]]
on_each_wire = pytest.mark.parametrize("over", [over_modbus, over_mqtt])


@on_each_wire
async def test_a_set_is_entered_whole_proved_and_the_next_credit_is_of_the_new_key(
    over: Wire, mosquitto: Mosquitto
):
    async with over(mosquitto) as site:
        await site.process.desk.recharge(order("r1", DRN))
        await settled(site.world, "r1", RechargeState.LIT, within_s=15)
        await site.change_key()
        changed = await site.changed(within_s=15)
        await site.process.desk.recharge(order("r2", DRN, "20"))
        await settled(site.world, "r2", RechargeState.LIT, within_s=15)
        record = await site.record()
    assert changed.confirmed_by is Confirmation.READ_BACK
    assert record.sts == NEXT
    assert site.results() == [
        TokenResult.ACCEPT,
        TokenResult.FIRST_KCT,
        TokenResult.SECOND_KCT,
        TokenResult.THIRD_KCT,
        TokenResult.ACCEPT,
        TokenResult.ACCEPT,
    ]
    assert site.world.credited(DRN) == 30


@on_each_wire
async def test_one_part_that_is_in_is_no_changed_key(over: Wire, mosquitto: Mosquitto):
    async with over(mosquitto) as site:
        await halted_after_one_part(site)
        delivery, record = await site.delivery(), await site.record()
    assert delivery.state is DeliveryState.UNCERTAIN
    assert record.sts == PRESENT
    assert site.meter.decoder.krn == 1
    assert site.results() == [TokenResult.FIRST_KCT]


async def halted_after_one_part(site: Site) -> None:
    """The meter takes the first part of a set, and then hears nothing for a while."""
    submit = site.meter.submit

    def last_heard(*arguments: object, **named: object) -> None:
        submit(*arguments, **named)  # type: ignore[arg-type] # passed on as they came
        site.meter.submit = deaf  # type: ignore[method-assign] # ... and no more

    def deaf(*arguments: object, **named: object) -> None:
        site.meter.faults.silent = True
        submit(*arguments, **named)  # type: ignore[arg-type] # passed on as they came
        site.meter.token_port.cut()

    site.meter.submit = last_heard  # type: ignore[method-assign] # a look over its shoulder
    await site.change_key()

    async def in_doubt() -> bool:
        return (await site.delivery()).state is DeliveryState.UNCERTAIN

    await until(in_doubt, within_s=40)


@on_each_wire
async def test_a_meter_under_another_key_is_sent_no_credit(over: Wire, mosquitto: Mosquitto):
    async with over(mosquitto) as site:
        record = await site.record()
        async with site.world.store.begin() as tx:
            wrong = replace(record, sts=replace(PRESENT, krn=2), version=record.version + 1)
            await tx.meters.save(wrong, was=record.version)
        await site.process.desk.recharge(order("r1", DRN))
        await settled(site.world, "r1", RechargeState.FAILED, within_s=15)
        delivery = await site.world.delivery_of("r1")
    assert delivery is not None
    assert delivery.stopped_by is Fact.KEY_MISMATCH
    assert site.results() == []


OLD_VERBS = tuple(verb for verb in VERBS if verb != "config")


async def test_a_gateway_that_does_not_know_the_question_still_takes_credit_and_keys(
    mosquitto: Mosquitto,
):
    async with over_mqtt(mosquitto, verbs=OLD_VERBS) as site:
        await site.process.desk.recharge(order("r1", DRN))
        await settled(site.world, "r1", RechargeState.LIT, within_s=15)
        await site.change_key()
        changed = await site.changed(within_s=15)
        await site.process.desk.recharge(order("r2", DRN, "20"))
        await settled(site.world, "r2", RechargeState.LIT, within_s=15)
    assert changed.confirmed_by is Confirmation.ECHO
    assert site.world.credited(DRN) == 30
