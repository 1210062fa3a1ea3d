"""Frames against those of real meters: what decodes, and what must not."""

import re
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.modbus.frames import Reply, Request, RtuFraming, Table, TcpFraming, serial_frame
from adapters.transport.exchange import Garbled, strip_echo
from protocols.modbus.blocks import Span
from protocols.modbus.registers import Encoding, NumberFormat, Order
from tests.vectors.field_frames import VECTORS, Vector, frame, of_protocol

TOKEN_WORDS = (0x5555, 0x6666, 0x7777, 0x8888, 0x9999)
REQUESTS = [i for i in of_protocol("modbus-rtu") if VECTORS[i]["role"] == "request"]
# What this head-end sends: reading registers and writing several of them.
OURS = [i for i in REQUESTS if frame(i)[1] in (3, 4, 16)]
REPLIES = [i for i in of_protocol("modbus-rtu") if VECTORS[i]["role"] == "response"]
WELL = [i for i in REPLIES if VECTORS[i]["crc_ok"]]
VALUES = [i for i in WELL if "as" in VECTORS[i]["decode"] and "value" in VECTORS[i]["decode"]]
STREAMS = of_protocol("modbus-rtu-stream")


def request_of(sent: bytes) -> Request:
    """The request that a serial frame makes."""
    table = Table.INPUT if sent[1] == 4 else Table.HOLDING
    span = Span(int.from_bytes(sent[2:4]), int.from_bytes(sent[4:6]))
    if sent[1] != 16:
        return Request(sent[0], table, span)
    words = tuple(int.from_bytes(sent[at : at + 2]) for at in range(7, len(sent) - 2, 2))
    return Request(sent[0], table, span, words)


