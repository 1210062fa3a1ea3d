"""A simulated payment meter that speaks DL/T 645-2007: registers, supply, clock, logs, passwords.

The life of the meter is that of `SimulatedMeter`: tokens go in by its keypad. Nothing that is
received makes a unit fail. Values are written from the tables of the standard (annex A).
"""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from itertools import count

from adapters.simulators.dlt645_logs import Dlt645Logs
from adapters.simulators.dlt645_values import Dlt645Values
from adapters.simulators.faults import Faults
from adapters.simulators.meter import SimulatedMeter
from adapters.simulators.supply_port import SupplyCommand, SupplyOrder, SupplyResult
from protocols.dlt645.data import Refusal, time_of
from protocols.dlt645.errors import MalformedData
from protocols.dlt645.frame import BROADCAST_ADDRESS, Frame, Function

# Class of a password, and the six digits; worth nothing to anybody.
PASSWORDS: Mapping[int, str] = {2: "000000", 3: "000000", 4: "000000"}
DATE, TIME = "04000101", "04000102"
PART_BYTES = 200

_COMMANDS = {
    0x1A: SupplyCommand.OPEN,
    0x1B: SupplyCommand.PERMIT_CLOSE,
    0x1C: SupplyCommand.CLOSE_NOW,
}
_NOT_DONE = (SupplyResult.EXPIRED, SupplyResult.NOT_AUTHORISED)
_IDENTIFIER_BYTES, _ACCESS_BYTES, _ORDER_BYTES = 4, 8, 8


