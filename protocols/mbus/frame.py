"""Frames of M-Bus (EN 13757-2, FT 1.2): acknowledgement, short, control and long frames.

    E5          10 C A CS 16          68 L L 68 C A CI data.. CS 16

L counts from C to before CS, which is their sum modulo 256; a long frame with L = 3 is called a
control frame. Knows nothing of what data mean.
"""

from dataclasses import dataclass, field

ACK, SHORT_START, LONG_START, END = 0xE5, 0x10, 0x68, 0x16
SHORT_BYTES, HEAD_BYTES, TAIL_BYTES = 5, 4, 2
LENGTH_MIN = 3


class MalformedFrame(ValueError):
    """The bytes are no frame, or a damaged one; the text says where."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; `information` is the CI byte, None in short frames."""

    control: int
    address: int
    information: int | None = None
    data: bytes = field(default=b"", repr=False)

    def encode(self) -> bytes:
        body = bytes([self.control, self.address])
        if self.information is None:
            return bytes([SHORT_START]) + body + bytes([sum(body) & 0xFF, END])
        body += bytes([self.information]) + self.data
        head = bytes([LONG_START, len(body), len(body), LONG_START])
        return head + body + bytes([sum(body) & 0xFF, END])


def decode_frame(data: bytes) -> Frame | None:
    """The one frame that `data` is; None for an acknowledgement. Raises MalformedFrame."""
    match data[:1]:
        case b"\xe5" if len(data) == 1:
            return None
        case b"\x10":
            return _short(data)
        case b"\x68":
            return _long(data)
        case begin:
            raise MalformedFrame(f"{len(data)} bytes that begin with {begin.hex() or 'nothing'}")


def _short(data: bytes) -> Frame:
    if len(data) != SHORT_BYTES:
        raise MalformedFrame(f"a short frame has {SHORT_BYTES} bytes, not {len(data)}")
    _check(data, data[1:3])
    return Frame(data[1], data[2])


def _long(data: bytes) -> Frame:
    if len(data) < HEAD_BYTES + LENGTH_MIN + TAIL_BYTES:
        raise MalformedFrame(f"ends after {len(data)} bytes")
    if data[3] != LONG_START or data[1] != data[2]:
        raise MalformedFrame("a long frame has 68, its length twice, and 68")
    if data[1] < LENGTH_MIN or len(data) != HEAD_BYTES + data[1] + TAIL_BYTES:
        raise MalformedFrame(f"says {data[1]} bytes, {len(data)} are there")
    body = data[HEAD_BYTES:-TAIL_BYTES]
    _check(data, body)
    return Frame(body[0], body[1], body[2], body[3:])


def _check(data: bytes, body: bytes) -> None:
    if data[-1] != END:
        raise MalformedFrame(f"ends with {data[-1]:02x}, not 16")
    expected = sum(body) & 0xFF
    if data[-2] != expected:
        raise MalformedFrame(f"its sum is {data[-2]:02x}, its bytes give {expected:02x}")
