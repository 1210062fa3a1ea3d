"""Milur frames: the published one, requests and refusals, broken and fuzzed ones."""

from decimal import Decimal

import pytest

from protocols.crc16 import crc16
from protocols.milur.explained import explain
from protocols.milur.frame import Frame, MalformedFrame, Value, current, decode_frame, value_of
from tests.protocols.fuzzing import fuzz, told
from tests.vectors.field_frames import VECTORS, frame, of_protocol

(CURRENT,) = of_protocol("milur")
REQUEST = Frame(0xFF, 0x01, bytes([105]))


def test_the_published_reply():
    decoded, expected = decode_frame(frame(CURRENT)), VECTORS[CURRENT]["decode"]
    assert decoded.encode() == frame(CURRENT)
    value = value_of(decoded)
    assert value is not None
    assert value.parameter == expected["param"]
    assert int.from_bytes(value.raw, "little", signed=True) == expected["raw"]
    assert current(value) == Decimal(str(expected["value"]))
    assert told(explain(frame(CURRENT)))["current L3"] == "-10.000 A"


def test_requests_refusals_and_secrets():
    assert told(explain(REQUEST.encode()))["role"] == "request"
    assert told(explain(Frame(0xFF, 0x81, b"\2").encode()))["role"] == "reply, refused"
    opens = Frame(0xFF, 0x08, b"\1secret").encode()
    assert told(explain(opens))["data"] == "7 bytes, hidden"
    assert told(explain(opens, show_secrets=True))["data"] == b"\1secret".hex(" ")
    assert "malformed" in told(explain(Frame(0xFF, 0x01, bytes((105, 1, 7))).encode()))
    with pytest.raises(ValueError, match="no current"):
        current(Value(105, b""))


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("FF 01", "2 bytes"),
        ("FF 01 69 03 F0 D8 FF 53 E1", "CRC is 53 e1"),
        (Frame(0xFF, 0x01, bytes((105, 4, 1, 2, 3))).encode().hex(), "says 4 data bytes, 3"),
    ],
)
def test_broken_frames_say_what_is_wrong(broken: str, why: str):
    with pytest.raises(MalformedFrame, match=why):
        decode_frame(bytes.fromhex(broken))


def test_fuzzed_frames_crash_nothing_and_pass_only_whole():
    fuzz(
        [frame(CURRENT), REQUEST.encode()],
        explain,
        lambda data: decode_frame(data).encode(),
        lambda data: data[:-2] + crc16(data[:-2]),
        seed=105,
    )
