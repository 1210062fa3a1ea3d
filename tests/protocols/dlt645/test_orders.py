"""What DL/T 645 meters are told."""

from datetime import UTC, datetime

import pytest

from protocols.dlt645.frame import Frame, Function, decode_frame
from protocols.dlt645.orders import (
    DATE_IDENTIFIER,
    Access,
    Control,
    broadcast_time,
    control_request,
    set_date_value,
    set_time_value,
    signed_request,
    without_secrets,
    write_request,
)
from tests.vectors.field_frames import frame

METER = "000000000161"
ACCESS = Access(2, "000000")
UNTIL = datetime(2030, 1, 1, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("order", "ident"),
    [(Control.TRIP, "dlt-relay-trip"), (Control.PERMIT_CLOSE, "dlt-relay-permit")],
)
def test_supply_orders_are_the_published_ones(order: Control, ident: str):
    assert control_request(METER, ACCESS, order, until=UNTIL).on_wire() == frame(ident)


def test_the_time_goes_to_all():
    noon = datetime(2026, 6, 5, 12, 15, 30, tzinfo=UTC)
    assert broadcast_time(noon).on_wire() == frame("dlt-time-broadcast")


def test_a_clock_is_written_in_two_parts():
    moment = datetime(2026, 6, 7, 12, 15, 30, tzinfo=UTC)  # a Sunday
    assert set_date_value(moment) == bytes.fromhex("00 07 06 26")
    assert set_time_value(moment) == bytes.fromhex("30 15 12")
    request = write_request(METER, Access(3, "123456", 7), DATE_IDENTIFIER, bytes(4))
    assert request.data == bytes.fromhex("01 01 00 04 03 56 34 12 07 00 00 00 00 00 00 00")


def test_a_write_is_bounded():
    with pytest.raises(ValueError, match="at most 50"):
        write_request(METER, ACCESS, DATE_IDENTIFIER, bytes(39))


@pytest.mark.parametrize(("level", "password"), [(0x98, "000000"), (2, "12345"), (2, "12345a")])
def test_only_plain_classes_and_six_digits_are_a_password(level: int, password: str):
    with pytest.raises(ValueError, match="password"):
        Access(level, password)


def test_a_password_shows_in_no_text():
    assert "123456" not in repr(Access(2, "123456"))


def test_what_a_module_signed_is_carried_as_it_is():
    signed = signed_request(METER, Function.SECURITY, b"\x01\x02")
    assert (signed.function, signed.data) == (Function.SECURITY, b"\x01\x02")


@pytest.mark.parametrize(
    ("function", "data", "shown"),
    [
        (Function.READ, "00 01 00 00", "00 01 00 00"),
        (Function.READ_ADDRESS, "", ""),
        (Function.CONTROL, "02 56 34 12 01 00 00 00 1A 00", "02 00 00 00 01 00 00 00 1A 00"),
        (Function.CLEAR_EVENTS, "02 56 34 12 01 00 00 00", "02 00 00 00 01 00 00 00"),
        # The clock is told; another parameter may be a password too.
        (
            Function.WRITE,
            "02 01 00 04 02 56 34 12 01 00 00 00 59 58 23",
            "02 01 00 04 02 00 00 00 01 00 00 00 59 58 23",
        ),
        (
            Function.WRITE,
            "03 0C 00 04 02 56 34 12 01 00 00 00 02 66 66 66",
            "03 0C 00 04 02 00 00 00 00 00 00 00 00 00 00 00",
        ),
        # What a security module made, and what is cut short or no order known here.
        (Function.CONTROL, "98 56 34 12 01", "98 00 00 00 00"),
        (Function.CONTROL, "02 56", "02 00"),
        (Function.CONTROL, "", ""),
        (Function.WRITE, "02 01 00 04", "02 01 00 04"),
        (Function.WRITE, "02 01", "02 01"),
        (Function.SET_PASSWORD, "01 0C 00 04 02 56", "00 00 00 00 00 00"),
        (Function.SECURITY, "FF 01 02", "00 00 00"),
    ],
)
def test_a_frame_is_shown_without_its_secrets(function: Function, data: str, shown: str):
    frame = Frame(address="000000000161", function=function, data=bytes.fromhex(data))
    told = without_secrets(frame)
    assert told.data.hex(" ").upper() == shown
    assert decode_frame(told.on_wire()) == told
