"""Numbers, times and identifiers of DL/T 645."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.dlt645.data import (
    QUANTITIES,
    QUANTITIES_1997,
    Refusal,
    meter_address,
    packed,
    packed_bytes,
    read_address_request,
    read_answer,
    read_next_request,
    read_request,
    refusal,
    time_bytes,
    time_of,
)
from protocols.dlt645.errors import MalformedData
from protocols.dlt645.frame import Frame, Function, decode_frame
from tests.vectors.field_frames import VECTORS, frame

MILLENNIUM = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("ident", ["dlt-energy-rsp", "dlt-ua-rsp", "dlt97-rsp-2"])
def test_published_replies_give_their_published_values(ident: str):
    told = VECTORS[ident]["decode"]
    answer = read_answer(decode_frame(frame(ident)))
    assert answer.identifier == told["di"]
    known = {**QUANTITIES, **QUANTITIES_1997}[answer.identifier]
    value = known.value(answer.value)
    assert value is not None
    assert float(value) == told["value"]
    assert known.unit == told["unit_name"]


def test_requests_are_the_published_ones():
    assert read_request("000000000161", "02010100").encode() == frame("dlt-ua-req")
    assert read_address_request().on_wire() == frame("dlt-readaddr-req")


def test_more_that_follows_is_told_and_asked_for():
    answer = read_answer(decode_frame(frame("dlt-follow-rsp")))
    assert answer.more
    assert answer.value == bytes.fromhex("12345678")
    request = read_next_request("000000000161", "00000100", 1)
    assert request.data == bytes.fromhex("00 01 00 00 01")
    part = Frame(
        address="000000000161",
        function=Function.READ_NEXT,
        data=bytes.fromhex("00 01 00 00 AA BB 01"),
        reply=True,
    )
    further = read_answer(part)
    assert (further.value, further.sequence) == (b"\xaa\xbb", 1)


def test_a_refusal_says_why():
    assert refusal(decode_frame(frame("dlt-err-rsp"))) is Refusal.NO_SUCH_DATA
    with pytest.raises(MalformedData):
        refusal(decode_frame(frame("dlt-ua-rsp")))
    with pytest.raises(MalformedData):
        read_answer(decode_frame(frame("dlt-err-rsp")))


@pytest.mark.parametrize(
    ("raw", "decimals", "signed", "value"),
    [
        ("26000000", 2, False, "0.26"),
        ("0110", 1, False, "100.1"),
        ("563412", 4, True, "12.3456"),
        ("563492", 4, True, "-12.3456"),
        ("9999", 0, False, "9999"),
    ],
)
def test_packed_decimals(raw: str, decimals: int, signed: bool, value: str):
    assert packed(bytes.fromhex(raw), decimals=decimals, signed=signed) == Decimal(value)


def test_all_ones_are_not_available_and_other_letters_are_malformed():
    assert packed(b"\xff\xff") is None
    with pytest.raises(MalformedData, match="not decimal"):
        packed(b"\x0a")
    with pytest.raises(MalformedData, match="no bytes"):
        packed(b"")
    with pytest.raises(MalformedData, match="3 bytes instead of 2"):
        QUANTITIES["02010100"].value(bytes(3))


@given(st.integers(0, 10**8 - 1))
def test_packed_round_trip(number: int):
    assert packed(packed_bytes(number, 4)) == number


@pytest.mark.parametrize("number", [-1, 100])
def test_what_does_not_fit_is_not_packed(number: int):
    with pytest.raises(ValueError, match="does not fit"):
        packed_bytes(number, 1)


@given(st.integers(0, 100 * 365 * 86_400).map(lambda s: MILLENNIUM + timedelta(seconds=s)))
def test_times_round_trip(moment: datetime):
    assert time_of(time_bytes(moment), UTC) == moment


def test_no_time_is_none_and_nonsense_is_malformed():
    assert time_of(bytes(6), UTC) is None
    assert time_of(b"\xff" * 6, UTC) is None
    for nonsense in ("00 00 00 00 13 26", "00 00", "00 00 0A 01 01 26"):
        with pytest.raises(MalformedData):
            time_of(bytes.fromhex(nonsense), UTC)
    with pytest.raises(ValueError, match="1999"):
        time_bytes(MILLENNIUM - timedelta(days=1))


def test_a_meter_tells_its_address():
    reply = Frame(
        address="000000000161",
        function=Function.READ_ADDRESS,
        data=bytes.fromhex("610100000000"),
        reply=True,
    )
    assert meter_address(reply) == "000000000161"
    for wrong in (b"", bytes.fromhex("6a0100000000")):
        with pytest.raises(MalformedData):
            meter_address(
                Frame(address="0" * 12, function=Function.READ_ADDRESS, data=wrong, reply=True)
            )


@pytest.mark.parametrize("data", [b"", b"\x00\x01"])
def test_a_reply_too_short_for_its_identifier_is_malformed(data: bytes):
    with pytest.raises(MalformedData):
        read_answer(Frame(address="0" * 12, function=Function.READ, data=data, reply=True))
    with pytest.raises(MalformedData):
        read_answer(Frame(address="0" * 12, function=Function.READ_NEXT, data=bytes(4), reply=True))


@pytest.mark.parametrize("sequence", [0, 256])
def test_a_sequence_has_one_byte_and_begins_at_one(sequence: int):
    with pytest.raises(ValueError, match="between 1 and 255"):
        read_next_request("0" * 12, "00010000", sequence)


def test_an_identifier_has_four_bytes():
    with pytest.raises(ValueError, match="8 hexadecimal"):
        read_request("0" * 12, "9010")
