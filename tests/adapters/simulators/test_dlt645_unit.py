"""A simulated DL/T 645 meter: it lives like every simulated meter, and answers as printed."""

import random
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import pytest

from adapters.simulators.dlt645_unit import Dlt645Unit
from headend.events import EventType
from protocols.dlt645.data import Refusal, read_address_request, read_answer, read_request, refusal
from protocols.dlt645.errors import MalformedFrame
from protocols.dlt645.frame import Frame, Function, decode_frame
from tests.adapters.simulators.benches import START, Bench
from tests.vectors.field_frames import frame

ADDRESS = "000000000161"  # of the published frames
FUZZED = 20_000


class Wire:
    """A bench with a unit on it, and what it answers to a frame."""

    def __init__(self, **attributes) -> None:
        self.bench = Bench(**attributes)
        self.meter = self.bench.meter
        self.unit = Dlt645Unit(self.meter, ADDRESS, zone=UTC)

    def ask(self, request: Frame) -> Frame | None:
        return self.unit.answer(request, self.bench.now)

    def read(self, identifier: str) -> bytes:
        reply = self.ask(read_request(ADDRESS, identifier))
        assert reply is not None
        return read_answer(decode_frame(reply.on_wire())).value

    def refused(self, request: Frame) -> Refusal:
        reply = self.ask(request)
        assert reply is not None
        return refusal(reply)


def test_the_published_orders_switch_supply():
    wire = Wire()
    reply = wire.ask(decode_frame(frame("dlt-relay-trip")))
    assert reply is not None
    assert (reply.control, reply.data) == (0x9C, b"")
    assert wire.read("04000503") == bytes.fromhex("50 01")  # open, so ordered, counts energy
    wire.ask(decode_frame(frame("dlt-relay-permit")))
    assert wire.read("04000503") == bytes.fromhex("10 01")
    wire.meter.press_button(wire.bench.now)
    assert wire.meter.lit


def test_an_order_is_worth_nothing_after_its_time():
    wire = Wire()
    wire.meter.set_clock(START.replace(year=2031), wire.bench.now)
    assert wire.refused(decode_frame(frame("dlt-relay-trip"))) is Refusal.OTHER
    assert wire.meter.lit


def test_only_who_knows_a_password_is_obeyed_and_no_module_is_here():
    wire = Wire()
    trip = decode_frame(frame("dlt-relay-trip"))
    for access in ("02 00 00 01", "05 00 00 00", "98 00 00 00"):
        other = Frame(
            address=ADDRESS,
            function=Function.CONTROL,
            data=bytes.fromhex(access) + trip.data[4:],
        )
        assert wire.refused(other) is Refusal.NOT_AUTHORISED
    assert wire.refused(Frame(address=ADDRESS, function=Function.CONTROL)) is Refusal.NOT_AUTHORISED
    assert wire.meter.lit


def test_credit_typed_at_its_keypad_shows_on_the_wire():
    wire = Wire(credit_milli=5_000, load=1000)
    assert wire.read("00900100") == bytes.fromhex("00 05 00 00")
    wire.bench.types(wire.bench.credit(100))
    wire.bench.wait(3600)
    assert wire.read("00900100") == bytes.fromhex("00 14 00 00")
    assert wire.read("00010000") == bytes.fromhex("00 01 00 00")
    assert wire.read("02030000") == bytes.fromhex("00 00 01")
    wire.bench.wait(20 * 3600)
    assert wire.read("00900100") == bytes(4)
    assert wire.read("04000503")[0] & 0x50 == 0x50


def test_a_meter_of_money_tells_money():
    wire = Wire(currency="ZAR", credit_milli=12_340)
    assert wire.read("00900200") == bytes.fromhex("34 12 00 00")
    assert wire.refused(read_request(ADDRESS, "00900100")) is Refusal.NO_SUCH_DATA
    assert wire.read("04000503") == bytes.fromhex("00 02")


