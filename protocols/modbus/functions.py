"""The rarer functions in plain words (Modbus application protocol V1.1b3, 6.7-6.21).

Whether a message is a request or a reply shows by its shape; where a reply echoes its request it
can be either. What a request writes to registers is told apart, so that a caller can hide it.
Knows nothing of frames around the message.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from protocols.modbus.blocks import Span

Rows: TypeAlias = Sequence[tuple[str, str]]
REQUEST, REPLY, EITHER = "request", "reply", "request, or the reply that echoes it"


class Inconsistent(ValueError):
    """Counts and lengths of a message contradict each other; the text says which."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a message says; `secret` are the rows of registers written at `written`."""

    role: str
    rows: Rows
    written: Span | None = None
    secret: Rows = ()


def explained(pdu: bytes) -> Told | None:
    """What a message says, from its function code on; None for a function that is not told here.

    Raises Inconsistent.
    """
    teller = _TELLERS.get(pdu[0]) if pdu else None
    return None if teller is None else teller(pdu[1:])


def _number(body: bytes, at: int) -> int:
    return int.from_bytes(body[at : at + 2])


def _at(address: int) -> str:
    return f"{address:#06x} ({address})"


def _words(data: bytes) -> str:
    return data.hex(" ", 2)


def _need(fits: bool, why: str) -> None:
    if not fits:
        raise Inconsistent(why)


def _counted(body: bytes, what: str = "byte count") -> bytes:
    """What follows a count of bytes."""
    _need(len(body) - 1 == body[0], f"the {what} is {body[0]}, {len(body) - 1} bytes follow")
    return body[1:]


# --- states and diagnostics -----------------------------------------------------------------------


def _exception_status(body: bytes) -> Told:
    if not body:
        return Told(REQUEST, ())
    _need(len(body) == 1, f"the status is one byte, not {len(body)}")
    return Told(REPLY, [("outputs 7 to 0", f"{body[0]:08b}")])


_DIAGNOSTICS = {
    0: "return this data",
    1: "restart communication",
    2: "return the diagnostic register",
    3: "change the delimiter of ASCII messages",
    4: "listen only, and answer nothing more",
    10: "clear counters and the diagnostic register",
    11: "count of messages on the line",
    12: "count of messages with a wrong CRC",
    13: "count of exceptions that it answered",
    14: "count of messages to it",
    15: "count of messages that it did not answer",
    16: "count of NAK that it answered",
    17: "count of busy that it answered",
    18: "count of messages longer than it takes",
    20: "clear the overrun counter",
}
_COUNTERS = range(11, 19)


def _diagnostics(body: bytes) -> Told:
    _need(len(body) >= 4 and len(body) % 2 == 0, "a sub-function and whole registers must follow")
    code = _number(body, 0)
    _need(code == 0 or len(body) == 4, f"sub-function {code} has one register of data")
    rows = [("sub-function", f"{code} {_DIAGNOSTICS.get(code, 'reserved')}")]
    value = _number(body, 2)
    if code in _COUNTERS and value:
        return Told(REPLY, [*rows, ("counter", str(value))])
    if code == 2 and value:
        return Told(REPLY, [*rows, ("diagnostic register", f"{value:016b}")])
    if code == 4:
        return Told(REQUEST, rows)
    return Told(EITHER, [*rows, ("data", _words(body[2:]))])


def _event_counter(body: bytes) -> Told:
    if not body:
        return Told(REQUEST, ())
    _need(len(body) == 4, f"status and counter are 4 bytes, not {len(body)}")
    return Told(REPLY, [*_busy(body), ("events", str(_number(body, 2)))])


def _busy(body: bytes) -> Rows:
    known = {0: "ready", 0xFFFF: "busy with a program command"}
    status = _number(body, 0)
    return [("status", f"{status:#06x} {known.get(status, 'reserved')}")]


def _event_log(body: bytes) -> Told:
    if not body:
        return Told(REQUEST, ())
    data = _counted(body)
    _need(len(data) >= 6, f"status and counters are 6 bytes, not {len(data)}")
    counts = [("events", str(_number(data, 2))), ("messages", str(_number(data, 4)))]
    return Told(REPLY, [*_busy(data), *counts, ("newest first", data[6:].hex(" "))])


def _server_id(body: bytes) -> Told:
    if not body:
        return Told(REQUEST, ())
    data = _counted(body)
    _need(bool(data), "an identifier must follow")
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
    return Told(REPLY, [("identifier and run indicator", data.hex(" ")), ("as text", text)])


# --- files ----------------------------------------------------------------------------------------

_GROUP = 7
_REFERENCE = 6


def _read_file(body: bytes) -> Told:
    _need(bool(body), "a byte count must follow")
    data = _counted(body)
    groups = [data[at : at + _GROUP] for at in range(0, len(data), _GROUP)]
    if groups and all(len(group) == _GROUP and group[0] == _REFERENCE for group in groups):
        return Told(REQUEST, [row for group in groups for row in _record(group)])
    rows = []
    while data:
        size = data[0]
        _need(len(data) > size >= 1 and size % 2 == 1, f"a record of {size} bytes does not fit")
        _need(data[1] == _REFERENCE, f"reference type {data[1]} is not 6")
        rows.append(("record data", _words(data[2 : size + 1])))
        data = data[size + 1 :]
    _need(bool(rows), "no record follows")
    return Told(REPLY, rows)


