"""A captured Modbus frame in plain words: for people who look at a line.

Serial (RTU) and TCP frames, requests and replies: reads and writes decoded by pymodbus, the rarer
functions by `protocols.modbus.functions`. What a token write carries is hidden unless it is asked
for.
"""

from collections.abc import Sequence
from typing import TypeAlias

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.framer.base import FramerBase
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.exceptionresponse import ExceptionResponse

from adapters.modbus.exceptions import error_of
from protocols.modbus.blocks import Span
from protocols.modbus.functions import Inconsistent, Told, explained
from protocols.modbus.registers import Encoding, NumberFormat, Order
from protocols.modbus.stsm import TOKEN_ENTRY

Rows: TypeAlias = Sequence[tuple[str, str]]

HIDDEN = "hidden"
_FUNCTIONS = {
    1: "read coils",
    2: "read discrete inputs",
    3: "read holding registers",
    4: "read input registers",
    5: "write one coil",
    6: "write one holding register",
    7: "read exception status",
    8: "diagnostics",
    11: "read the counter of communication events",
    12: "read the log of communication events",
    15: "write coils",
    16: "write holding registers",
    17: "report server identifier",
    20: "read file records",
    21: "write file records",
    22: "mask-write a holding register",
    23: "read and write holding registers",
    24: "read a queue of registers",
    43: "read device identification",
}
_ECHOED = frozenset({5, 6})
_MBAP_BYTES = 7


class NotModbus(ValueError):
    """The bytes are no whole Modbus frame; the text says why."""


def explain(data: bytes, *, show_secrets: bool = False) -> Rows:
    """What a frame says, as name and text. Raises NotModbus."""
    over_tcp = _is_tcp(data)
    pdu = _message(data, over_tcp=over_tcp)
    head = [("frame", "Modbus TCP" if over_tcp else "Modbus RTU, CRC right")]
    if over_tcp:
        head.append(("transaction", str(int.from_bytes(data[:2]))))
    head.append(("unit", str(data[6] if over_tcp else data[0])))
    if told := _told(pdu):
        return [*head, *_told_rows(pdu[0], told, show=show_secrets)]
    framer_class = FramerSocket if over_tcp else FramerRTU
    request = _decoded(framer_class(DecodePDU(is_server=True)), data)
    reply = _decoded(framer_class(DecodePDU(is_server=False)), data)
    found = request or reply
    if found is None:
        raise NotModbus(_why_not(data, over_tcp=over_tcp))
    if isinstance(found, ExceptionResponse):
        return [*head, *_exception_rows(found)]
    rows = [*head]
    rows.append(("function", f"{found.function_code} {_FUNCTIONS.get(found.function_code, '')}"))
    if found.function_code in _ECHOED:
        rows.append(("role", "request, or the reply that echoes it"))
    else:
        rows.append(("role", "request" if request is not None else "reply"))
    return [*rows, *_content_rows(found, is_request=request is not None, show=show_secrets)]


def _message(data: bytes, *, over_tcp: bool) -> bytes:
    """From the function code on, its counts checked; empty where no frame is whole."""
    serial = data[1:-2] if _whole(data) else b""
    pdu = data[_MBAP_BYTES:] if over_tcp else serial
    if pdu and not _fits(pdu):
        right = "" if over_tcp else "the CRC is right, but "
        function = pdu[0] & 0x7F
        raise NotModbus(f"{right}the counts of function {function} do not fit {len(pdu)} bytes")
    return pdu


def _fits(pdu: bytes) -> bool:
    """Lengths and byte counts of reads, writes and exceptions agree."""
    size = len(pdu)
    if pdu[0] & 0x80:
        return size == 2
    match pdu[0]:
        case 1 | 2 | 3 | 4:
            whole = pdu[0] < 3 or size % 2 == 0
            return size == 5 or (size > 2 and pdu[1] == size - 2 and whole)
        case 5 | 6:
            return size == 5
        case 15 | 16 if size != 5:
            count = int.from_bytes(pdu[3:5])
            due = 2 * count if pdu[0] == 16 else (count + 7) // 8
            return size > 6 and pdu[5] == size - 6 == due
    return True


def _told(pdu: bytes) -> Told | None:
    try:
        return explained(pdu)
    except Inconsistent as exc:
        raise NotModbus(f"function {pdu[0]}: {exc}") from exc


def _told_rows(function: int, told: Told, *, show: bool) -> Rows:
    rows = [("function", f"{function} {_FUNCTIONS[function]}"), ("role", told.role), *told.rows]
    if told.written is not None and _meets_token(told.written) and not show:
        return [*rows, *((name, f"{HIDDEN}: they enter a token") for name, _ in told.secret)]
    return [*rows, *told.secret]


