"""Pulsar frames: the published one, several channels, broken and fuzzed ones."""

import struct

import pytest

from protocols.crc16 import crc16
from protocols.pulsar.explained import explain
from protocols.pulsar.frame import Frame, MalformedFrame, decode_frame, values
from tests.protocols.fuzzing import fuzz, told
from tests.vectors.field_frames import VECTORS, frame, of_protocol

(HEAT,) = of_protocol("pulsar")
TWO = Frame("00107080", 1, struct.pack("<2f", 1.5, float("nan")), b"\0\1")


def test_the_published_reply():
    decoded = decode_frame(frame(HEAT))
    assert decoded.encode() == frame(HEAT)
    assert decoded.address == "00107080"
    (value,) = values(decoded.data)
    assert value == pytest.approx(VECTORS[HEAT]["decode"]["float32_le"], abs=1e-4)
    assert told(explain(frame(HEAT)))["as a reply, value 1"] == "24.7126"


def test_several_channels_and_a_request():
    rows = told(explain(TWO.encode()))
    assert (rows["as a reply, value 1"], rows["as a reply, value 2"]) == ("1.5", "no number")
    asked = Frame("00107080", 1, b"\5\0\0\0", b"\0\1")
    assert told(explain(asked.encode()))["as a request"] == "channels 1, 3"
    assert "malformed" in told(explain(Frame("00107080", 1, b"\5", b"\0\1").encode()))
    refused = Frame("00107080", 0, b"\5", b"\0\1")
    assert told(explain(refused.encode()))["function"] == "00 refused"


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("00", "1 bytes"),
        ("0A 10 70 80 01 0E 5A B3 C5 41 00 00 18 DB", "not decimal"),
        ("00 10 70 80 01 0F 5A B3 C5 41 00 00 18 DB", "says 15 bytes, 14"),
        ("00 10 70 80 01 0E 5A B3 C5 41 00 00 18 DC", "CRC is 18 dc"),
    ],
)
def test_broken_frames_say_what_is_wrong(broken: str, why: str):
    with pytest.raises(MalformedFrame, match=why):
        decode_frame(bytes.fromhex(broken))


def test_fuzzed_frames_crash_nothing_and_pass_only_whole():
    fuzz(
        [frame(HEAT), TWO.encode()],
        explain,
        lambda data: decode_frame(data).encode(),
        lambda data: data[:-2] + crc16(data[:-2]),
        seed=107080,
    )
