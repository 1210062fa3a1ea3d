"""A captured frame of a Mercury 230 in plain words: for people who look at a line.

It does not say whether it is a request or a reply; where it may be both, both are told.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from protocols.mercury230.frame import (
    ENERGIES_BYTES,
    VALUE_BYTES,
    decode_frame,
    energies,
    value,
)

Rows: TypeAlias = Sequence[tuple[str, str]]

HIDDEN = "hidden"
_COMMANDS = {
    0x00: "test of the line",
    0x01: "open session",
    0x02: "close session",
    0x03: "write parameters",
    0x04: "read times",
    0x05: "read energy",
    0x06: "read memory",
    0x07: "write memory",
    0x08: "read parameters",
}
_OPEN, _WRITES = 0x01, (0x03, 0x07)
_OPEN_BYTES = 8
_STATES = {
    0: "done",
    1: "bad command or parameter",
    2: "internal meter error",
    3: "access level too low",
    4: "clock already corrected today",
    5: "session not open",
}
_ENERGIES = ("active import", "active export", "reactive import", "reactive export")


def explain(data: bytes, *, show_secrets: bool = False) -> Rows:
    """What a frame says, as name and text. Raises MalformedFrame."""
    frame = decode_frame(data)
    head = [("frame", "Mercury 230, CRC right"), ("address", str(frame.address))]
    return [
        *head,
        *_as_request(frame.content, show=show_secrets),
        *_as_reply(frame.content, show=show_secrets),
    ]


def _as_request(content: bytes, *, show: bool) -> Iterator[tuple[str, str]]:
    code, parameters = content[0], content[1:]
    if code == _OPEN and len(content) == _OPEN_BYTES:
        yield "as a request", "01 open session"
        yield "level", str(parameters[0])
        yield "password", parameters[1:].hex() if show else HIDDEN
    elif code in _COMMANDS and len(content) not in (_OPEN_BYTES, ENERGIES_BYTES):
        secret = code in _WRITES and not show
        told = HIDDEN if secret else parameters.hex(" ")
        yield "as a request", f"{code:02x} {_COMMANDS[code]} {told}".rstrip()


def _as_reply(content: bytes, *, show: bool) -> Iterator[tuple[str, str]]:
    match len(content):
        case 1:
            state = content[0] & 0x0F
            yield "as a reply", f"state {state}: {_STATES.get(state, 'unknown')}"
        case length if length == VALUE_BYTES:
            number, direction = value(content)
            yield "as a reply", f"value {number}, direction bits {direction:02b}"
        case length if length == ENERGIES_BYTES:
            units = ("Wh", "Wh", "varh", "varh")
            for name, unit, found in zip(_ENERGIES, units, energies(content), strict=True):
                yield name, "not available" if found is None else f"{found} {unit}"
        case length if length != _OPEN_BYTES or content[0] != _OPEN:
            # It may be what is written to a meter, a password among it.
            yield "as a reply", content.hex(" ") if show else f"{length} bytes, {HIDDEN}"
