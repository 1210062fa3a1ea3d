"""Frames of the Thrift binary protocol: hidden bytes, and a walk that proves their structure.

Decoders trust the sizes they read: an impossible one makes them read beyond the frame, or loop for
minutes. So each frame from outside is walked first; every step takes at least one byte, and the
frame is bounded. Source: Thrift binary protocol encoding (strict form). Knows nothing of tokens.
"""

from dataclasses import dataclass, field
from enum import IntEnum, unique

from headend.errors import ModuleDown

# A token takes about 400 bytes, and the state of a node a few thousand.
MAX_FRAME_BYTES = 64 * 1024
MAX_DEPTH = 16
VERSION_1 = 0x8001


class UnreadableAnswer(ModuleDown):
    """The module's answer makes no sense. What was asked for may have been done."""


@dataclass(frozen=True, slots=True)
class Packet:
    """The bytes of one message; they may hold a password or a token and never print."""

    value: bytes = field(repr=False)


@unique
class Wire(IntEnum):
    """Types of the binary protocol."""

    STOP = 0
    BOOL = 2
    BYTE = 3
    DOUBLE = 4
    I16 = 6
    I32 = 8
    I64 = 10
    STRING = 11
    STRUCT = 12
    MAP = 13
    SET = 14
    LIST = 15


_FIXED = {
    Wire.BOOL: 1,
    Wire.BYTE: 1,
    Wire.DOUBLE: 8,
    Wire.I16: 2,
    Wire.I32: 4,
    Wire.I64: 8,
}


def require_whole(packet: Packet) -> None:
    """Check that a packet is one message and nothing else; raises UnreadableAnswer."""
    walk = _Walk(packet)
    if walk.number(2) != VERSION_1:
        raise UnreadableAnswer("the security module speaks another protocol than Thrift binary")
    walk.skip(2)  # message type
    walk.skip(walk.number(4))  # name of the call
    walk.skip(4)  # sequence number
    walk.struct(MAX_DEPTH)
    walk.end()


class _Walk:
    def __init__(self, packet: Packet) -> None:
        self._packet = packet
        self._at = 0

    def skip(self, size: int) -> None:
        if size > len(self._packet.value) - self._at:
            raise UnreadableAnswer("the security module's answer is cut short")
        self._at += size

    def number(self, size: int) -> int:
        """An unsigned number; a negative size therefore is a very large one."""
        start = self._at
        self.skip(size)
        return int.from_bytes(self._packet.value[start : self._at])

    def kind(self) -> Wire:
        try:
            return Wire(self.number(1))
        except ValueError:
            raise UnreadableAnswer("the security module's answer has an unknown type") from None

    def struct(self, depth: int) -> None:
        while (kind := self.kind()) is not Wire.STOP:
            self.skip(2)  # field id
            self.of(kind, depth)

    def of(self, kind: Wire, depth: int) -> None:
        if depth == 0:
            raise UnreadableAnswer("the security module's answer is nested too deeply")
        match kind:
            case Wire.STRING:
                self.skip(self.number(4))
            case Wire.STRUCT:
                self.struct(depth - 1)
            case Wire.LIST | Wire.SET:
                self.several((self.kind(),), depth - 1)
            case Wire.MAP:
                self.several((self.kind(), self.kind()), depth - 1)
            case Wire.STOP:
                raise UnreadableAnswer("the security module's answer holds a list of nothing")
            case _:
                self.skip(_FIXED[kind])

    def several(self, kinds: tuple[Wire, ...], depth: int) -> None:
        count = self.number(4)
        if count == 0:
            return  # an empty map may leave its types open
        for _ in range(count):
            for kind in kinds:
                self.of(kind, depth)

    def end(self) -> None:
        if self._at != len(self._packet.value):
            raise UnreadableAnswer("the security module's answer is too long")
