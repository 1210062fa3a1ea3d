"""A captured IEC 62056-21 message in plain words: for people who look at a line."""

from collections.abc import Sequence
from typing import TypeAlias

from protocols.iec62056_21.characters import (
    ACK,
    LINE_END,
    NAK,
    SOH,
    STX,
    BlockCheck,
    speed_of,
    without_parity,
)
from protocols.iec62056_21.errors import MalformedMessage
from protocols.iec62056_21.messages import DataSet, decode_command, decode_data
from protocols.iec62056_21.sign_on import identification

Rows: TypeAlias = Sequence[tuple[str, str]]

HIDDEN = "hidden"
_COMMANDS = {
    "P0": "the meter asks for a password (its operand)",
    "P1": "password",
    "P2": "password, ciphered",
    "R1": "read",
    "R2": "read formatted",
    "R5": "read formatted",
    "R6": "read in blocks",
    "W1": "write",
    "W2": "write formatted",
    "W5": "write formatted",
    "E2": "execute",
    "B0": "end of the conversation",
}
_SECRET = frozenset({"P1", "P2", "W1", "W2", "W5"})
_OPTIONS = {"0": "read out", "1": "programming", "2": "binary (HDLC)"}


def explain(data: bytes, *, show_secrets: bool = False) -> Rows:
    """What a message says, as name and text. Raises MalformedMessage."""
    plain = without_parity(data)
    if not plain:
        raise MalformedMessage("no bytes")
    if plain in (bytes([ACK]), bytes([NAK])):
        return [("message", "acknowledged" if plain[0] == ACK else "not understood, repeat")]
    match plain[0]:
        case _ if plain.startswith(b"/?"):
            return _request_rows(plain)
        case 0x2F:
            return _identification_rows(plain)
        case code if code == ACK:
            return _option_rows(plain)
        case code if code == SOH:
            return _command_rows(plain, show=show_secrets)
        case code if code == STX:
            return _data_rows(plain)
        case code:
            raise MalformedMessage(f"no message begins with {code:02x}")


def _request_rows(plain: bytes) -> Rows:
    if not plain.endswith(b"!" + LINE_END):
        raise MalformedMessage("a request ends with ! CR LF")
    address = plain[2:-3].decode("ascii")
    return [("message", "request"), ("address", address or "whoever is there")]


def _identification_rows(plain: bytes) -> Rows:
    who = identification(plain)
    speed = "as it is" if who.speed is None else f"{who.speed} baud"
    return [
        ("message", "identification"),
        ("maker", who.maker),
        ("meter", who.ident),
        ("mode", who.mode.value),
        ("speed", f"{who.speed_character} ({speed})"),
    ]


def _option_rows(plain: bytes) -> Rows:
    body = plain[1 : -len(LINE_END)].decode("ascii")
    if len(body) != 3 or not plain.endswith(LINE_END):
        raise MalformedMessage("an option select has three characters and CR LF")
    speed = speed_of(body[1])
    return [
        ("message", "option select"),
        ("speed", f"{body[1]} ({'as it is' if speed is None else f'{speed} baud'})"),
        ("option", f"{body[2]} {_OPTIONS.get(body[2], 'unknown')}"),
    ]


def _command_rows(plain: bytes, *, show: bool) -> Rows:
    check = _check_of(plain)
    command = decode_command(plain, check)
    hide = command.name in _SECRET and not show
    return [
        ("message", f"command {command.name}, {_COMMANDS.get(command.name, 'unknown')}"),
        ("block check", f"right ({check})"),
        *(_set_row(one, hide=hide) for one in command.data),
    ]


def _data_rows(plain: bytes) -> Rows:
    check = _check_of(plain)
    return [
        ("message", "data"),
        ("block check", f"right ({check})"),
        *(_set_row(one, hide=False) for one in decode_data(plain, check)),
    ]


def _check_of(plain: bytes) -> BlockCheck:
    """The sum of one maker where it fits and the standard's check does not."""
    checked = plain[1:-1]
    fits = plain[-1] != BlockCheck.XOR.of(checked) and plain[-1] == BlockCheck.SUM7.of(checked)
    return BlockCheck.SUM7 if fits else BlockCheck.XOR


def _set_row(one: DataSet, *, hide: bool) -> tuple[str, str]:
    value = HIDDEN if hide else f"{one.value} {one.unit}".strip()
    return (one.address or "value", value)
