"""M-Bus frames: the published one with all its records, every kind of frame, broken and fuzzed."""

import pytest

from protocols.mbus.explained import explain
from protocols.mbus.frame import Frame, MalformedFrame, decode_frame
from protocols.mbus.records import HEADER_BYTES, RECORDS_MAX, MalformedData
from protocols.mbus.records import told as records_of
from tests.protocols.fuzzing import fuzz, summed, told
from tests.vectors.field_frames import VECTORS, frame, of_protocol

(HEAT,) = of_protocol("mbus")
HEADER = bytes.fromhex("00 51 20 02 82 4D 02 04 00 88 00 00")


def reply(records: str) -> bytes:
    return Frame(0x08, 1, 0x72, HEADER + bytes.fromhex(records)).encode()


def recheck(data: bytes) -> bytes:
    """With lengths and sum that fit."""
    if data[:1] == b"\x10":
        return summed(data, 1)
    inner = data[4:-2][:255]
    head = bytes([0x68, len(inner), len(inner), 0x68])
    return summed(head + inner + b"\0\0", 4)


def test_the_published_reply_is_read_whole():
    rows, expected = told(explain(frame(HEAT))), VECTORS[HEAT]["decode"]
    decoded = decode_frame(frame(HEAT))
    assert decoded is not None
    assert decoded.encode() == frame(HEAT)
    assert rows["meter"] == expected["id"]
    assert rows["maker"] == expected["manufacturer"]
    assert rows["medium"].startswith(f"{expected['medium']} ")
    assert rows["energy"] == f"{expected['energy_wh']} Wh"
    assert rows["volume"] == f"{expected['volume_m3']} m3"
    assert rows["flow temperature"] == f"{expected['flow_temp_c']} C"
    assert rows["return temperature"] == f"{expected['return_temp_c']} C"
    assert rows["temperature difference"] == f"{expected['delta_k']} K"
    assert rows["date"] == expected["date"]
    assert rows["operating time"] == f"{expected['operating_seconds']} s"
    assert rows["maker's own"] == "60 00"


@pytest.mark.parametrize(
    ("records", "name", "value"),
    [
        ("01 03 7F", "energy", "127 Wh"),
        ("02 2B FF FF", "power", "-1 W"),
        ("05 2B 00 00 C0 3F", "power", "1.5 W"),
        ("05 2B 00 00 C0 7F", "power", "00 00 c0 7f"),
        ("0A 5A FF FF", "flow temperature", "ff ff"),
        ("0A 5A 05 F0", "flow temperature", "-0.5 C"),
        ("07 04 00 00 00 00 00 00 00 80", "energy", "-92233720368547758080 Wh"),
        ("44 03 01 00 00 00", "energy, storage 1", "1 Wh"),
        ("D4 11 03 01 00 00 00", "energy, maximum, storage 3, tariff 1", "1 Wh"),
        ("04 6D 1E 0D 8C 11", "time", "2012-01-12 13:30 (the meter's own time)"),
        ("04 6D 9E 0D 8C 11", "time", "9e 0d 8c 11"),
        ("02 6C 1F 1D", "date", "1f 1d"),
        ("0D 78 03 43 42 41", "fabrication number", "ABC"),
        ("02 FD 46 E6 00", "VIF fd 46", "e6 00"),
        ("01 7C 03 66 6F 6F 05", "oof", "5"),
        ("2F 2F 01 03 01", "energy", "1 Wh"),
    ],
)
def test_records_of_every_kind(records: str, name: str, value: str):
    assert told(explain(reply(records)))[name] == value


def test_more_may_follow():
    assert told(explain(reply("1F 01")))["more follows"] == "yes"


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ("04 03 01", "wants 4 bytes"),
        ("0D 78 FF 00", "wants 255 bytes"),
        ("84" + "80" * 11 + "00", "more than 10 extensions"),
        ("01 83" + "80" * 11 + "00", "more than 10 extensions"),
        ("7F", "DIF 7f is no record"),
        ("FF 00 00", "DIF ff is no record"),
        ("01 03 00 " * (RECORDS_MAX + 1), "too many"),
    ],
)
def test_records_that_are_none_are_told_as_they_are(records: str, why: str):
    with pytest.raises(MalformedData, match=why):
        records_of(HEADER + bytes.fromhex(records))
    if len(records) < 200:
        assert why in told(explain(reply(records)))["malformed"]


def test_a_header_is_needed():
    with pytest.raises(MalformedData, match="no header"):
        records_of(bytes(HEADER_BYTES - 1))


def test_short_frames_and_acknowledgements():
    assert told(explain(b"\xe5"))["role"] == "acknowledged"
    rows = told(explain(bytes.fromhex("10 7B 01 7C 16")))
    assert (rows["control"], rows["address"]) == ("7b ask for data (REQ_UD2)", "1")
    assert decode_frame(bytes.fromhex("68 03 03 68 53 01 50 A4 16")) == Frame(0x53, 1, 0x50)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("", "nothing"),
        ("E5 E5", "begin with e5"),
        ("10 7B 01 7D 16", "sum is 7d"),
        ("10 7B 01 7C 17", "ends with 17"),
        ("10 7B 01 7C", "has 5 bytes"),
        ("68 03 03", "ends after 3"),
        ("68 03 04 68 53 01 50 A4 16", "its length twice"),
        ("68 04 04 68 53 01 50 A4 16", "says 4 bytes"),
    ],
)
def test_broken_frames_say_what_is_wrong(broken: str, why: str):
    with pytest.raises(MalformedFrame, match=why):
        decode_frame(bytes.fromhex(broken))


def test_fuzzed_frames_crash_nothing_and_pass_only_whole():
    def whole(data: bytes) -> bytes:
        found = decode_frame(data)
        return b"\xe5" if found is None else found.encode()

    fuzz([frame(HEAT), bytes.fromhex("10 7B 01 7C 16")], explain, whole, recheck, seed=13757)