class Refused(Exception):
    """The meter answers with an error."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why)
        self.why = why


class Dlt645Unit:
    """One meter under one address. `values` are what is set of its identifiers, else they follow.

    `zone` is that of its clock. `part_bytes`: so much of a value fits one of its frames.
    """

    def __init__(
        self,
        meter: SimulatedMeter,
        address: str,
        *,
        zone: tzinfo,
        passwords: Mapping[int, str] = PASSWORDS,
    ) -> None:
        self.meter = meter
        self.address = address
        self.passwords = passwords
        self.part_bytes = PART_BYTES
        self.values: dict[str, bytes | None] = {}
        self.logs = Dlt645Logs()
        self._registers = Dlt645Values(meter, zone)
        self._zone = zone
        self._orders = count(1)

    @property
    def faults(self) -> Faults:
        return self.meter.faults

    def answer(self, request: Frame, now: datetime) -> Frame | None:
        """The reply to a frame that is on the line; None: nothing is said."""
        self.meter.advance(now)
        self.logs.take_from(self.meter.events)
        if self.faults.silent or not self.meter.powered:
            return None
        if request.reply or not self._concerned(request.address):
            return None
        if request.address == BROADCAST_ADDRESS:
            self._hear_all(request, now)
            return None
        try:
            if self.faults.busy:
                raise Refused(Refusal.OTHER)
            return self._carry_out(request, now)
        except Refused as refused:
            return self._reply(request, bytes([refused.why]), error=True)
        except MalformedData:
            return self._reply(request, bytes([Refusal.OTHER]), error=True)

    def _concerned(self, address: str) -> bool:
        if address == BROADCAST_ADDRESS:
            return True
        pairs = zip(address, self.address, strict=True)
        return all(asked in ("A", own) for asked, own in pairs)

    def _hear_all(self, request: Frame, now: datetime) -> None:
        if request.function != Function.BROADCAST_TIME:
            return
        try:
            moment = time_of(request.data, self._zone)
        except MalformedData:
            return
        if moment is not None:
            self.meter.set_clock(moment, now, quietly=True)

    def _carry_out(self, request: Frame, now: datetime) -> Frame:
        match request.function:
            case Function.READ:
                return self._read(request, now, part=0)
            case Function.READ_NEXT if len(request.data) > _IDENTIFIER_BYTES:
                return self._read(request, now, part=request.data[_IDENTIFIER_BYTES])
            case Function.READ_ADDRESS:
                return self._reply(request, bytes.fromhex(self.address)[::-1])
            case Function.CONTROL:
                return self._control(request, now)
            case Function.WRITE:
                return self._write(request, now)
            case Function.CLEAR_EVENTS:
                self._admit(request.data)
                self.logs.clear()
                return self._reply(request, b"")
            case _:
                raise Refused(Refusal.OTHER)

    # --- reading ---------------------------------------------------------------------------------

    def _read(self, request: Frame, now: datetime, *, part: int) -> Frame:
        value = self._value(_identifier(request.data), now)
        begin = part * self.part_bytes
        if value is None or begin >= len(value):
            raise Refused(Refusal.NO_SUCH_DATA)
        end = begin + self.part_bytes
        sequence = bytes([part]) if request.function == Function.READ_NEXT else b""
        data = request.data[:_IDENTIFIER_BYTES] + value[begin:end] + sequence
        return self._reply(request, data, more=end < len(value))

    def _value(self, identifier: str, now: datetime) -> bytes | None:
        if len(identifier) != 2 * _IDENTIFIER_BYTES:
            return None
        if identifier in self.values:
            return self.values[identifier]
        logged = self.logs.value(identifier)
        return self._registers.value(identifier, now) if logged is None else logged

    # --- being told ------------------------------------------------------------------------------

    def _admit(self, access: bytes) -> bytes:
        """Let in whoever knows a password, and return who it is; data of a module is not known."""
        level, digits = access[:1], access[1:4][::-1].hex()
        known = self.passwords.get(level[0]) if level else None
        if len(access) < _ACCESS_BYTES or known is None or digits != known:
            raise Refused(Refusal.NOT_AUTHORISED)
        return access[4:_ACCESS_BYTES]

    def _control(self, request: Frame, now: datetime) -> Frame:
        data = request.data
        self._admit(data)
        if len(data) < _ACCESS_BYTES + _ORDER_BYTES:
            raise Refused(Refusal.OTHER)
        command = _COMMANDS.get(data[_ACCESS_BYTES])
        until = time_of(data[_ACCESS_BYTES + 2 : _ACCESS_BYTES + _ORDER_BYTES], self._zone)
        if command is None or until is None:
            raise Refused(Refusal.OTHER)
        order = SupplyOrder(
            id=f"dlt645-{next(self._orders)}", command=command, due_at=now, until=until
        )
        self.meter.order_supply(order, now)
        answer = self.meter.circuit.port.answer
        if answer is None or answer.result in _NOT_DONE:
            raise Refused(Refusal.OTHER)
        return self._reply(request, b"")

    def _write(self, request: Frame, now: datetime) -> Frame:
        access = request.data[_IDENTIFIER_BYTES:]
        operator, value = self._admit(access), access[_ACCESS_BYTES:]
        before = self.meter.clock.at(now).astimezone(self._zone)
        own = bytes.fromhex(f"{before:%S%M%H%d%m%y}")
        match _identifier(request.data), len(value):
            case (known, 4) if known == DATE:
                wanted = own[:3] + value[1:]
            case (known, 3) if known == TIME:
                wanted = value + own[3:]
            case _:
                raise Refused(Refusal.NO_SUCH_DATA)
        after = time_of(wanted, self._zone)
        if after is None:
            raise Refused(Refusal.OTHER)
        self.meter.set_clock(after, now)
        self.logs.clock_was_set(before=before, after=after, operator=operator)
        return self._reply(request, b"")

    def _reply(
        self, request: Frame, data: bytes, *, more: bool = False, error: bool = False
    ) -> Frame:
        return Frame(
            address=self.address,
            function=request.function,
            data=data,
            reply=True,
            error=error,
            more=more,
        )


def _identifier(data: bytes) -> str:
    return data[:_IDENTIFIER_BYTES][::-1].hex().upper()
