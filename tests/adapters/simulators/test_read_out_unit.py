"""A simulated meter with an IEC 62056-21 read-out: what it says, and to whom."""

from datetime import timedelta

import pytest

from adapters.simulators.read_out_unit import ReadOutUnit
from adapters.simulators.sdm_registers import EnergyMeter
from protocols.iec62056_21.characters import BlockCheck
from protocols.iec62056_21.messages import decode_data
from tests.adapters.simulators.benches import START

HELLO, OPTION = b"/?4711!\r\n", b"\x06050\r\n"


@pytest.fixture
def unit() -> ReadOutUnit:
    return ReadOutUnit(EnergyMeter(START, load=1500), "4711")


def test_it_signs_on_and_then_tells_its_registers(unit: ReadOutUnit):
    assert unit.answer(HELLO, START) == b"/SIM5SIMULATED\r\n"
    told = unit.answer(OPTION, START + timedelta(hours=2))
    assert told is not None
    lines = {one.address: f"{one.value} {one.unit}".strip() for one in decode_data(told)}
    assert lines == {
        "0.0.0": "4711",
        "1.8.0": "0000003.000 kWh",
        "2.8.0": "0000000.000 kWh",
        "16.7.0": "001.500 kW",
        "32.7.0": "230.0 V",
        "31.7.0": "6.522 A",
        "14.7.0": "50.00 Hz",
    }


def test_any_meter_is_asked_by_an_empty_address_and_parity_bits_do_not_matter(unit: ReadOutUnit):
    assert unit.answer(b"/?!\r\n", START) is not None
    with_parity = bytes(byte | 0x80 if byte.bit_count() % 2 else byte for byte in HELLO)
    assert unit.answer(with_parity, START) is not None


def test_it_is_silent_to_others_and_out_of_order(unit: ReadOutUnit):
    assert unit.answer(b"/?4712!\r\n", START) is None
    assert unit.answer(OPTION, START) is None
    unit.answer(HELLO, START)
    assert unit.answer(bytes.fromhex("01 04 00 00 00 02 71 CB"), START) is None
    assert unit.answer(OPTION, START) is None
    unit.faults.silent = True
    assert unit.answer(HELLO, START) is None


def test_a_meter_of_mode_a_tells_all_at_once(unit: ReadOutUnit):
    unit.speed_character = ":"
    unit.check = BlockCheck.SUM7
    said = unit.answer(HELLO, START)
    assert said is not None
    line, _, data = said.partition(b"\r\n")
    assert line == b"/SIM:SIMULATED"
    assert len(decode_data(data, BlockCheck.SUM7)) == 7
