"""Frames of one Modbus request and its reply, encoded and decoded by pymodbus.

Serial line (RTU, "Modbus over serial line" V1.02) and TCP (MBAP). What is checked here is what
pymodbus leaves to its caller: unit, function, length and echo of a write, so that nothing but
the reply to this very request is taken for it. Knows nothing of time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum, unique

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.framer.base import FramerBase
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
)

from adapters.transport.exchange import Answer, Garbled
from protocols.modbus.blocks import Span

RTU_MAX_BYTES = 256
_RTU_CRC_BYTES = 2
_EXCEPTION_BIT = 0x80
MBAP_BYTES = 7
_MBAP_MAX_LENGTH = 254


@unique
class Table(StrEnum):
    """The two tables of registers."""

    HOLDING = "holding"
    INPUT = "input"


@dataclass(frozen=True, slots=True)
class Request:
    """One request: read a span of a table, or write `words` to holding registers.

    `words` may be a token: they show in no text, and `shown` stands for them in recordings.
    """

    unit: int
    table: Table
    span: Span
    words: tuple[int, ...] | None = None
    shown: tuple[int, ...] | None = None

    @property
    def for_show(self) -> "Request":
        """The request as a recording shows it."""
        return self if self.shown is None else replace(self, words=self.shown, shown=None)

    def __str__(self) -> str:
        verb = "reading" if self.words is None else "writing"
        plural = "" if self.span.count == 1 else "s"
        return (
            f"unit {self.unit}, {verb} {self.span.count} {self.table} register{plural}"
            f" at {self.span.start:#06x}"
        )

    __repr__ = __str__

    @property
    def station(self) -> str:
        """The unit as lines know it."""
        return station_of(self.unit)

    def pdu(self, number: int) -> ModbusPDU:
        """As pymodbus has it; `number` is the transaction identifier."""
        address, count = self.span.start, self.span.count
        if self.words is not None:
            return WriteMultipleRegistersRequest(
                dev_id=self.unit, transaction_id=number, address=address, registers=self.words
            )
        read = (
            ReadHoldingRegistersRequest
            if self.table is Table.HOLDING
            else ReadInputRegistersRequest
        )
        return read(dev_id=self.unit, transaction_id=number, address=address, count=count)

    @property
    def function(self) -> int:
        if self.words is not None:
            return WriteMultipleRegistersRequest.function_code
        return 3 if self.table is Table.HOLDING else 4

    @property
    def reply_bytes(self) -> int:
        """Length of the reply from its function code on, if it is no exception."""
        return 5 if self.words is not None else 2 + 2 * self.span.count

    def answered_by(self, payload: bytes) -> bool:
        """This is an exception to the request, or a reply of the right length and echo."""
        if payload[0] == self.function | _EXCEPTION_BIT:
            return len(payload) == 2
        if payload[0] != self.function or len(payload) != self.reply_bytes:
            return False
        if self.words is None:
            return payload[1] == 2 * self.span.count
        return payload[1:5] == self.span.start.to_bytes(2) + self.span.count.to_bytes(2)


def station_of(unit: int) -> str:
    """A unit as lines know it."""
    return f"modbus {unit}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a meter answered: the words read (none for a write), or an exception code."""

    words: tuple[int, ...]
    exception: int = 0


class RtuFraming:
    """Frames of a serial line: known by their length and CRC, whatever noise is around them."""

    def __init__(self) -> None:
        self._framer = FramerRTU(DecodePDU(is_server=False))

    def encode(self, request: Request) -> bytes:
        """The frame to send."""
        return self._framer.buildFrame(request.pdu(0))

    def reply_bytes(self, request: Request) -> int:
        """How long the reply will be."""
        return 1 + request.reply_bytes + _RTU_CRC_BYTES

    def find(self, heard: bytes, request: Request) -> Answer[Reply] | None:
        """The reply within what was heard, and where it ends; None while it is not there whole."""
        for payload_bytes, function in (
            (request.reply_bytes, request.function),
            (2, request.function | _EXCEPTION_BIT),
        ):
            start = bytes((request.unit, function))
            for end, frame in _frames(heard, start, 1 + payload_bytes + _RTU_CRC_BYTES):
                if request.answered_by(frame[1:-_RTU_CRC_BYTES]) and (
                    reply := _decoded(self._framer, frame, request.unit, 0)
                ):
                    return reply, end
        return None


def serial_frame(unit_and_pdu: bytes) -> bytes:
    """A serial frame from what other framings wrap otherwise."""
    return unit_and_pdu + FramerRTU.compute_CRC(unit_and_pdu).to_bytes(_RTU_CRC_BYTES)


def _frames(heard: bytes, start: bytes, length: int) -> Iterator[tuple[int, bytes]]:
    """Whatever begins so and is so long, and where it ends."""
    at = heard.find(start)
    while 0 <= at <= len(heard) - length:
        yield at + length, heard[at : at + length]
        at = heard.find(start, at + 1)


class TcpFraming:
    """Frames of Modbus TCP: a header with transaction identifier and length."""

    def __init__(self) -> None:
        self._framer = FramerSocket(DecodePDU(is_server=False))

    def encode(self, request: Request, number: int) -> bytes:
        """The frame to send; `number` is the transaction identifier."""
        return self._framer.buildFrame(request.pdu(number))

    def split(self, received: bytearray) -> Iterator[tuple[int, bytes]]:
        """Numbers and frames that are whole, taken out of what was received. Raises Garbled."""
        while len(received) >= MBAP_BYTES:
            length = int.from_bytes(received[4:6])
            if received[2:4] != b"\0\0" or not 3 <= length <= _MBAP_MAX_LENGTH:
                raise Garbled("not a Modbus TCP header")
            if len(received) < 6 + length:
                return
            frame = bytes(received[: 6 + length])
            del received[: 6 + length]
            yield int.from_bytes(frame[:2]), frame

    def reply(self, frame: bytes, request: Request, number: int) -> Reply | None:
        """What a frame of this number says, or None if it is no reply to the request."""
        if frame[6] != request.unit or not request.answered_by(frame[7:]):
            return None
        return _decoded(self._framer, frame, request.unit, number)


def _decoded(framer: FramerBase, frame: bytes, unit: int, number: int) -> Reply | None:
    try:
        _, pdu = framer.handleFrame(frame, unit, number)
    except ModbusException:
        return None
    if pdu is None:
        return None
    return Reply(tuple(pdu.registers), pdu.exception_code)
