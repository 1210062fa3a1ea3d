"""Q/GDW 376.1 frames: the published login, forwarded data, broken and fuzzed ones."""

from dataclasses import replace

import pytest

from protocols.qgdw376.explained import explain
from protocols.qgdw376.frame import MalformedFrame, decode_frame
from tests.protocols.fuzzing import fuzz, summed, told
from tests.vectors.field_frames import VECTORS, frame, of_protocol

(LOGIN,) = of_protocol("qgdw376.1")
FORWARDED = bytes.fromhex("00 00 01 00 1F 6B") + frame("dlt-relay-trip")


def test_the_published_login():
    decoded, expected = decode_frame(frame(LOGIN)), VECTORS[LOGIN]["decode"]
    assert decoded.encode() == frame(LOGIN)
    assert decoded.protocol == expected["protocol_bits"]
    assert len(frame(LOGIN)) - 8 == expected["user_length"]
    assert f"{decoded.control:02X}" == expected["control"]
    assert decoded.region == expected["a1"]
    assert f"{decoded.terminal:04x}" == expected["a2"]
    assert decoded.afn == expected["afn"]
    assert (decoded.uplink, decoded.initiated, decoded.function) == (True, True, 9)
    assert decoded.unit == ([0], [1])
    assert told(explain(frame(LOGIN)))["functions"] == "F1 login"


def test_points_and_functions_are_bits_of_groups():
    units = replace(decode_frame(frame(LOGIN)), data=bytes.fromhex("03 02 81 01"))
    assert units.unit == ([9, 10], [9, 16])
    assert replace(units, data=b"").unit is None


def test_what_is_forwarded_may_hold_a_password():
    one = replace(decode_frame(frame(LOGIN)), afn=0x10, data=FORWARDED)
    assert told(explain(one.encode()))["data"].endswith("bytes, hidden")
    assert told(explain(one.encode(), show_secrets=True))["data"] == FORWARDED[4:].hex(" ")
    assert told(explain(one.encode()))["application function"] == "10 data forwarded"


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("68 32", "ends after 2"),
        ("67 32 00 32 00 68 C9 03 44 04 00 00 02 71 00 00 01 00 88 16", "68 before"),
        ("68 32 00 33 00 68 C9 03 44 04 00 00 02 71 00 00 01 00 88 16", "lengths differ"),
        ("68 31 00 31 00 68 C9 03 44 04 00 00 02 71 00 00 01 00 88 16", "protocol bits 01"),
        ("68 36 00 36 00 68 C9 03 44 04 00 00 02 71 00 00 01 00 88 16", "says 13 bytes"),
        ("68 32 00 32 00 68 C9 03 44 04 00 00 02 71 00 00 01 00 89 16", "sum is 89"),
        ("68 32 00 32 00 68 C9 0A 44 04 00 00 02 71 00 00 01 00 8F 16", "not decimal"),
    ],
)
def test_broken_frames_say_what_is_wrong(broken: str, why: str):
    with pytest.raises(MalformedFrame, match=why):
        decode_frame(bytes.fromhex(broken))


def test_fuzzed_frames_crash_nothing_and_pass_only_whole():
    seeds = [frame(LOGIN), replace(decode_frame(frame(LOGIN)), afn=0x10, data=FORWARDED).encode()]
    fuzz(
        seeds,
        explain,
        lambda data: decode_frame(data).encode(),
        lambda data: summed(data, 6),
        seed=376,
    )
