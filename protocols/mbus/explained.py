"""A captured M-Bus frame in plain words: for people who look at a line."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from protocols.mbus.frame import Frame, decode_frame
from protocols.mbus.records import LONG_HEADER, Header, MalformedData, Record, told

Rows: TypeAlias = Sequence[tuple[str, str]]

_CONTROLS = {
    0x40: "wake up (SND_NKE)",
    0x53: "send (SND_UD)",
    0x73: "send (SND_UD)",
    0x5A: "ask for alarms (REQ_UD1)",
    0x7A: "ask for alarms (REQ_UD1)",
    0x5B: "ask for data (REQ_UD2)",
    0x7B: "ask for data (REQ_UD2)",
    0x08: "reply (RSP_UD)",
    0x18: "reply, access demanded",
    0x28: "reply, busy",
    0x38: "reply, busy, access demanded",
}
_MEDIA = {
    0: "other",
    1: "oil",
    2: "electricity",
    3: "gas",
    4: "heat (outlet)",
    5: "steam",
    6: "hot water",
    7: "water",
    8: "heat cost",
    10: "cooling (outlet)",
    11: "cooling (inlet)",
    12: "heat (inlet)",
    13: "heat and cooling",
    21: "hot water",
    22: "cold water",
}


def explain(data: bytes) -> Rows:
    """What a frame says, as name and text. Raises MalformedFrame."""
    frame = decode_frame(data)
    if frame is None:
        return [("frame", "M-Bus"), ("role", "acknowledged")]
    rows = [
        ("frame", "M-Bus, sum right"),
        ("control", f"{frame.control:02x} {_CONTROLS.get(frame.control, 'unknown')}"),
        ("address", str(frame.address)),
    ]
    if frame.information is not None:
        rows.append(("information", f"{frame.information:02x}"))
    try:
        return [*rows, *_content(frame)]
    except MalformedData as error:
        return [*rows, ("data", frame.data.hex(" ")), ("malformed", str(error))]


def _content(frame: Frame) -> Rows:
    if frame.information != LONG_HEADER:
        return [("data", frame.data.hex(" "))] if frame.data else []
    found = told(frame.data)
    rows = [*_header(found.header), *(_row(record) for record in found.records)]
    if found.maker_data:
        rows.append(("maker's own", found.maker_data.hex(" ")))
    return [*rows, ("more follows", "yes")] if found.more else rows


def _header(header: Header) -> Rows:
    return [
        ("meter", header.ident),
        ("maker", header.manufacturer),
        ("version", str(header.version)),
        ("medium", f"{header.medium} {_MEDIA.get(header.medium, 'unknown')}"),
        ("access number", str(header.access)),
        ("status", f"{header.status:02x}"),
    ]


def _row(record: Record) -> tuple[str, str]:
    name = (
        record.unit.name if record.function == "now" else f"{record.unit.name}, {record.function}"
    )
    if record.storage:
        name += f", storage {record.storage}"
    if record.tariff:
        name += f", tariff {record.tariff}"
    value = record.value
    if value is None:
        return name, record.raw.hex(" ") if record.raw else "nothing"
    if isinstance(value, datetime):
        return name, f"{value:%Y-%m-%d %H:%M} (the meter's own time)"
    text = f"{value:f}" if isinstance(value, Decimal) else str(value)
    return name, f"{text} {record.unit.unit}".strip()
