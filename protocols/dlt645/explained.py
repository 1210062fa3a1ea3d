"""A captured DL/T 645 frame in plain words: for people who look at a line."""

from collections.abc import Sequence
from datetime import UTC
from typing import TypeAlias

from protocols.dlt645.data import (
    IDENTIFIER_BYTES,
    QUANTITIES,
    QUANTITIES_1997,
    meter_address,
    read_answer,
    refusal,
    time_of,
)
from protocols.dlt645.errors import MalformedData
from protocols.dlt645.frame import BROADCAST_ADDRESS, Frame, Function, decode_frame
from protocols.dlt645.orders import SIGNED_CLASS, Control
from protocols.dlt645.status import EVENT_LOGS, STATUS_WORD_3, supply_status

Rows: TypeAlias = Sequence[tuple[str, str]]

HIDDEN = "hidden"
_ACCESS_BYTES = 8
_READS = (Function.READ, Function.READ_NEXT, Function.READ_1997, Function.READ_NEXT_1997)


def explain(data: bytes, *, show_secrets: bool = False) -> Rows:
    """What a frame says, as name and text. Raises MalformedFrame."""
    frame = decode_frame(data)
    rows = [
        ("frame", "DL/T 645, sum right"),
        ("address", _address(frame.address)),
        ("function", f"{frame.function:02x} {_name(frame.function)}"),
        ("role", _role(frame)),
    ]
    try:
        return [*rows, *_content(frame, show=show_secrets)]
    except MalformedData as error:
        return [*rows, ("data", frame.data.hex(" ")), ("malformed", str(error))]


def _address(address: str) -> str:
    if address == BROADCAST_ADDRESS:
        return f"{address} (all meters)"
    return f"{address} (any meter)" if "A" in address else address


def _name(function: int) -> str:
    known = {member.value: member.name for member in Function}
    return known.get(function, "unknown").lower().replace("_", " ")


def _role(frame: Frame) -> str:
    if not frame.reply:
        return "request"
    if frame.error:
        return "reply, refused"
    return "reply, more follows" if frame.more else "reply"


def _content(frame: Frame, *, show: bool) -> Rows:
    if frame.reply and frame.error:
        bits = [bit.name or "" for bit in refusal(frame)]
        return [("reason", ", ".join(bits).lower().replace("_", " ") or "none told")]
    if frame.function in _READS:
        return _read_rows(frame)
    if frame.function == Function.READ_ADDRESS and frame.reply:
        return [("meter", meter_address(frame))]
    if frame.function == Function.BROADCAST_TIME:
        return [("time", _time(frame.data))]
    if frame.function == Function.CONTROL and not frame.reply:
        return _control_rows(frame.data, show=show)
    if frame.function == Function.WRITE and not frame.reply:
        return _write_rows(frame.data, show=show)
    if not frame.data:
        return []
    return [("data", frame.data.hex(" ") if show else f"{len(frame.data)} bytes, {HIDDEN}")]


def _read_rows(frame: Frame) -> Rows:
    if not frame.reply:
        return [("identifier", _identifier(frame.data[:IDENTIFIER_BYTES][::-1].hex().upper()))]
    answer = read_answer(frame)
    rows = [("identifier", _identifier(answer.identifier)), ("data", answer.value.hex(" "))]
    quantity = QUANTITIES.get(answer.identifier) or QUANTITIES_1997.get(answer.identifier)
    if quantity is not None and not answer.more:
        value = quantity.value(answer.value)
        told = "not available" if value is None else f"{value} {quantity.unit}".strip()
        rows.append(("value", told))
    if answer.identifier == STATUS_WORD_3:
        status = supply_status(answer.value)
        rows.append(("relay", "open" if status.relay_open else "closed"))
        rows.append(("ordered", "open" if status.open_ordered else "closed"))
    return rows


def _identifier(identifier: str) -> str:
    quantity = QUANTITIES.get(identifier) or QUANTITIES_1997.get(identifier)
    if quantity is not None:
        return f"{identifier} {quantity.name}"
    log = next((log for log in EVENT_LOGS if identifier.startswith(log.prefix)), None)
    return f"{identifier} {log.name.replace('_', ' ')}" if log is not None else identifier


def _access_rows(data: bytes, *, show: bool) -> Rows:
    if len(data) < _ACCESS_BYTES:
        raise MalformedData("too short for a password and an operator")
    password = data[1:4][::-1].hex() if show else HIDDEN
    operator = data[4:_ACCESS_BYTES][::-1].hex()
    return [
        ("password class", f"{data[0]:02x}"),
        ("password", password),
        ("operator", operator),
    ]


def _control_rows(data: bytes, *, show: bool) -> Rows:
    rows = _access_rows(data, show=show)
    if data[0] == SIGNED_CLASS:
        return [*rows[:1], ("data", f"{len(data) - 1} bytes made by a security module")]
    known = {member.value: member.name for member in Control}
    if len(data) < _ACCESS_BYTES + 8:
        raise MalformedData("too short for an order")
    order = known.get(data[_ACCESS_BYTES], "unknown").lower().replace("_", " ")
    return [
        *rows,
        ("order", f"{data[_ACCESS_BYTES]:02x} {order}"),
        ("valid until", _time(data[_ACCESS_BYTES + 2 : _ACCESS_BYTES + 8])),
    ]


def _write_rows(data: bytes, *, show: bool) -> Rows:
    identifier = _identifier(data[:IDENTIFIER_BYTES][::-1].hex().upper())
    rows = _access_rows(data[IDENTIFIER_BYTES:], show=show)
    written = data[IDENTIFIER_BYTES + _ACCESS_BYTES :].hex(" ")
    return [("identifier", identifier), *rows, ("data", written if show else HIDDEN)]


def _time(data: bytes) -> str:
    moment = time_of(data, UTC)
    return "none" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} (the meter's own time)"
