"""A captured frame of a Mercury 200 in plain words: for people who look at a line."""

from collections.abc import Sequence
from typing import TypeAlias

from protocols.mercury200.frame import ENERGY, PRESENT, Frame, decode_frame, energies, present

Rows: TypeAlias = Sequence[tuple[str, str]]

_NAMES = {ENERGY: "energy", PRESENT: "voltage, current, power"}


def explain(data: bytes) -> Rows:
    """What a frame says, as name and text. Raises MalformedFrame."""
    frame = decode_frame(data)
    rows = [
        ("frame", "Mercury 200, CRC right"),
        ("address", frame.address),
        ("command", f"{frame.code:02x} {_NAMES.get(frame.code, 'unknown')}"),
        ("role", "reply, or an order" if frame.data else "request"),
    ]
    try:
        return [*rows, *_content(frame)]
    except ValueError as error:
        return [*rows, ("data", frame.data.hex(" ")), ("malformed", str(error))]


def _content(frame: Frame) -> Rows:
    if not frame.data:
        return []
    if frame.code == ENERGY:
        told = energies(frame.data)
        return [(f"energy, tariff {tariff}", f"{one} kWh") for tariff, one in enumerate(told, 1)]
    if frame.code == PRESENT:
        volts, amperes, watts = present(frame.data)
        return [("voltage", f"{volts} V"), ("current", f"{amperes} A"), ("power", f"{watts} W")]
    return [("data", frame.data.hex(" "))]
