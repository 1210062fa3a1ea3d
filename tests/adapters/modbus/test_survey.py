"""Survey: who is on a simulated pair of wires, in virtual time."""

import pytest

from adapters.modbus.line import ModbusLine
from adapters.modbus.survey import Survey
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.sdm_registers import EnergyMeter
from headend.discovery import Discovery, Found, Presence
from tests.adapters.modbus.clocks import NOON, StillClock
from tests.adapters.modbus.test_gateway import SimulatedGateway
from tests.adapters.modbus.test_gateway import a_line as a_gateway_line
from tests.adapters.modbus.test_strangers import (
    PROFILES,
    Nines,
    a_line,
    a_modelled,
    an_sdm630,
    an_stsm,
    wires,
)
from tests.adapters.simulators.benches import DRN

pytestmark = pytest.mark.virtual_time


async def surveyed(line: ModbusLine, units=range(1, 13)) -> dict[int, Found]:
    discovery = Discovery()
    survey = Survey(line, list(PROFILES.values()), StillClock())
    await discovery.look(survey, units, stopped=lambda: False, seen=lambda _: None)
    assert discovery.ended
    return {int(one.address): one for one in discovery.found}


def a_stranger() -> ModbusUnit:
    meter = EnergyMeter(NOON)
    return ModbusUnit(Nines(), meter, meter.faults)


async def test_who_is_on_a_line():
    dead = an_sdm630()
    dead.faults.silent = True
    simulated = wires(
        (2, an_stsm()), (3, an_sdm630()), (4, dead), (5, a_stranger()), (9, a_modelled("abb-b23"))
    )
    line = a_line(simulated)
    found = await surveyed(line)
    assert set(found) == {2, 3, 5, 9}
    assert (found[2].models, found[2].drn) == (("stsm",), DRN)
    assert found[2].sts is not None
    assert found[2].sts.sgc == "201457"
    assert "eastron-sdm630" in found[3].models
    assert found[5].presence is Presence.UNKNOWN
    assert found[9].models == ("abb-b23",)
    # Nothing was sent to all, and nothing but questions.
    recorded = line.way.frames(now=NOON).splitlines()
    sent = [bytes.fromhex(one[2:8]) for one in recorded if one.startswith(">")]
    assert {frame[0] for frame in sent} == set(range(1, 13))
    assert {frame[1] for frame in sent} == {3, 4}


async def test_two_meters_of_one_address_are_reported():
    found = await surveyed(a_line(wires((5, an_sdm630()), (5, an_sdm630()), (6, an_sdm630()))))
    assert found[5].presence is Presence.DUPLICATE
    assert found[6].presence is Presence.NAMED


async def test_two_who_answer_in_turns_tell_another_identity():
    one, other = an_stsm(), an_stsm(drn="12345678903")
    answers = [one.answer, other.answer]

    def turn(pdu: bytes, now):
        answers.reverse()
        return answers[0](pdu, now)

    one.answer = turn  # type: ignore[method-assign]
    found = await surveyed(a_line(wires((5, one))))
    assert found[5].presence is Presence.DUPLICATE
    assert "another identity" in found[5].told


async def test_who_is_behind_a_modbus_tcp_gateway():
    # Some of the dead it reports, after its own time-out; of others it says nothing.
    dead, unsaid = {1, 3, 4, 6, 7}, {10, 11, 12}
    gateway = SimulatedGateway(dead=dead, swallows=unsaid)
    line = a_gateway_line(gateway)
    found = await surveyed(line)
    assert set(found) == {2, 5, 8, 9}
    assert Presence.DUPLICATE not in {one.presence for one in found.values()}
    assert {unit for _, unit, _ in gateway.sent} == set(range(1, 13))
    assert gateway.deepest == 1
