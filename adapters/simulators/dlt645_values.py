"""What a simulated DL/T 645 meter tells of itself: energy, power, credit, clock, status words.

Written from the tables of the standard (annexes A and C) and not from our decoder of them. Credit
is told by the identifiers of the prepayment supplement.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo

from adapters.simulators.dlt645_logs import bcd
from adapters.simulators.meter import SimulatedMeter
from headend.supply import ControlState

CENTIHERTZ = 5000
STATUS_WORDS, STATUS_BLOCK = range(1, 8), "040005FF"

_ON_BATTERY = 0b100
_RELAY_OPEN, _OPEN_ORDERED = 0x10, 0x40
_ENERGY, _MONEY = 0x0100, 0x0200
_PHASE_CUT, _POWER_LOST = 0x80, 0x20


class Dlt645Values:
    """The identifiers of one single-phase meter that can be read; `zone` is that of its clock."""

    def __init__(self, meter: SimulatedMeter, zone: tzinfo) -> None:
        self._meter = meter
        self._zone = zone
        self._clocks: Mapping[str, Callable[[datetime], str]] = {
            "04000101": lambda own: f"0{own:%w%d%m%y}",
            "04000102": lambda own: f"{own:%S%M%H}",
        }

    def value(self, identifier: str, now: datetime) -> bytes | None:
        """The bytes of an identifier; None where the meter has none."""
        if identifier in self._clocks:
            own = self._meter.clock.at(now).astimezone(self._zone)
            return bytes.fromhex(self._clocks[identifier](own))
        if identifier == STATUS_BLOCK:
            return b"".join(map(self._word, STATUS_WORDS))
        if identifier[:7] == STATUS_BLOCK[:6] + "0" and int(identifier[7], 16) in STATUS_WORDS:
            return self._word(int(identifier[7], 16))
        found = self._numbers().get(identifier)
        return None if found is None else bcd(*found)

    def _numbers(self) -> Mapping[str, tuple[int, int]]:
        """In counts of the last digit, and how many bytes they take."""
        circuit = self._meter.circuit
        energy, power = self._meter.import_milli // 10, circuit.flow * 10
        return {
            "00000000": (energy, 4),
            "00010000": (energy, 4),
            "00020000": (0, 4),
            "02010100": (circuit.grid_mv // 100, 2),
            "02020100": (circuit.load_ma, 3),
            "02030000": (power, 3),
            "02030100": (power, 3),
            "02800002": (CENTIHERTZ if circuit.fed else 0, 2),
            "04000402": (int(self._meter.drn) % 10**12, 6),
            **self._credit(),
        }

    def _credit(self) -> Mapping[str, tuple[int, int]]:
        kind = "009002" if self._meter.plate.currency else "009001"
        hundredths = self._meter.credit_milli // 10
        return {f"{kind}00": (max(hundredths, 0), 4), f"{kind}01": (max(-hundredths, 0), 4)}

    def _word(self, number: int) -> bytes:
        words = {3: self._operation(), 4: 0, 7: 0}
        if not self._meter.circuit.fed:
            words |= {4: _PHASE_CUT, 7: _POWER_LOST}
        return words.get(number, 0).to_bytes(2, "little")

    def _operation(self) -> int:
        """Status word 3: relay, order, what is counted down, where power comes from."""
        relay = self._meter.relay
        word = _MONEY if self._meter.plate.currency else _ENERGY
        word |= 0 if relay.closed else _RELAY_OPEN
        word |= _OPEN_ORDERED if relay.control is ControlState.DISCONNECTED else 0
        return word | (0 if self._meter.circuit.fed else _ON_BATTERY)