def request_for(reply: bytes) -> Request:
    """A request that this serial reply would answer."""
    table = Table.INPUT if reply[1] & 0x7F == 4 else Table.HOLDING
    if reply[1] == 16:
        span = Span(int.from_bytes(reply[2:4]), int.from_bytes(reply[4:6]))
        return Request(reply[0], table, span, (0,) * span.count)
    return Request(reply[0], table, Span(0, reply[2] // 2 or 1))


def taken(received: bytes, request: Request) -> Reply | None:
    """The reply that a serial line finds in what it received."""
    framing, heard = RtuFraming(), bytearray(received)
    strip_echo(heard, framing.encode(request))
    found = framing.find(bytes(heard), request)
    return None if found is None else found[0]


def numbered(received: bytes, request: Request, number: int) -> Reply | None:
    """The reply that a Modbus TCP connection finds in what it received."""
    framing = TcpFraming()
    frames = dict(framing.split(bytearray(received)))
    return framing.reply(frames[number], request, number) if number in frames else None


@pytest.mark.parametrize("ident", OURS)
def test_a_request_is_encoded_as_the_meter_expects(ident: str):
    assert RtuFraming().encode(request_of(frame(ident))) == frame(ident)


@pytest.mark.parametrize("ident", WELL)
def test_a_reply_is_taken(ident: str):
    reply = taken(frame(ident), request_for(frame(ident)))
    assert reply is not None
    told = VECTORS[ident]["decode"]
    assert reply.exception == told.get("exception", 0)
    if "registers" in told:
        assert list(reply.words) == told["registers"]


def test_a_reply_with_a_wrong_crc_is_not_taken():
    (ident,) = (i for i in REPLIES if not VECTORS[i]["crc_ok"])
    right = bytes.fromhex(VECTORS[ident]["corrected_hex"])
    assert taken(frame(ident), request_for(right)) is None
    assert taken(right, request_for(right)) == Reply(())


def number_format(told: str) -> NumberFormat | None:
    """What a vector's words say of its encoding: "int32 CDAB (low word first) /10"."""
    kind = re.match(r"(u?int|float)(\d\d)\b", told)
    if kind is None:
        return None
    letters = {"int": "s", "uint": "u", "float": "float"}[kind[1]]
    order = re.search(r"\b(ABCD|CDAB|BADC|DCBA)\b", told)
    divisor = re.search(r"/(\d+)", told)
    return NumberFormat(
        encoding=Encoding(f"{letters}{kind[2]}"),
        order=Order(order[1]) if order else Order.ABCD,
        scale=1 / Decimal(divisor[1]) if divisor else Decimal(1),
        invalid=frozenset({0xFFFFFFFF}) if letters == "u" else frozenset(),
    )


@pytest.mark.parametrize(
    "ident", [i for i in VALUES if number_format(str(VECTORS[i]["decode"]["as"]))]
)
def test_a_reply_means_what_the_meter_meant(ident: str):
    told = VECTORS[ident]["decode"]
    form = number_format(str(told["as"]))
    reply = taken(frame(ident), request_for(frame(ident)))
    assert form is not None
    assert reply is not None
    value = form.value(reply.words)
    if told["value"] is None:
        assert value is None
    else:
        assert value is not None
        tolerance = Decimal(str(told.get("tolerance", 0)))
        assert abs(value - Decimal(str(told["value"]))) <= tolerance


@pytest.mark.parametrize("ident", STREAMS)
def test_a_stream_of_bytes_is_taken_or_not_as_marked(ident: str):
    vector: Vector = VECTORS[ident]
    request = request_of(bytes.fromhex(vector["sent"]))
    reply = taken(bytes.fromhex(vector["received"]), request)
    match vector["expect"]:
        case "accept" | "accept-or-resync":
            assert reply is not None
            value = NumberFormat(encoding=Encoding.FLOAT32).value(reply.words)
            assert value == Decimal("230.20001")  # 0x43663334, one step above 230.2
        case "ambiguous":
            # No frame can tell; the quiet time of the line does (see test_late_replies).
            assert reply is not None
        case _:
            assert reply is None


def test_modbus_tcp_vectors():
    framing = TcpFraming()
    assert framing.encode(Request(1, Table.HOLDING, Span(0, 2)), 1) == frame("mb-tcp-req")
    request = Request(1, Table.HOLDING, Span(0, 2))
    assert numbered(frame("mb-tcp-exc-0B"), request, 1) == Reply((), exception=11)
    assert numbered(frame("mb-tcp-exc-0B"), request, 2) is None


def test_numbered_frames_are_split_wherever_they_are_cut():
    first = bytes.fromhex("0007 0000 0005 01 03 02 0bad")
    second = bytes.fromhex("0008 0000 0005 01 03 02 1234")
    received = bytearray(first + second[:5])
    framing = TcpFraming()
    assert list(framing.split(received)) == [(7, first)]
    received += second[5:]
    assert list(framing.split(received)) == [(8, second)]
    assert received == b""


def test_a_numbered_frame_is_written_as_a_serial_one():
    assert serial_frame(frame("mb-tcp-req")[6:]) == RtuFraming().encode(
        Request(1, Table.HOLDING, Span(0, 2))
    )


@pytest.mark.parametrize(
    "reply",
    [
        "0008 0000 0005 02 03 02 1234",  # another unit
        "0008 0000 0005 01 04 02 1234",  # another function
        "0008 0000 0007 01 03 04 1234 5678",  # another count
        "0008 0000 0005 01 03 04 1234",  # a byte count that lies
        "0008 0000 0003 01 84 02",  # an exception to another function
    ],
)
def test_what_fits_the_number_but_not_the_question_is_no_reply(reply: str):
    request = Request(1, Table.HOLDING, Span(0, 1))
    assert numbered(bytes.fromhex(reply), request, 8) is None


@pytest.mark.parametrize("header", ["0008 0001 0005 01", "0008 0000 0002 01", "0008 0000 00ff 01"])
def test_a_header_that_makes_no_sense_ends_the_stream(header: str):
    with pytest.raises(Garbled):
        numbered(bytes.fromhex(header), Request(1, Table.HOLDING, Span(0, 1)), 8)


def test_a_write_is_answered_by_its_own_echo_only():
    request = Request(1, Table.HOLDING, Span(0xD080, 10), (0,) * 10)
    assert taken(frame("stsm-token-write-ack"), request) == Reply(())
    other = Request(1, Table.HOLDING, Span(0xD081, 10), (0,) * 10)
    assert taken(frame("stsm-token-write-ack"), other) is None


def test_the_echo_of_a_write_is_not_its_reply():
    sent = frame("stsm-token-write-bcd")
    request = request_of(sent)
    for end in range(len(sent) + 1):
        assert taken(sent[:end], request) is None
    assert taken(sent + frame("stsm-token-write-ack"), request) == Reply(())


@given(st.binary(max_size=600))
def test_garbage_is_never_a_reply(garbage: bytes):
    request = Request(9, Table.INPUT, Span(0, 2))
    assert taken(garbage, request) is None
    with suppress(Garbled):
        assert numbered(garbage, request, 0xBEEF) is None


def test_a_request_shows_no_words():
    request = Request(5, Table.HOLDING, Span(0xD080, 10), (0, 0, 0, *TOKEN_WORDS, 1, 2))
    assert str(request) == repr(request) == "unit 5, writing 10 holding registers at 0xd080"
