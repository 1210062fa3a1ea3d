"""Framing of requests to simulated units: RTU on serial lines and inside TCP, MBAP on Modbus TCP.

Bytes in any pieces become requests; what is not a frame is dropped, and a bounded buffer keeps what
may still become one. The CRC is pymodbus's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from pymodbus.framer import FramerRTU

MAX_RTU = 256
MAX_MBAP_LENGTH = 254
MBAP_BYTES = 7
MAX_BUFFER = 4096
GARBLE = 0x55

# Length of a request frame by its function code; those with a byte count say where it stands.
_FIXED = {1: 8, 2: 8, 3: 8, 4: 8, 5: 8, 6: 8, 7: 4, 11: 4, 12: 4, 17: 4, 22: 10}
_COUNTED = {15: 6, 16: 6, 23: 10}


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `number` is the transaction of Modbus TCP, 0 on a serial line."""

    unit: int
    pdu: bytes
    number: int = 0


class Framing(Protocol):
    """Cuts a stream into requests and frames the answers."""

    def feed(self, data: bytes) -> Iterator[Request]:
        """Requests that are complete now."""

    def frame(self, request: Request, pdu: bytes) -> bytes:
        """The bytes of an answer."""

    def garble(self, frame: bytes) -> bytes:
        """The answer as a disturbed line would deliver it."""

    def forget(self) -> None:
        """A pause: what is in the buffer will not be completed any more."""


class RtuFraming:
    """Unit, PDU, CRC. A frame whose CRC is wrong costs the line everything up to the next pause."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Request]:
        self._buffer += data
        while (size := self._size()) and size <= len(self._buffer):
            frame = bytes(self._buffer[:size])
            if not _genuine(frame):
                self._buffer.clear()
                return
            del self._buffer[:size]
            yield Request(frame[0], frame[1:-2])
        if len(self._buffer) > MAX_RTU:
            self._buffer.clear()

    def frame(self, request: Request, pdu: bytes) -> bytes:
        frame = bytes((request.unit,)) + pdu
        return frame + FramerRTU.compute_CRC(frame).to_bytes(2)

    def garble(self, frame: bytes) -> bytes:
        middle = len(frame) // 2
        return frame[:middle] + bytes((frame[middle] ^ GARBLE,)) + frame[middle + 1 :]

    def forget(self) -> None:
        self._buffer.clear()

    def _size(self) -> int | None:
        """Length of the frame at the start of the buffer; None while it cannot be known."""
        if len(self._buffer) < 4:
            return None
        function = self._buffer[1]
        if function in _FIXED:
            return _FIXED[function]
        if function in _COUNTED:
            at = _COUNTED[function]
            return self._buffer[at] + at + 3 if len(self._buffer) > at else None
        return len(self._buffer) if _genuine(self._buffer) else None


class MbapFraming:
    """A header with transaction, length and unit. Behind a senseless header all is dropped."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Request]:
        self._buffer += data
        while len(self._buffer) > MBAP_BYTES:
            length = int.from_bytes(self._buffer[4:6])
            if self._buffer[2:4] != b"\0\0" or not 2 <= length <= MAX_MBAP_LENGTH:
                self._buffer.clear()
                return
            end = 6 + length
            if len(self._buffer) < end:
                return
            frame = bytes(self._buffer[:end])
            del self._buffer[:end]
            yield Request(frame[6], frame[MBAP_BYTES:], int.from_bytes(frame[:2]))

    def frame(self, request: Request, pdu: bytes) -> bytes:
        length = (len(pdu) + 1).to_bytes(2)
        return request.number.to_bytes(2) + b"\0\0" + length + bytes((request.unit,)) + pdu

    def garble(self, frame: bytes) -> bytes:
        """TCP would not deliver a disturbed payload, so it is the header that suffers."""
        return frame[:2] + bytes((GARBLE, GARBLE)) + frame[4:]

    def forget(self) -> None:
        """A pause means nothing inside TCP."""


def _genuine(frame: bytes | bytearray) -> bool:
    return FramerRTU.compute_CRC(bytes(frame[:-2])) == int.from_bytes(frame[-2:])