def _write_file(body: bytes) -> Told:
    _need(bool(body), "a byte count must follow")
    data = _counted(body)
    rows: list[tuple[str, str]] = []
    while data:
        _need(
            len(data) >= _GROUP and data[0] == _REFERENCE, "a record begins with reference type 6"
        )
        end = _GROUP + 2 * _number(data, 5)
        _need(len(data) >= end, f"a record of {end} bytes does not fit")
        rows += [*_record(data), ("record data", _words(data[_GROUP:end]))]
        data = data[end:]
    _need(bool(rows), "no record follows")
    return Told(EITHER, rows)


def _record(group: bytes) -> Rows:
    where = f"file {_number(group, 1)}, from record {_number(group, 3)}"
    return [("record", f"{where}, {_number(group, 5)} registers")]


# --- registers ------------------------------------------------------------------------------------


def _mask_write(body: bytes) -> Told:
    _need(len(body) == 6, f"address and two masks are 6 bytes, not {len(body)}")
    masks = [("and mask", f"{_number(body, 2):04x}"), ("or mask", f"{_number(body, 4):04x}")]
    address = _number(body, 0)
    return Told(EITHER, [("address", _at(address))], Span(address, 1), masks)


_READ_MAX, _WRITE_MAX = 125, 121


def _read_and_write(body: bytes) -> Told:
    _need(bool(body), "more must follow")
    count, written = _number(body, 2), _number(body, 6)
    if len(body) < 11 or body[8] != 2 * written or len(body) != 9 + 2 * written:
        data = _counted(body)
        _need(len(data) % 2 == 0 and bool(data), f"{len(data)} bytes are no whole registers")
        return Told(REPLY, [("count", str(len(data) // 2)), ("registers", _words(data))])
    _need(1 <= count <= _READ_MAX, f"{count} registers cannot be read at once")
    _need(1 <= written <= _WRITE_MAX, f"{written} registers cannot be written at once")
    rows = [
        ("read address", _at(_number(body, 0))),
        ("read count", str(count)),
        ("write address", _at(_number(body, 4))),
        ("write count", str(written)),
    ]
    span = Span(_number(body, 4), written)
    return Told(REQUEST, rows, span, [("registers", _words(body[9:]))])


_FIFO_MAX = 31


def _queue(body: bytes) -> Told:
    if len(body) == 2:
        return Told(REQUEST, [("address", _at(_number(body, 0)))])
    _need(len(body) >= 4, "an address, or counts, must follow")
    told, count = _number(body, 0), _number(body, 2)
    _need(told == len(body) - 2, f"the byte count is {told}, {len(body) - 2} bytes follow")
    _need(told == 2 + 2 * count, f"{count} registers do not fill {told} bytes")
    _need(count <= _FIFO_MAX, f"a queue tells {_FIFO_MAX} registers at most, not {count}")
    return Told(REPLY, [("count", str(count)), ("registers", _words(body[4:]))])


# --- identification -------------------------------------------------------------------------------

_DEVICE_IDENTIFICATION = 0x0E
_ACCESS = {1: "basic", 2: "regular", 3: "extended", 4: "one object"}
_OBJECTS = {
    0: "vendor",
    1: "product code",
    2: "revision",
    3: "vendor URL",
    4: "product name",
    5: "model name",
    6: "application name",
}


def _interface(body: bytes) -> Told:
    _need(len(body) >= 1, "an interface type must follow")
    kind = ("interface", f"{body[0]:#04x} {_interface_name(body[0])}")
    if body[0] != _DEVICE_IDENTIFICATION:
        return Told(EITHER, [kind, ("data", body[1:].hex(" "))])
    _need(len(body) >= 3 and body[1] in _ACCESS, "an access of 1 to 4 and an object must follow")
    rows = [kind, ("access", f"{body[1]} {_ACCESS[body[1]]}")]
    if len(body) == 3:
        return Told(REQUEST, [*rows, ("from object", _object_name(body[2]))])
    _need(len(body) >= 6, "conformity, what follows and a count must follow")
    more = f"yes, from object {body[4]}" if body[3] else "no"
    rows += [("conformity", f"{body[2]:#04x}"), ("more follows", more)]
    return Told(REPLY, [*rows, *_objects(body[5], body[6:])])


def _interface_name(code: int) -> str:
    return {0x0D: "CANopen", 0x0E: "device identification"}.get(code, "reserved")


def _object_name(number: int) -> str:
    return f"{number} {_OBJECTS.get(number, '')}".rstrip()


def _objects(count: int, data: bytes) -> Rows:
    rows = []
    for _ in range(count):
        _need(len(data) >= 2 and len(data) >= 2 + data[1], "an object ends before its length")
        raw = data[2 : 2 + data[1]]
        text = raw.decode("ascii") if raw.isascii() and raw.decode().isprintable() else raw.hex(" ")
        rows.append((f"object {_object_name(data[0])}", text))
        data = data[2 + data[1] :]
    _need(not data, f"{len(data)} bytes follow the last object")
    return rows


_TELLERS: Mapping[int, Callable[[bytes], Told]] = {
    0x07: _exception_status,
    0x08: _diagnostics,
    0x0B: _event_counter,
    0x0C: _event_log,
    0x11: _server_id,
    0x14: _read_file,
    0x15: _write_file,
    0x16: _mask_write,
    0x17: _read_and_write,
    0x18: _queue,
    0x2B: _interface,
}
