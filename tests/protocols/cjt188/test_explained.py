"""CJ/T 188 frames: published ones explained or refused as marked, broken and fuzzed ones."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from protocols.cjt188.data import MalformedData, metered
from protocols.cjt188.explained import explain
from protocols.cjt188.frame import Identifier, MalformedFrame, decode_frame
from tests.protocols.fuzzing import fuzz, summed, told
from tests.vectors.field_frames import VECTORS, frame, of_protocol

PUBLISHED = of_protocol("cjt188")
GOOD = [ident for ident in PUBLISHED if VECTORS[ident]["checksum_ok"]]


@pytest.mark.parametrize("ident", PUBLISHED)
def test_published_frames_decode_or_are_refused_as_marked(ident: str):
    if VECTORS[ident].get("expect") == "reject":
        with pytest.raises(MalformedFrame, match="its sum is 08, its bytes give 13"):
            decode_frame(frame(ident))
        return
    decoded, expected = decode_frame(frame(ident)), VECTORS[ident]["decode"]
    assert frame(ident).endswith(decoded.encode())
    rows = told(explain(frame(ident)))
    if "address" in expected:
        assert rows["address"] == expected["address"]
    if "di_bytes" in expected:
        assert decoded.identifier == bytes.fromhex(str(expected["di_bytes"]))
    if "ser" in expected:
        assert decoded.ser == expected["ser"]
    if "valve" in expected:
        assert rows["valve"].endswith(str(expected["valve"]))
    if "type" in expected:
        assert rows["type"] == expected["type"]


def test_there_is_one_of_every_kind():
    assert len(PUBLISHED) == 7
    assert len(GOOD) == 6


def test_metered_values_and_their_time():
    found = metered(decode_frame(frame("cjt-read-rsp")).data, UTC)
    assert (found.current, found.current_unit) == (Decimal("556677.00"), "m3")
    assert found.settled == found.current
    assert found.time == datetime(2015, 5, 11, 22, 1, 31, tzinfo=UTC)
    assert found.status == bytes.fromhex("21 84")
    assert told(explain(frame("cjt-valve-rsp")))["status"] == "00 00"


def test_the_identifier_is_known_in_either_order():
    one = decode_frame(frame("cjt-read-req"))
    other = decode_frame(
        summed(frame("cjt-read-req").lstrip(b"\xfe").replace(b"\x1f\x90", b"\x90\x1f"), 0)
    )
    assert one.known is other.known is Identifier.METERED


def test_data_that_are_none_are_told_as_they_are():
    whole = bytearray(frame("cjt-read-rsp"))
    whole[15] = 0x0A
    assert "not decimal" in told(explain(summed(bytes(whole), 0)))["malformed"]
    with pytest.raises(MalformedData, match="18 bytes"):
        metered(bytes(18), UTC)
    assert metered(bytes(19), UTC).time is None


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("", "ends after 0"),
        ("68 10 44", "ends after 3"),
        ("69 10 44 33 22 11 00 33 78 01 03 1F 90 00 80 16", "begins with 68"),
        ("68 10 44 33 22 11 00 33 78 01 02 1F 90 00 80 16", "says 2 data bytes"),
        ("68 10 44 33 22 11 00 33 78 01 04 1F 90 00 80 16", "16 bytes are there"),
        ("FE FE FE FE FE FE FE FE FE 68 10", "9 wake-up bytes"),
    ],
)
def test_broken_frames_say_what_is_wrong(broken: str, why: str):
    with pytest.raises(MalformedFrame, match=why):
        decode_frame(bytes.fromhex(broken))


def test_fuzzed_frames_crash_nothing_and_pass_only_whole():
    seeds = [frame(ident).lstrip(b"\xfe") for ident in GOOD]
    fuzz(
        seeds,
        explain,
        lambda data: decode_frame(data).encode(),
        lambda data: summed(data, 0),
        seed=188,
    )
