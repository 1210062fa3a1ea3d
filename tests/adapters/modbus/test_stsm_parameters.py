"""Credit parameters of an STSM meter, against recorded exchanges and a simulated meter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from adapters.modbus.driver import ModbusDriver
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import load_profiles
from adapters.modbus.stsm import StsmSession
from adapters.simulators.modbus_server import SimulatedLine
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.stsm_registers import StsmRegisters
from headend.credit_parameters import CreditParameters
from headend.errors import NoAnswer, NotSent, Refused
from headend.meters import BusName, Drn, ProfileName, Route
from headend.supply import DarkCause
from protocols.modbus.stsm_parameters import Parameters
from tests.adapters.frames.replay import Replay
from tests.adapters.modbus.clocks import StillClock
from tests.adapters.simulators.benches import DRN as BENCH_DRN
from tests.adapters.simulators.benches import START
from tests.adapters.simulators.benches import a_meter as a_simulated_meter
from tests.builders import a_meter

DRN = Drn("12345678903")
CHANGE = CreditParameters(
    low_credit_1=Decimal(30), emergency_credit=Decimal(5), reconnect_credit=Decimal(10)
)


@asynccontextmanager
async def session_with(line: ModbusLine, drn: str = DRN) -> AsyncIterator[StsmSession]:
    driver = ModbusDriver(line, load_profiles(), StillClock())
    route = Route(BusName("line"), "17")
    meter = a_meter(drn=Drn(drn), profile=ProfileName("stsm"), route=route)
    async with driver.open(meter) as session:
        assert isinstance(session, StsmSession)
        yield session


@asynccontextmanager
async def played(name: str) -> AsyncIterator[StsmSession]:
    replay = Replay(f"stsm/{name}")
    async with session_with(ModbusLine("tcp://replay:1", opener=replay.open)) as session:
        yield session
    assert replay.finished


@pytest.mark.virtual_time
async def test_they_are_told_in_units():
    async with played("parameters") as session:
        assert await session.credit_parameters() == CreditParameters(
            low_credit_1=Decimal(20),
            low_credit_2=Decimal(5),
            emergency_credit=Decimal(0),
            maximum_credit=Decimal("999999.99"),
            overdraft=Decimal(0),
            reconnect_credit=Decimal(10),
            power_limit_w=6000,
        )


@pytest.mark.virtual_time
async def test_only_what_is_named_changes_and_a_repeat_writes_nothing():
    async with played("parameters-set") as session:
        await session.set_credit_parameters(CHANGE)
        await session.set_credit_parameters(CHANGE)


@pytest.mark.virtual_time
async def test_a_meter_that_keeps_its_own_is_a_refusal():
    async with played("parameters-kept") as session:
        with pytest.raises(Refused, match="keeps other"):
            await session.set_credit_parameters(CreditParameters(low_credit_1=Decimal(30)))


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("name", "error"), [("parameters-lost", NoAnswer), ("parameters-unread", NotSent)]
)
async def test_silence_is_a_doubt_only_after_the_write(name: str, error: type[Exception]):
    async with played(name) as session:
        with pytest.raises(error):
            await session.set_credit_parameters(CreditParameters(low_credit_1=Decimal(30)))


def test_a_block_comes_back_as_it_was():
    block = Parameters(
        low_credit_1=1,
        low_credit_2=2,
        emergency_credit=3,
        maximum_credit=2**40,
        overdraft=5,
        friendly_from=6,
        friendly_to=7,
        friendly_days=8,
        power_limit_w=2**20,
        overload_s=9,
        overload_retries=10,
        reconnect_delay_s=11,
        undervoltage_v=12,
        overvoltage_v=13,
        wrong_tokens=14,
        reconnect_credit=2**41,
    )
    assert len(block.words()) == 32
    assert Parameters.of(block.words()) == block


async def test_a_simulated_meter_takes_them_and_lives_by_them():
    meter = a_simulated_meter(credit_milli=5_000, load=0)
    unit = ModbusUnit(StsmRegisters(meter, exponent=-2), meter, meter.faults)
    async with SimulatedLine({17: unit}, clock=BenchClock(), turnaround_s=0) as served:
        url = f"tcp://127.0.0.1:{await served.serve_tcp()}"
        line = ModbusLine(url, framing="tcp")
        async with session_with(line, BENCH_DRN) as session:
            await session.set_credit_parameters(replace(CHANGE, emergency_credit=None))
            held = await session.credit_parameters()
            with pytest.raises(Refused, match="no emergency credit"):
                await session.set_credit_parameters(CHANGE)
            for amount, why in (
                (Decimal(10**9), "larger than the meter can hold"),
                (Decimal("0.001"), "no whole number of the meter's steps"),
                (Decimal(-1), "no whole number of the meter's steps"),
            ):
                with pytest.raises(Refused, match=why):
                    await session.set_credit_parameters(CreditParameters(low_credit_1=amount))
            await session.set_credit_parameters(CreditParameters(power_limit_w=6000))
            limited = await session.credit_parameters()
        await line.aclose()
    assert held.low_credit_1 == Decimal(30)
    assert held.emergency_credit == 0
    assert limited == replace(held, power_limit_w=6000), "nothing else was touched"
    assert meter.circuit.low_credit_milli == 30_000
    meter.circuit.account.credit_milli = 0
    meter.circuit.settle(START)
    meter.circuit.account.credit_milli = 9_000
    meter.circuit.settle(START)
    assert meter.circuit.cause is DarkCause.BELOW_THRESHOLD


class BenchClock:
    def now(self):
        return START
