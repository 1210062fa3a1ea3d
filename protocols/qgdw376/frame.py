"""Frames of Q/GDW 376.1: link layer, and the head of the application layer.

    68 L L L L 68 C A1 A1 A2 A2 A3 AFN SEQ DA DA DT DT data.. CS 16

L stands twice: the low two bits tell the protocol (10 is 376.1), the others how many bytes follow
from C to before CS, which is their sum modulo 256. DA and DT tell points and functions as a bit
within a group of eight. What the data mean is not known here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

START, END = 0x68, 0x16
HEAD_BYTES, TAIL_BYTES = 6, 2
USER_MIN_BYTES = 8  # C, five of the address, AFN, SEQ
USER_MAX_BYTES = 2048  # fourteen bits could say more; no link carries it
PROTOCOL = 2
_PROTOCOL_BITS = 0b11
_REPLY, _INITIATED, _FUNCTION = 0x80, 0x40, 0x0F
_UNIT_BYTES = 4


class MalformedFrame(ValueError):
    """The bytes are no frame, or a damaged one; the text says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame. `region`: four decimal digits (A1); `terminal`: A2; `data` from DA on."""

    protocol: int
    control: int
    region: str
    terminal: int
    master: int
    afn: int
    seq: int
    data: bytes = field(default=b"", repr=False)

    @property
    def uplink(self) -> bool:
        """From the concentrator to the master station."""
        return bool(self.control & _REPLY)

    @property
    def initiated(self) -> bool:
        """By a station that asks; else it answers."""
        return bool(self.control & _INITIATED)

    @property
    def function(self) -> int:
        """The function code of the link layer."""
        return self.control & _FUNCTION

    @property
    def unit(self) -> tuple[Sequence[int], Sequence[int]] | None:
        """Points (0: the terminal) and functions of the first data unit; None without one."""
        if len(self.data) < _UNIT_BYTES:
            return None
        da1, da2, dt1, dt2 = self.data[:_UNIT_BYTES]
        points = [0] if not da1 and not da2 else _bits(da1, da2 - 1)
        return points, _bits(dt1, dt2)

    def encode(self) -> bytes:
        user = bytes([self.control]) + bytes.fromhex(self.region)[::-1]
        user += self.terminal.to_bytes(2, "little") + bytes([self.master, self.afn, self.seq])
        user += self.data
        length = (len(user) << 2 | self.protocol).to_bytes(2, "little")
        head = bytes([START]) + length + length + bytes([START])
        return head + user + bytes([sum(user) & 0xFF, END])


def decode_frame(data: bytes) -> Frame:
    """The one frame that `data` is. Raises MalformedFrame."""
    user = _user_bytes(data)
    region = user[1:3][::-1].hex()
    if not region.isdecimal():
        raise MalformedFrame(f"region {region} is not decimal")
    return Frame(
        protocol=data[1] & _PROTOCOL_BITS,
        control=user[0],
        region=region,
        terminal=int.from_bytes(user[3:5], "little"),
        master=user[5],
        afn=user[6],
        seq=user[7],
        data=user[8:],
    )


def _user_bytes(data: bytes) -> bytes:
    if len(data) < HEAD_BYTES + USER_MIN_BYTES + TAIL_BYTES:
        raise MalformedFrame(f"ends after {len(data)} bytes")
    if data[0] != START or data[5] != START or data[-1] != END:
        raise MalformedFrame("a frame has 68 before and after its lengths, and 16 at its end")
    if data[1:3] != data[3:5]:
        raise MalformedFrame("its two lengths differ")
    told = int.from_bytes(data[1:3], "little")
    if told & _PROTOCOL_BITS != PROTOCOL:
        raise MalformedFrame(f"protocol bits {told & _PROTOCOL_BITS:02b}, not 10")
    length = told >> 2
    if length > USER_MAX_BYTES or len(data) != HEAD_BYTES + length + TAIL_BYTES:
        raise MalformedFrame(f"says {length} bytes, {len(data)} are there")
    user = data[HEAD_BYTES:-TAIL_BYTES]
    expected = sum(user) & 0xFF
    if data[-2] != expected:
        raise MalformedFrame(f"its sum is {data[-2]:02x}, its bytes give {expected:02x}")
    return user


def _bits(bits: int, group: int) -> Sequence[int]:
    """Numbers from 1 on: bit 0 of group 0 is 1."""
    return [8 * group + bit + 1 for bit in range(8) if bits >> bit & 1]
