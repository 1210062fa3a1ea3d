"""Mercury 230 frames: published ones explained, secrets hidden, broken and fuzzed ones refused."""

import pytest

from protocols.crc16 import crc16
from protocols.mercury230.explained import explain
from protocols.mercury230.frame import Frame, MalformedFrame, decode_frame, energies, value
from tests.protocols.fuzzing import fuzz, told
from tests.vectors.field_frames import VECTORS, frame, of_protocol

PUBLISHED = of_protocol("mercury230")


@pytest.mark.parametrize("ident", PUBLISHED)
def test_published_frames_decode_and_encode(ident: str):
    decoded, expected = decode_frame(frame(ident)), VECTORS[ident]["decode"]
    assert decoded.encode() == frame(ident)
    rows = told(explain(frame(ident)))
    if "raw" in expected:
        assert value(decoded.content)[0] == expected["raw"]
        assert rows["as a reply"].startswith(f"value {expected['raw']},")
    if "state" in expected:
        assert rows["as a reply"].startswith(f"state {expected['state']}:")
    if "meaning" in expected:
        assert rows["as a reply"].endswith(str(expected["meaning"]))
    if "op" in expected:
        assert rows["as a request"] == f"01 {expected['op']}"


def test_there_are_six():
    assert len(PUBLISHED) == 6


def test_energies_and_what_is_not_available():
    expected = VECTORS["mercury230-energy-rsp"]["decode"]
    assert energies(decode_frame(frame("mercury230-energy-rsp")).content) == (
        expected["active_import_wh"],
        expected["active_export_wh"],
        expected["reactive_import_varh"],
        expected["reactive_export_varh"],
    )
    with pytest.raises(ValueError, match="no four energies"):
        energies(bytes(15))
    with pytest.raises(ValueError, match="no value"):
        value(bytes(2))


def test_the_direction_is_in_the_top_bits():
    assert value(decode_frame(frame("mercury230-p-rsp")).content) == (553095, 0b01)


def test_a_password_shows_only_when_asked_for():
    hidden = told(explain(frame("mercury230-open")))
    shown = told(explain(frame("mercury230-open"), show_secrets=True))
    assert (hidden["level"], hidden["password"]) == ("1", "hidden")
    assert shown["password"] == VECTORS["mercury230-open"]["decode"]["password"]
    writes = Frame(0, bytes.fromhex("03 1F 01 02 03 04 05 06 07 08 09 0A")).encode()
    assert "01 02 03" not in str(explain(writes))
    assert "01 02 03" in str(explain(writes, show_secrets=True))
    assert "010101" not in repr(decode_frame(frame("mercury230-open")))


@pytest.mark.parametrize(
    ("broken", "why"),
    [("", "0 bytes"), ("00 00 01", "3 bytes"), ("00 00 01 B1", "CRC is 01 b1")],
)
def test_broken_frames_say_what_is_wrong(broken: str, why: str):
    with pytest.raises(MalformedFrame, match=why):
        decode_frame(bytes.fromhex(broken))


def test_fuzzed_frames_crash_nothing_and_pass_only_whole():
    fuzz(
        [frame(ident) for ident in PUBLISHED],
        explain,
        lambda data: decode_frame(data).encode(),
        lambda data: data[:-2] + crc16(data[:-2]),
        seed=230,
    )
