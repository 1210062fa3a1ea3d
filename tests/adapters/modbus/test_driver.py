"""The driver: profiles, addresses, and whom it believes."""

import asyncio
from datetime import UTC, datetime

import pytest

from adapters.modbus.driver import ModbusDriver
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import load_profiles
from adapters.modbus.unit import BELIEVED_S
from adapters.transport.link import Opener
from adapters.transport.opening import open_transport
from headend.errors import Misconfigured, NotSent
from headend.meters import BusName, Capability, Drn, Meter, ProfileName, Route
from tests.adapters.frames.replay import Replay
from tests.builders import a_meter


class StillClock:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)


def a_driver(opener: Opener = open_transport) -> ModbusDriver:
    line = ModbusLine("tcp://127.0.0.1:1", opener=opener)
    return ModbusDriver(line, load_profiles(), StillClock())


def at(address: str | None, profile: str = "stsm") -> Meter:
    route = None if address is None else Route(BusName("line"), address)
    return a_meter(drn=Drn("12345678903"), profile=ProfileName(profile), route=route)


def test_capabilities_are_those_of_the_profile():
    driver = a_driver()
    assert Capability.ENTER_TOKEN in driver.capabilities(ProfileName("stsm"))
    assert driver.capabilities(ProfileName("eastron-sdm630")) is Capability.READ
    assert driver.capabilities(ProfileName("amr-v1")) is Capability.NONE


@pytest.mark.parametrize("address", [None, "", "0", "248", "-1", "gw-3", "1.5", "²"])
async def test_an_address_is_a_unit_id(address: str | None):
    with pytest.raises(Misconfigured, match="1 to 247"):
        async with a_driver().open(at(address)):
            pass


async def test_an_unknown_profile_is_told():
    with pytest.raises(Misconfigured, match="amr-v1"):
        async with a_driver().open(at("17", "amr-v1")):
            pass


@pytest.mark.virtual_time
async def test_a_meter_is_asked_who_it_is_once_and_again_after_a_gap():
    replay = Replay("stsm/supply")
    driver = a_driver(replay.open)
    for _ in range(2):
        async with driver.open(at("17")):
            pass
    async with driver.open(at("17")) as session:
        await session.supply()
    assert replay.finished
    await asyncio.sleep(BELIEVED_S + 1)
    with pytest.raises(AssertionError):  # the replay has no line for the new probe
        async with driver.open(at("17")):
            pass


async def test_nobody_to_connect_to_is_not_sent(free_port: int):
    line = ModbusLine(f"tcp://127.0.0.1:{free_port}")
    with pytest.raises(NotSent):
        async with ModbusDriver(line, load_profiles(), StillClock()).open(at("17")):
            pass
