"""A captured frame of a Milur meter in plain words: for people who look at a line."""

from collections.abc import Sequence
from typing import TypeAlias

from protocols.milur.frame import READ, REFUSED, Value, current, decode_frame, value_of

Rows: TypeAlias = Sequence[tuple[str, str]]

HIDDEN = "hidden"
_CURRENT_L3 = 105  # the only parameter whose meaning is published beside a frame


def explain(data: bytes, *, show_secrets: bool = False) -> Rows:
    """What a frame says, as name and text. Raises MalformedFrame."""
    frame = decode_frame(data)
    rows = [
        ("frame", "Milur, CRC right"),
        ("address", str(frame.address)),
        ("command", f"{frame.command:02x} {'read' if frame.command == READ else ''}".rstrip()),
    ]
    if frame.command & REFUSED:
        return [*rows, ("role", "reply, refused"), ("reason", frame.content.hex(" "))]
    if (value := value_of(frame)) is not None:
        return [*rows, ("role", "reply"), ("parameter", str(value.parameter)), *_told(value)]
    if frame.command == READ:
        return [*rows, ("role", "request"), ("parameter", str(frame.content[0]))]
    # Others open a session with a password, or write.
    shown = frame.content.hex(" ") if show_secrets else f"{len(frame.content)} bytes, {HIDDEN}"
    return [*rows, ("data", shown)]


def _told(value: Value) -> Rows:
    rows = [("data", value.raw.hex(" "))]
    if value.parameter == _CURRENT_L3:
        try:
            rows.append(("current L3", f"{current(value)} A"))
        except ValueError as error:
            rows.append(("malformed", str(error)))
    return rows