def _is_tcp(data: bytes) -> bool:
    """A header that fits. Eight bytes may be a serial read as well, but nobody reads from all."""
    return (
        len(data) > _MBAP_BYTES
        and (len(data) > _MBAP_BYTES + 1 or (data[0] == 0 and not _whole(data)))
        and data[2:4] == b"\0\0"
        and int.from_bytes(data[4:6]) == len(data) - 6
    )


def _decoded(framer: FramerBase, data: bytes) -> ModbusPDU | None:
    # pymodbus finds a frame at the beginning of more, and says that it has used all of it.
    if isinstance(framer, FramerRTU) and not _whole(data):
        return None
    try:
        used, pdu = framer.handleFrame(data, 0, 0)
    except (ModbusException, ValueError, IndexError):
        return None
    if pdu is None or used != len(data):
        return None
    # A zero behind a frame leaves the CRC right: the length must be right as well.
    serial = isinstance(framer, FramerRTU) and pdu.function_code in _EXACT
    return None if serial and len(pdu.encode()) + _RTU_BYTES != len(data) else pdu


# Unit and function before, the CRC behind.
_RTU_BYTES = 4
_EXACT = frozenset({3, 4, 5, 6, 16, 0x83, 0x84, 0x85, 0x86, 0x90})


def _whole(data: bytes) -> bool:
    """The last two bytes are the CRC of all others."""
    return len(data) >= 4 and FramerRTU.compute_CRC(data[:-2]).to_bytes(2) == data[-2:]


def _why_not(data: bytes, *, over_tcp: bool) -> str:
    if over_tcp:
        return "a Modbus TCP header, but no function that fits its length"
    if len(data) < 4:
        return f"{len(data)} bytes are too few for a Modbus frame"
    told, right = data[-2:].hex(" "), FramerRTU.compute_CRC(data[:-2]).to_bytes(2).hex(" ")
    if told != right:
        return f"the CRC is {told}, the bytes give {right}; damaged, or cut short, or no Modbus"
    return f"the CRC is right, but function {data[1]} has another length"


def _exception_rows(found: ExceptionResponse) -> Rows:
    meaning = str(error_of(found.exception_code, "")).removeprefix(": ")
    function = found.function_code & 0x7F
    return [
        ("role", "reply, an exception"),
        ("function", f"{function} {_FUNCTIONS.get(function, '')}"),
        ("exception", f"{found.exception_code}: {meaning.partition(' (exception')[0]}"),
    ]


def _content_rows(found: ModbusPDU, *, is_request: bool, show: bool) -> Rows:
    rows: list[tuple[str, str]] = []
    if is_request or found.function_code in (5, 6, 15, 16):
        rows.append(("address", f"{found.address:#06x} ({found.address})"))
    words = list(found.registers)
    bits = list(found.bits)
    count = found.count or len(words) or len(bits)
    if count and found.function_code not in _ECHOED:
        rows.append(("count", str(count)))
    if words and not show and _is_token(found):
        return [*rows, ("registers", f"{HIDDEN}: they enter a token")]
    if words:
        rows.append(("registers", " ".join(f"{word:04x}" for word in words)))
        rows += _number_rows(words)
    if bits and not (is_request and found.function_code in (1, 2)):
        rows.append(("bits", "".join("1" if bit else "0" for bit in bits)))
    return rows


def _is_token(found: ModbusPDU) -> bool:
    """A write that reaches into the token entry of an STSM meter."""
    if found.function_code not in (6, 16):
        return False
    return _meets_token(Span(found.address, max(1, len(found.registers))))


def _meets_token(written: Span) -> bool:
    return written.start < TOKEN_ENTRY.end and TOKEN_ENTRY.start < written.end


_GUESSES = {
    1: (("u16", Encoding.U16, Order.ABCD), ("s16", Encoding.S16, Order.ABCD)),
    2: (
        ("u32 ABCD", Encoding.U32, Order.ABCD),
        ("s32 CDAB", Encoding.S32, Order.CDAB),
        ("float32 ABCD", Encoding.FLOAT32, Order.ABCD),
        ("float32 CDAB", Encoding.FLOAT32, Order.CDAB),
    ),
    4: (("u64 ABCD", Encoding.U64, Order.ABCD), ("float64 ABCD", Encoding.FLOAT64, Order.ABCD)),
}


def _number_rows(words: Sequence[int]) -> Rows:
    """What the registers would be as one number: which it is only the meter's list tells."""
    rows = []
    for name, encoding, order in _GUESSES.get(len(words), ()):
        value = NumberFormat(encoding=encoding, order=order).value(words)
        rows.append((f"as {name}", "not available" if value is None else str(value)))
    return rows
