"""Mercury 200 frames: the published one, replies by the same rules, broken and fuzzed ones."""

from decimal import Decimal

import pytest

from protocols.crc16 import crc16
from protocols.mercury200.explained import explain
from protocols.mercury200.frame import Frame, MalformedFrame, decode_frame, energies, present
from tests.protocols.fuzzing import fuzz, told
from tests.vectors.field_frames import frame, of_protocol

(REQUEST,) = of_protocol("mercury200")
ENERGIES = bytes.fromhex("00 12 34 56 00 00 01 00 00 00 00 00 00 00 00 00")
REPLY = Frame("fe123456", 0x27, ENERGIES)
PRESENT = Frame("fe123456", 0x63, bytes.fromhex("23 01 01 25 00 02 88"))


def test_the_published_request():
    decoded = decode_frame(frame(REQUEST))
    assert decoded == Frame("fe123456", 0x27)
    assert decoded.encode() == frame(REQUEST)
    assert told(explain(frame(REQUEST)))["command"] == "27 energy"


def test_replies_are_packed_decimals():
    assert energies(ENERGIES)[:2] == (Decimal("1234.56"), Decimal("1.00"))
    assert told(explain(REPLY.encode()))["energy, tariff 1"] == "1234.56 kWh"
    assert present(PRESENT.data) == (Decimal("230.1"), Decimal("1.25"), Decimal(288))
    assert told(explain(PRESENT.encode()))["power"] == "288 W"


def test_data_that_are_none_are_told_as_they_are():
    assert (
        "not decimal" in told(explain(Frame("fe123456", 0x27, b"\xab" * 16).encode()))["malformed"]
    )
    for code in (0x27, 0x63):
        assert "malformed" in told(explain(Frame("fe123456", code, b"\1").encode()))
    assert told(explain(Frame("fe123456", 0x2F, b"\1").encode()))["data"] == "01"


@pytest.mark.parametrize(
    ("broken", "why"),
    [("", "0 bytes"), ("FE 12 34 56 27 36 D9", "CRC is 36 d9"), ("00" * 65, "65 bytes")],
)
def test_broken_frames_say_what_is_wrong(broken: str, why: str):
    with pytest.raises(MalformedFrame, match=why):
        decode_frame(bytes.fromhex(broken))


def test_fuzzed_frames_crash_nothing_and_pass_only_whole():
    fuzz(
        [frame(REQUEST), REPLY.encode(), PRESENT.encode()],
        explain,
        lambda data: decode_frame(data).encode(),
        lambda data: data[:-2] + crc16(data[:-2]),
        seed=200,
    )
