"""Messages of IEC 62056-21 against published ones, and broken on purpose."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.iec62056_21.characters import BlockCheck, without_parity
from protocols.iec62056_21.errors import MalformedMessage
from protocols.iec62056_21.messages import (
    DATA_SETS_MAX,
    MESSAGE_MAX_BYTES,
    Command,
    DataSet,
    checked_body,
    data_sets,
    decode_command,
    decode_data,
    encode_command,
    whole_message,
)
from protocols.iec62056_21.sign_on import Option, identification, option_select
from tests.vectors.field_frames import VECTORS, of_protocol, published

PUBLISHED = of_protocol("iec62056-21")
CHECKED = [ident for ident in PUBLISHED if VECTORS[ident]["checksum"]]
FUZZED = 100_000


def check_of(ident: str) -> BlockCheck:
    return BlockCheck(VECTORS[ident]["checksum"] or "xor")


@pytest.mark.parametrize("ident", CHECKED)
@pytest.mark.parametrize("way", ["tx", "rx"])
def test_every_published_message_is_whole_and_its_check_fits(ident: str, way: str):
    message = published(ident, way)
    check = check_of(ident)
    match message[:1]:
        case b"\x01":
            assert encode_command(decode_command(message, check), check) == message
        case b"\x02":
            assert decode_data(message, check)
        case b"\x06" if len(message) > 1:
            assert message == option_select(chr(message[2]), Option(int(chr(message[3]))))
        case other:
            assert other in (b"", b"\x06")


@pytest.mark.parametrize(
    ("ident", "expected"),
    [
        ("iec-neva-power", DataSet("100700FF", "00005.3")),
        ("iec-neva-bit", DataSet("", "01")),
        ("iec-ce102m-current", DataSet("CURRE", "0.402")),
        ("iec-drs155m-serial", DataSet("00000034", "001511420144")),
    ],
)
def test_published_values(ident: str, expected: DataSet):
    check = check_of(ident)
    assert decode_data(published(ident, "rx"), check) == (expected,)


@pytest.mark.parametrize("ident", CHECKED)
def test_the_other_check_does_not_pass(ident: str):
    """A meter with a 7-bit sum cannot be read as one with exclusive or, nor the other way."""
    check = check_of(ident)
    other = BlockCheck.SUM7 if check is BlockCheck.XOR else BlockCheck.XOR
    message = published(ident, "tx")
    if message[:1] == b"\x01" and check.of(message[1:-1]) != other.of(message[1:-1]):
        with pytest.raises(MalformedMessage, match="block check"):
            checked_body(message, other)


def test_a_read_out_has_lines_units_and_repeated_values():
    block = b"1.8.0(000123.45*kWh)\r\n0.9.1(121530)\r\n6.6.1(1)(2*kW)\r\n!\r\nignored(1)"
    assert data_sets(block) == (
        DataSet("1.8.0", "000123.45", "kWh"),
        DataSet("0.9.1", "121530"),
        DataSet("6.6.1", "1"),
        DataSet("6.6.1", "2", "kW"),
    )


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (b"1.8.0", "no value"),
        (b"1.8.0(1", "closing bracket"),
        (b"1.8.0(\x07)", "control character"),
        (b"1.8.0(\xff)", "no character"),
        (b"a(1)" * (DATA_SETS_MAX + 1), "data sets"),
    ],
)
def test_broken_blocks_say_what_is_wrong(block: bytes, why: str):
    with pytest.raises(MalformedMessage, match=why):
        data_sets(block)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"", "begins with SOH or STX"),
        (b"abc", "begins with SOH or STX"),
        (b"\x02(1)", "ends with ETX"),
        (b"\x02(1)\x03\x00", "block check is 00"),
    ],
)
def test_broken_messages_say_what_is_wrong(message: bytes, why: str):
    with pytest.raises(MalformedMessage, match=why):
        checked_body(message, BlockCheck.XOR)


def test_a_command_is_no_data_and_data_no_command():
    command = encode_command(Command("R1", (DataSet("1.8.0", ""),)))
    with pytest.raises(MalformedMessage):
        decode_data(command)
    with pytest.raises(MalformedMessage):
        decode_command(published("iec-neva-power", "rx"))
    nameless = b"\x01ABC\x03"
    with pytest.raises(MalformedMessage, match="letter and a digit"):
        decode_command(nameless + bytes([BlockCheck.XOR.of(nameless[1:])]))


@pytest.mark.parametrize("name", ["R", "R11", "!1", "é1"])
def test_a_command_has_two_letters(name: str):
    with pytest.raises(ValueError, match="letter and a digit"):
        encode_command(Command(name))


def test_brackets_within_a_value_are_refused_and_units_written():
    with pytest.raises(ValueError, match="cannot be written"):
        encode_command(Command("W1", (DataSet("1.8.0", "a(b"),)))
    written = encode_command(Command("W1", (DataSet("0.2.0", "5", "s"),)))
    assert decode_command(written).data == (DataSet("0.2.0", "5", "s"),)


def test_a_password_shows_in_no_text():
    assert "77777" not in repr(Command("P1", (DataSet("", "777777"),)))


def test_a_stream_becomes_a_message_or_says_that_it_cannot():
    message = published("iec-neva-power", "rx")
    for cut in range(len(message)):
        assert whole_message(message[:cut]) is None
    assert whole_message(message + b"more") == message
    with pytest.raises(MalformedMessage, match="begins with 41"):
        whole_message(b"A")
    with pytest.raises(MalformedMessage, match="no end"):
        whole_message(b"\x02" + bytes([0x41]) * MESSAGE_MAX_BYTES)


@given(st.binary(max_size=30))
def test_parity_is_dropped_or_found_wrong(data: bytes):
    plain = bytes(byte & 0x7F for byte in data)
    with_parity = bytes(byte | (byte.bit_count() % 2) << 7 for byte in plain)
    assert without_parity(plain) == plain
    assert without_parity(with_parity) == plain
    if any(byte >= 0x80 for byte in with_parity):
        broken = bytearray(with_parity)
        broken[0] ^= 0x01
        if any(byte >= 0x80 for byte in broken):
            with pytest.raises(MalformedMessage, match="parity"):
                without_parity(bytes(broken))


def test_fuzzed_bytes_crash_nothing_and_pass_only_whole():
    chance = random.Random(62056)
    seeds = [published(ident, way) for ident in PUBLISHED for way in ("tx", "rx")]
    seeds = [seed for seed in seeds if seed]
    for _ in range(FUZZED):
        fuzzed = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 3)):
            fuzzed[chance.randrange(len(fuzzed))] = chance.randrange(256)
        refused_or_whole(bytes(fuzzed))


def refused_or_whole(fuzzed: bytes) -> None:
    try:
        match fuzzed[:1]:
            case b"\x01":
                decode_command(fuzzed)
            case b"\x02":
                decode_data(fuzzed)
            case _:
                identification(fuzzed)
                return
    except MalformedMessage:
        return
    assert fuzzed[-1] == BlockCheck.XOR.of(fuzzed[1:-1])
