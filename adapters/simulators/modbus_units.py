"""Units on a simulated line: a request PDU in, an answer PDU out, or silence.

Modbus application protocol V1.1b3: functions 3, 4, 6 and 16, and exceptions for all the rest.
Nothing that is received makes a unit fail.
"""

from datetime import datetime
from enum import IntEnum, unique
from typing import Protocol

from adapters.simulators.faults import Faults

READ_HOLDING, READ_INPUT, WRITE_SINGLE, WRITE_MULTIPLE = 3, 4, 6, 16
MAX_READ, MAX_WRITE = 125, 123
EXCEPTION_BIT = 0x80


@unique
class RefusalCode(IntEnum):
    """Modbus exception codes."""

    FUNCTION = 1
    ADDRESS = 2
    VALUE = 3
    BUSY = 6


class Refusal(Exception):
    """The unit answers with an exception."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code)
        self.code = code


class Registers(Protocol):
    """A register map; both raise Refusal."""

    def read(self, function: int, start: int, count: int, now: datetime) -> bytes:
        """`count` registers, by function 3 or 4."""

    def write(self, start: int, data: bytes, now: datetime) -> None:
        """Registers from `start` on, all or none."""


class Powered(Protocol):
    """What is behind a register map: something that lives in time and may be without power."""

    def advance(self, now: datetime) -> None: ...

    @property
    def powered(self) -> bool: ...


class ModbusUnit:
    """One unit id of a line."""

    def __init__(self, registers: Registers, device: Powered, faults: Faults) -> None:
        self.faults = faults
        self._registers = registers
        self._device = device

    def answer(self, pdu: bytes, now: datetime) -> bytes | None:
        """The answer to a request, or None: no power, or a fault that makes it silent."""
        self._device.advance(now)
        if not pdu or self.faults.silent or not self._device.powered:
            return None
        try:
            if self.faults.busy:
                raise Refusal(RefusalCode.BUSY)
            return self._carry_out(pdu[0], pdu[1:], now)
        except Refusal as refusal:
            return bytes((pdu[0] | EXCEPTION_BIT, refusal.code))

    def _carry_out(self, function: int, body: bytes, now: datetime) -> bytes:
        match function:
            case 3 | 4:
                return self._read(function, body, now)
            case 6:
                raise Refusal(RefusalCode.ADDRESS)  # no map has a register to be written alone
            case 16:
                return self._write(body, now)
            case _:
                raise Refusal(RefusalCode.FUNCTION)

    def _read(self, function: int, body: bytes, now: datetime) -> bytes:
        if len(body) != 4:
            raise Refusal(RefusalCode.VALUE)
        start, count = int.from_bytes(body[:2]), int.from_bytes(body[2:])
        if not 1 <= count <= MAX_READ:
            raise Refusal(RefusalCode.VALUE)
        return bytes((function, 2 * count)) + self._registers.read(function, start, count, now)

    def _write(self, body: bytes, now: datetime) -> bytes:
        start, count = int.from_bytes(body[:2]), int.from_bytes(body[2:4])
        data = body[5:]
        if not 1 <= count <= MAX_WRITE or len(data) != 2 * count or body[4] != 2 * count:
            raise Refusal(RefusalCode.VALUE)
        self._registers.write(start, data, now)
        return bytes((WRITE_MULTIPLE,)) + body[:4]
