"""Opening an IEC 62056-21 conversation."""

import pytest

from protocols.iec62056_21.characters import Mode
from protocols.iec62056_21.errors import MalformedMessage
from protocols.iec62056_21.sign_on import (
    Identification,
    Option,
    identification,
    option_select,
    request,
)
from tests.vectors.field_frames import VECTORS, published


@pytest.mark.parametrize(
    ("ident", "mode", "speed"),
    [
        ("iec-neva-hello", Mode.C, 9600),
        ("iec-ce102m-hello", Mode.C, 9600),
        ("iec-drs155m-hello", Mode.A, None),
    ],
)
def test_published_identifications(ident: str, mode: Mode, speed: int | None):
    who = identification(published(ident))
    told = VECTORS[ident]["decode"]
    assert who.maker == told["maker"]
    assert (who.mode, who.speed) == (mode, speed)
    assert who.ident == told.get("ident", who.ident)


@pytest.mark.parametrize("ident", ["iec-neva-hello", "iec-ce102m-hello"])
def test_the_request_is_the_published_one(ident: str):
    asked = published(ident, "tx")
    assert request(asked[2:-3].decode()) == asked


def test_a_request_without_address_goes_to_the_only_meter():
    assert request() == b"/?!\r\n"


@pytest.mark.parametrize("address", ["1" * 33, "a!b", "Zähler"])
def test_other_addresses_are_refused(address: str):
    with pytest.raises(ValueError, match="at most 32 letters"):
        request(address)


def test_mode_b_changes_over_untold_and_small_letters_are_quick():
    who = identification(b"/ABcBmeter\r\n")
    assert (who.mode, who.speed, who.reaction_s) == (Mode.B, 1200, 0.02)
    assert identification(b"/ABC5meter\r\n").reaction_s == 0.2


def test_escape_sequences_are_no_part_of_the_name():
    assert identification(b"/LGZ5\\2ZMD120\r\n") == Identification("LGZ", "5", "ZMD120")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"/ABC5x",
        b"ABC5x\r\n",
        b"/AB\r\n",
        b"/1BC5x\r\n",
        b"/ABC5\x00\r\n",
        b"/ABC5" + b"x" * 60 + b"\r\n",
    ],
)
def test_what_names_no_meter_is_malformed(line: bytes):
    with pytest.raises(MalformedMessage):
        identification(line)


def test_the_option_tells_protocol_speed_and_mode():
    assert option_select("5", Option.READ_OUT) == b"\x06050\r\n"
    assert option_select("5", Option.PROGRAMMING) == b"\x06051\r\n"
    assert option_select("4", Option.BINARY) == b"\x06242\r\n"
    with pytest.raises(ValueError, match="no speed"):
        option_select(":", Option.READ_OUT)
