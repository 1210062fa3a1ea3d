"""Opening a conversation (IEC 62056-21, 6.3.1 to 6.3.3): request, identification, option select."""

from dataclasses import dataclass
from enum import IntEnum, unique

from protocols.iec62056_21.characters import (
    ACK,
    LINE_END,
    SPEEDS,
    Mode,
    mode_of,
    speed_of,
    text,
)
from protocols.iec62056_21.errors import MalformedMessage

ADDRESS_MAX = 32
IDENT_MAX = 16
IDENTIFICATION_MAX_BYTES = 1 + 3 + 1 + 2 * IDENT_MAX + len(LINE_END)


@unique
class Option(IntEnum):
    """What is wanted after the identification: the mode control character Y."""

    READ_OUT = 0
    PROGRAMMING = 1
    BINARY = 2


@dataclass(frozen=True, slots=True)
class Identification:
    """Who answered. `reaction_s`: the meter's shortest reaction time; `ident`: the maker's text."""

    maker: str
    speed_character: str
    ident: str

    @property
    def mode(self) -> Mode:
        """How the speed is changed."""
        return mode_of(self.speed_character)

    @property
    def speed(self) -> int | None:
        """The baud it offers, None: it stays."""
        return speed_of(self.speed_character)

    @property
    def reaction_s(self) -> float:
        """A small third letter of the maker means 20 ms instead of 200 (6.3.2)."""
        return 0.02 if self.maker[2].islower() else 0.2


def request(address: str = "") -> bytes:
    """`/?address!`: empty for the only meter on the line.

    Raises ValueError for an address that is longer than 32 or has other characters than letters,
    digits and spaces.
    """
    plain = address.replace(" ", "")
    if len(address) > ADDRESS_MAX or (plain and not (plain.isascii() and plain.isalnum())):
        raise ValueError("an address has at most 32 letters, digits or spaces")
    return b"/?" + address.encode("ascii") + b"!" + LINE_END


def identification(line: bytes) -> Identification:
    """Read `/XXXZident`. Raises MalformedMessage."""
    if not line.startswith(b"/") or not line.endswith(LINE_END):
        raise MalformedMessage("an identification begins with / and ends with CR LF")
    if len(line) > IDENTIFICATION_MAX_BYTES:
        raise MalformedMessage(f"an identification of {len(line)} bytes")
    body = text(line[1 : -len(LINE_END)])
    if len(body) < 4 or not body[:3].isalpha():
        raise MalformedMessage("an identification names its maker by three letters")
    return Identification(body[:3], body[3], _plain(body[4:]))


def _plain(ident: str) -> str:
    r"""Without the escape sequences `\Wxy` of enhanced capabilities (6.3.2, 14)."""
    while ident.startswith("\\") and len(ident) >= 2:
        ident = ident[2:]
    return ident


def option_select(speed_character: str, option: Option) -> bytes:
    """`ACK 0 Z Y`: take this speed and go on so; binary goes by protocol 2 (HDLC, annex E)."""
    if speed_character not in SPEEDS:
        raise ValueError(f"{speed_character!r} is no speed of mode C")
    protocol = "2" if option is Option.BINARY else "0"
    return bytes([ACK]) + f"{protocol}{speed_character}{option:d}".encode("ascii") + LINE_END
