"""A simulated DL/T 645-2007 meter: registers, relay, button, clock, password."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from headend.ports import Clock
from protocols.dlt645.data import (
    QUANTITIES,
    Refusal,
    packed_bytes,
    time_bytes,
    time_of,
)
from protocols.dlt645.errors import MalformedData, MalformedFrame
from protocols.dlt645.frame import BROADCAST_ADDRESS, Frame, Function, decode_frame
from protocols.dlt645.orders import DATE_IDENTIFIER, TIME_IDENTIFIER, Control
from protocols.dlt645.status import STATUS_WORD_3

_ACCESS_BYTES = 8
_IDENTIFIER_BYTES = 4


@dataclass(slots=True)
class Dlt645Meter:
    """On a line. `values` are those of QUANTITIES, in counts of the last digit.

    After a permit to close the customer presses `button`. `silent` and `parts` (bytes of a value
    a frame) are faults.
    """

    address: str
    clock: Clock
    values: dict[str, int] = field(default_factory=dict)
    password: bytes = bytes.fromhex("02000000")
    delay_s: float = 0.03
    relay_open: bool = False
    open_ordered: bool = False
    clock_error: timedelta = timedelta(0)
    silent: bool = False
    part_bytes: int = 200

    def hear(self, frame: bytes) -> tuple[float, bytes] | None:
        """What it says to a frame on the line, and after how long."""
        try:
            request = decode_frame(frame)
        except MalformedFrame:
            return None
        if self.silent or request.reply or not self._concerned(request.address):
            return None
        if request.address == BROADCAST_ADDRESS:
            self._set_clock(time_of(request.data, UTC))
            return None
        return self.delay_s, self._answer(request).on_wire()

    def press_button(self) -> None:
        """The customer closes the relay, if that is permitted."""
        if not self.open_ordered:
            self.relay_open = False

    def now(self) -> datetime:
        """Its own clock."""
        return self.clock.now() + self.clock_error

    def _concerned(self, address: str) -> bool:
        if address == BROADCAST_ADDRESS:
            return True
        pairs = zip(address, self.address, strict=True)
        return all(asked in ("A", own) for asked, own in pairs)

    def _answer(self, request: Frame) -> Frame:
        match request.function:
            case Function.READ:
                return self._read(request, part=0)
            case Function.READ_NEXT if len(request.data) > _IDENTIFIER_BYTES:
                return self._read(request, part=request.data[_IDENTIFIER_BYTES])
            case Function.READ_ADDRESS:
                return self._good(request, bytes.fromhex(self.address)[::-1])
            case Function.CONTROL:
                return self._obey(request)
            case Function.WRITE:
                return self._write(request)
            case _:
                return self._refuse(request, Refusal.OTHER)

    def _read(self, request: Frame, *, part: int) -> Frame:
        identifier = request.data[:_IDENTIFIER_BYTES][::-1].hex().upper()
        value = self._value(identifier)
        begin = part * self.part_bytes
        if value is None or begin >= len(value):
            return self._refuse(request, Refusal.NO_SUCH_DATA)
        end = begin + self.part_bytes
        sequence = bytes([part]) if request.function == Function.READ_NEXT else b""
        data = request.data[:_IDENTIFIER_BYTES] + value[begin:end] + sequence
        return self._good(request, data, more=end < len(value))

    def _value(self, identifier: str) -> bytes | None:
        if identifier == STATUS_WORD_3:
            return (self.relay_open << 4 | self.open_ordered << 6).to_bytes(2, "little")
        if identifier not in self.values or identifier not in QUANTITIES:
            return None
        quantity, number = QUANTITIES[identifier], self.values[identifier]
        raw = bytearray(packed_bytes(abs(number), quantity.width))
        if number < 0:
            raw[-1] |= 0x80
        return bytes(raw)

    def _obey(self, request: Frame) -> Frame:
        data = request.data
        if len(data) < _ACCESS_BYTES + 8 or not self._known(data):
            return self._refuse(request, Refusal.NOT_AUTHORISED)
        try:
            until = time_of(data[_ACCESS_BYTES + 2 : _ACCESS_BYTES + 8], UTC)
        except MalformedData:
            return self._refuse(request, Refusal.OTHER)
        if until is None or until < self.now():
            return self._refuse(request, Refusal.OTHER)
        match data[_ACCESS_BYTES]:
            case Control.TRIP:
                self.relay_open = self.open_ordered = True
            case Control.PERMIT_CLOSE:
                self.open_ordered = False
            case Control.CLOSE:
                self.relay_open = self.open_ordered = False
            case _:
                return self._refuse(request, Refusal.OTHER)
        return self._good(request, b"")

    def _write(self, request: Frame) -> Frame:
        identifier = request.data[:_IDENTIFIER_BYTES][::-1].hex().upper()
        access = request.data[_IDENTIFIER_BYTES:]
        value = access[_ACCESS_BYTES:]
        if not self._known(access):
            return self._refuse(request, Refusal.NOT_AUTHORISED)
        now = time_bytes(self.now())
        match identifier, len(value):
            case (known, 4) if known == DATE_IDENTIFIER:
                wanted = now[:3] + value[1:]
            case (known, 3) if known == TIME_IDENTIFIER:
                wanted = value + now[3:]
            case _:
                return self._refuse(request, Refusal.NO_SUCH_DATA)
        try:
            self._set_clock(time_of(wanted, UTC))
        except MalformedData:
            return self._refuse(request, Refusal.OTHER)
        return self._good(request, b"")

    def _known(self, access: bytes) -> bool:
        return access[:1] + access[1:4][::-1] == self.password

    def _set_clock(self, moment: datetime | None) -> None:
        if moment is not None:
            self.clock_error = moment - self.clock.now().replace(microsecond=0)

    def _good(self, request: Frame, data: bytes, *, more: bool = False) -> Frame:
        return Frame(
            address=self.address, function=request.function, data=data, reply=True, more=more
        )

    def _refuse(self, request: Frame, why: Refusal) -> Frame:
        return Frame(
            address=self.address,
            function=request.function,
            data=bytes([why]),
            reply=True,
            error=True,
        )