def test_its_clock_is_told_in_its_zone_and_set_by_all_at_once():
    wire = Wire()
    unit = Dlt645Unit(wire.meter, ADDRESS, zone=ZoneInfo("Asia/Shanghai"))
    wire.unit = unit
    assert wire.read("04000102") == bytes.fromhex("00 00 16")  # START is 08:00 UTC
    assert wire.read("04000101") == bytes.fromhex("01 05 01 26")  # a Monday
    assert wire.ask(decode_frame(frame("dlt-time-broadcast"))) is None
    assert wire.read("04000102") == bytes.fromhex("30 15 12")


def test_what_happened_is_counted_and_the_newest_record_comes_first():
    wire = Wire()
    for _ in range(12):
        wire.bench.wait(60)
        wire.meter.power_cut(wire.bench.now)
        wire.bench.wait(30)
        wire.meter.power_on(wire.bench.now)
    wire.meter.circuit.tell(EventType.UNDERVOLTAGE, wire.bench.now)
    assert wire.read("03110000") == bytes.fromhex("12 00 00")
    assert wire.read("03110001") == bytes.fromhex("30 17 08 05 01 26 00 18 08 05 01 26")
    assert wire.read("0311000A")[:6] == bytes.fromhex("00 04 08 05 01 26")
    assert wire.read("03020000") == bytes.fromhex("01 00 00" + "00" * 15)
    assert wire.read("03020101")[6:] == bytes(6)
    assert wire.read("03020201") == bytes(12)
    for none in ("0311000B", "03020100", "03999900", "03010501"):
        assert wire.refused(read_request(ADDRESS, none)) is Refusal.NO_SUCH_DATA


def test_a_long_value_comes_in_parts():
    wire = Wire()
    wire.unit.values["04000401"] = bytes(range(7))
    wire.unit.part_bytes = 5
    first = wire.ask(read_request(ADDRESS, "04000401"))
    assert first is not None
    assert first.more
    asked = Frame(address=ADDRESS, function=Function.READ_NEXT, data=first.data[:4] + b"\1")
    following = wire.ask(asked)
    assert following is not None
    assert (following.more, read_answer(following).value) == (False, b"\5\6")


def test_it_says_who_it_is_to_whoever_asks_all():
    wire = Wire()
    reply = wire.ask(read_address_request())
    assert reply is not None
    assert reply.data == bytes.fromhex("61 01 00 00 00 00")
    assert wire.ask(read_request("000000000162", "00010000")) is None
    assert wire.ask(reply) is None  # others' replies are on the line as well


def test_without_power_it_is_silent_and_busy_it_refuses():
    wire = Wire()
    wire.unit.faults.busy = True
    assert wire.refused(read_request(ADDRESS, "00010000")) is Refusal.OTHER
    wire.meter.power_cut(wire.bench.now)
    assert wire.ask(read_request(ADDRESS, "00010000")) is None
    wire.meter.power_on(wire.bench.now)
    wire.unit.faults.silent = True
    assert wire.ask(read_request(ADDRESS, "00010000")) is None


@pytest.mark.parametrize("function", list(Function))
def test_random_data_break_nothing_and_open_nothing(function: Function):
    wire, chance = Wire(), random.Random(function)
    for _ in range(FUZZED // len(Function)):
        data = chance.randbytes(chance.randrange(40))
        reply = wire.ask(Frame(address=ADDRESS, function=function, data=data))
        if reply is not None:
            assert decode_frame(reply.on_wire()) == reply
    assert wire.meter.lit
    assert abs(wire.meter.clock.at(wire.bench.now) - wire.bench.now) < timedelta(days=40_000)


def test_garbled_published_frames_are_not_obeyed():
    wire, whole = Wire(), frame("dlt-relay-trip").lstrip(b"\xfe")
    for at in range(len(whole)):
        broken = bytes([*whole[:at], whole[at] ^ 0x10, *whole[at + 1 :]])
        with pytest.raises(MalformedFrame):
            decode_frame(broken)
    assert wire.meter.lit
