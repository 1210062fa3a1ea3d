"""A captured CJ/T 188 frame in plain words: for people who look at a line."""

from collections.abc import Sequence
from datetime import UTC
from typing import TypeAlias

from protocols.cjt188.data import VALVE, MalformedData, metered
from protocols.cjt188.frame import Frame, Function, Identifier, decode_frame

Rows: TypeAlias = Sequence[tuple[str, str]]

_KINDS = {
    0x10: "cold water",
    0x11: "hot water",
    0x12: "drinking water",
    0x13: "grey water",
    0x20: "heat",
    0x21: "cold",
    0x30: "gas",
    0x40: "electricity",
}
_NAMES = {
    Identifier.METERED: "metered values",
    Identifier.VALVE: "valve",
    Identifier.ADDRESS: "address",
}


def explain(data: bytes) -> Rows:
    """What a frame says, as name and text. Raises MalformedFrame."""
    frame = decode_frame(data)
    functions = {member.value: member.name.lower().replace("_", " ") for member in Function}
    known = frame.known
    rows = [
        ("frame", "CJ/T 188, sum right"),
        ("type", f"{frame.kind:02x} {_KINDS.get(frame.kind, 'unknown')}"),
        ("address", frame.address),
        ("function", f"{frame.function:02x} {functions.get(frame.function, 'unknown')}"),
        ("role", ("reply, refused" if frame.error else "reply") if frame.reply else "request"),
        ("identifier", f"{frame.identifier.hex(' ')} {_NAMES[known] if known else 'unknown'}"),
        ("number", str(frame.ser)),
    ]
    try:
        return [*rows, *_content(frame, known)]
    except MalformedData as error:
        return [*rows, ("data", frame.data.hex(" ")), ("malformed", str(error))]


def _content(frame: Frame, known: Identifier | None) -> Rows:
    if not frame.data:
        return []
    if known is Identifier.VALVE and not frame.reply and len(frame.data) == 1:
        order = VALVE.get(frame.data[0], "unknown")
        return [("valve", f"{frame.data[0]:02x} {order}")]
    if known is Identifier.VALVE and frame.reply:
        return [("status", frame.data.hex(" "))]
    # Meters of heat tell more than this, in a layout of their own.
    if known is Identifier.METERED and frame.reply and frame.kind not in (0x20, 0x21):
        told = metered(frame.data, UTC)
        return [
            ("current", f"{told.current} {told.current_unit}"),
            ("settled", f"{told.settled} {told.settled_unit}"),
            ("time", f"{told.time:%Y-%m-%d %H:%M:%S} (the meter's own)" if told.time else "none"),
            ("status", told.status.hex(" ")),
        ]
    return [("data", frame.data.hex(" "))]
