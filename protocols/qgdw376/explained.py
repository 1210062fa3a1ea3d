"""A captured Q/GDW 376.1 frame in plain words: for people who look at a concentrator's link."""

from collections.abc import Sequence
from typing import TypeAlias

from protocols.qgdw376.frame import Frame, decode_frame

Rows: TypeAlias = Sequence[tuple[str, str]]

HIDDEN = "hidden"
_LINK, _FORWARDED = 0x02, 0x10
_FUNCTIONS = {
    0x00: "confirm",
    0x01: "reset",
    _LINK: "link",
    0x04: "set parameters",
    0x05: "control",
    0x0A: "query parameters",
    0x0C: "present data",
    0x0D: "history",
    0x0E: "events",
    _FORWARDED: "data forwarded",
}
_LINK_FUNCTIONS = {1: "login", 2: "logout", 3: "heartbeat"}
# They carry a password of the terminal at their end.
_SECRET = (0x01, 0x04, 0x05, _FORWARDED)


def explain(data: bytes, *, show_secrets: bool = False) -> Rows:
    """What a frame says, as name and text. Raises MalformedFrame."""
    frame = decode_frame(data)
    way = "uplink, from the concentrator" if frame.uplink else "downlink, to the concentrator"
    return [
        ("frame", "Q/GDW 376.1, sum right"),
        ("way", way),
        ("role", "asks" if frame.initiated else "answers"),
        ("link function", str(frame.function)),
        ("region", frame.region),
        ("terminal", f"{frame.terminal:04x}"),
        ("master", str(frame.master)),
        ("application function", f"{frame.afn:02x} {_FUNCTIONS.get(frame.afn, 'unknown')}"),
        ("sequence", f"{frame.seq:02x}"),
        *_unit(frame, show=show_secrets),
    ]


def _unit(frame: Frame, *, show: bool) -> Rows:
    unit = frame.unit
    if unit is None:
        return [("data", frame.data.hex(" "))] if frame.data else []
    points, functions = unit
    told = [f"F{one}" for one in functions]
    if frame.afn == _LINK:
        told = [f"F{one} {_LINK_FUNCTIONS.get(one, 'unknown')}" for one in functions]
    rows = [
        ("points", ", ".join(f"p{point}" for point in points) or "none"),
        ("functions", ", ".join(told) or "none"),
    ]
    rest = frame.data[4:]
    if not rest:
        return rows
    hidden = frame.afn in _SECRET and not show
    return [*rows, ("data", f"{len(rest)} bytes, {HIDDEN}" if hidden else rest.hex(" "))]
