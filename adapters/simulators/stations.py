"""Stations on the wires of a simulated line: whoever hears whole frames and may answer them.

Each knows its own dialect and is deaf to every other. When an answer comes, and whether it comes
at all, is a matter of the manners of the line and of the faults of the meter.
"""

from dataclasses import dataclass

from pymodbus.framer import FramerRTU

from adapters.simulators.dlt645_unit import Dlt645Unit
from adapters.simulators.faults import Faults
from adapters.simulators.medium import Said
from adapters.simulators.modbus_units import WRITE_MULTIPLE, ModbusUnit
from adapters.simulators.read_out_unit import ReadOutUnit
from headend.ports import Chance, Clock
from protocols.dlt645.errors import MalformedFrame
from protocols.dlt645.frame import Function, decode_frame

RTU_LEAST_BYTES = 4
# A meter of a maker whose third letter is a capital takes its time before it talks (6.3.2).
REACTION_S = 0.2
_READS = (Function.READ, Function.READ_NEXT, Function.READ_ADDRESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How the units of a line answer: `delay_s` and up to `jitter_s` more, the `late_share` of
    replies `late_s` later than that. `flip_share` of the bits flip; `echo`: the adapter hears
    itself.
    """

    delay_s: float = 0.02
    jitter_s: float = 0.0
    late_share: float = 0.0
    late_s: float = 0.0
    flip_share: float = 0.0
    echo: bool = False


class Habits:
    """What every station of a line has in common."""

    def __init__(self, manners: Manners, *, clock: Clock, chance: Chance) -> None:
        self.manners = manners
        self.clock = clock
        self._chance = chance

    def said(self, reply: bytes, faults: Faults, *, command: bool) -> tuple[float, bytes] | None:
        """A reply as it goes out, and after how many seconds; None: it is lost."""
        fate = faults.next_command_fate() if command else faults.next_fate()
        if fate.lost:
            return None
        if fate.garbled:
            reply = reply[:-1] + bytes((reply[-1] ^ 1,))
        return self._delay_s() + fate.delay_s, reply

    def _delay_s(self) -> float:
        manners = self.manners
        delay_s = manners.delay_s + manners.jitter_s * self._chance.spread()
        if manners.late_share and self._chance.spread() < manners.late_share:
            delay_s += manners.late_s
        return delay_s


class ModbusStation:
    """One Modbus unit on the wires (satisfies `medium.Station`). Its faults are the unit's."""

    def __init__(self, address: int, unit: ModbusUnit, habits: Habits) -> None:
        self.address = address
        self.unit = unit
        self._habits = habits

    @property
    def faults(self) -> Faults:
        return self.unit.faults

    def hear(self, frame: bytes) -> tuple[float, bytes] | None:
        if len(frame) < RTU_LEAST_BYTES or frame[0] != self.address or not _genuine(frame):
            return None
        pdu = self.unit.answer(frame[1:-2], self._habits.clock.now())
        if pdu is None:
            return None
        reply = bytes((self.address,)) + pdu
        reply += FramerRTU.compute_CRC(reply).to_bytes(2)
        return self._habits.said(reply, self.faults, command=frame[1] == WRITE_MULTIPLE)


class Dlt645Station:
    """One DL/T 645 meter on the wires (satisfies `medium.Station`)."""

    def __init__(self, unit: Dlt645Unit, habits: Habits) -> None:
        self.unit = unit
        self._habits = habits

    @property
    def faults(self) -> Faults:
        return self.unit.faults

    def hear(self, frame: bytes) -> tuple[float, bytes] | None:
        try:
            request = decode_frame(frame)
        except MalformedFrame:
            return None
        reply = self.unit.answer(request, self._habits.clock.now())
        if reply is None:
            return None
        command = request.function not in _READS
        return self._habits.said(reply.on_wire(), self.faults, command=command)


class ReadOutStation:
    """One meter with an IEC 62056-21 read-out on the wires (satisfies `medium.Station`)."""

    def __init__(self, unit: ReadOutUnit, habits: Habits) -> None:
        self.unit = unit
        self._habits = habits

    @property
    def faults(self) -> Faults:
        return self.unit.faults

    def hear(self, frame: bytes) -> Said | None:
        reply = self.unit.answer(frame, self._habits.clock.now())
        said = None if reply is None else self._habits.said(reply, self.faults, command=False)
        return None if said is None else Said(REACTION_S + said[0], said[1], self.unit.says_at)


def _genuine(frame: bytes) -> bool:
    return FramerRTU.compute_CRC(frame[:-2]) == int.from_bytes(frame[-2:])
