"""Simulation: what the commands take of the simulated meters, and the fleet that comes with them.

Beside `wiring` the only module of this floor that knows an adapter, and only to show and to try:
no head-end of a utility comes by here.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from adapters.modbus.profile_files import load_profiles
from adapters.mqtt.embedded import USER as EMBEDDED_USER
from adapters.simulators.control import Control, lines_of
from adapters.simulators.dlt645_unit import PASSWORDS
from adapters.simulators.fleet import Fleet
from adapters.simulators.fleet_description import (
    DescriptionRefused,
    FleetDescription,
    GatewayDescription,
    LineDescription,
    MeterDescription,
    Way,
    read_description,
)
from adapters.simulators.meter import SimulatedMeter
from adapters.simulators.mqtt_meter import Broker, MqttVersion
from adapters.simulators.sheet_registers import Sheet
from api.model_sheets import sheet_of
from api.settings import SettingsRefused
from api.wiring import EMBEDDED_BUS, new_chance, new_clock
from headend.meters import Service

__all__ = ["Control", "Fleet", "FleetDescription", "SimulatedMeter", "lines_of"]

RS485, TCP, MQTT = "rs485", "modbus-tcp", str(EMBEDDED_BUS)
BROKER_PORT = 1883
# A home that is lit uses something, so that registers have to be compared with care.
LOAD_W = 400


def demo_fleet(tenant: str, *, broker_port: int = BROKER_PORT) -> FleetDescription:
    """A small fleet: an RS485 line, a Modbus TCP gateway, MQTT gateways. All meters are dark."""
    return FleetDescription(
        tenant=tenant,
        lines=(
            LineDescription(name=RS485, way=Way.TERMINAL, meters=3),
            LineDescription(name=TCP, way=Way.TCP, meters=3),
        ),
        gateways=(
            GatewayDescription(name="gw-1", bus=MQTT, meters=2),
            GatewayDescription(name="gw-2", bus=MQTT),
            GatewayDescription(name="gw-water", bus=MQTT, service=Service.WATER),
        ),
        broker=Broker(port=broker_port, username=EMBEDDED_USER, version=MqttVersion.V311),
        meters=MeterDescription(credit_milli=0, load=LOAD_W),
        reading_interval_s=10.0,
        contact_sms="+1555{serial}",
    )


def model_fleet(model: str, *, meters: int, host: str, port: int) -> FleetDescription:
    """Meters of one model behind one Modbus TCP gateway, unit ids from 1 on."""
    line = LineDescription(
        name=TCP, way=Way.TCP, host=host, port=port, meters=0, models={model: meters}
    )
    return FleetDescription(lines=(line,), meters=MeterDescription(load=LOAD_W))


def described_fleet(file: Path) -> FleetDescription:
    """The fleet of a TOML or JSON file; raises SettingsRefused."""
    try:
        return read_description(file)
    except DescriptionRefused as error:
        raise SettingsRefused(f"fleet description {error}") from None


@asynccontextmanager
async def running_fleet(description: FleetDescription) -> AsyncIterator[Fleet]:
    """A fleet on this machine's clock; it stops when the block is left. Raises SettingsRefused."""
    async with AsyncExitStack() as stack:
        try:
            fleet = Fleet(
                description,
                clock=new_clock(),
                sheets=_sheets(description),
                chance=new_chance(),
            )
            await stack.enter_async_context(fleet)
        except (DescriptionRefused, OSError) as error:
            raise SettingsRefused(f"the fleet cannot run: {error}") from None
        yield fleet


def _sheets(description: FleetDescription) -> Mapping[str, Sheet]:
    """Of the shipped models that are only read, if any is asked for."""
    if not any(line.models for line in description.lines):
        return {}
    profiles = load_profiles()
    return {name: sheet_of(each) for name, each in profiles.items() if each.blocks is None}


def vending_keys_toml(description: FleetDescription) -> str:
    """The fleet's vending key as `headend vault import` reads it; marked test, whatever it is."""
    key = description.key
    return "\n".join(
        [
            "[[keys]]",
            f'sgc = "{key.sgc:06d}"',
            f"krn = {key.krn}",
            f"base_date = {key.base_date}",
            f"ken = {key.ken}",
            f"dkga = {key.dkga}",
            'mark = "test"',
            f'key = "{key.value}"',
            "",
        ]
    )


def settings_toml(fleet: Fleet, description: FleetDescription, *, embedded: bool) -> str:
    """The lines of a settings file by which a head-end reaches a running fleet.

    `embedded`: the head-end starts the broker itself. Logins are left out: each has its own.
    """
    return "\n".join(_settings(fleet, description, embedded=embedded))


def _settings(fleet: Fleet, description: FleetDescription, *, embedded: bool) -> Iterator[str]:
    broker = description.broker
    if embedded:
        yield f"embedded_broker = {broker.port}"
    buses = dict(fleet.buses)
    if not embedded:
        url = f"mqtt://{broker.host}:{broker.port}?version={broker.version.value}"
        buses |= {gateway.bus: url for gateway in description.gateways}
    for name, url in buses.items():
        yield f"\n[buses.{name}]"
        yield f'url = "{url}"'
        if any(line.name == name and line.way is Way.RTU_OVER_TCP for line in description.lines):
            yield 'framing = "rtu"'
        if any(line.name == name and line.dlt645_meters for line in description.lines):
            yield from _obeyed(name)


def _obeyed(bus: str) -> Iterator[str]:
    """How the DL/T 645 meters of a bus are ordered; the password goes into a file."""
    level, digits = next(iter(PASSWORDS.items()))
    yield f"# For orders to its DL/T 645 meters write `{level:02x} {digits} 00000000` into a file:"
    yield f"# [buses.{bus}.dlt645]"
    yield '# password_file = "dlt645.password"'
