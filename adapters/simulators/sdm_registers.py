"""An energy meter with the input registers of an Eastron SDM630 (float32, FC04).

Addresses by the maker's protocol document. Three equal phases share the load. No prepayment. Of
its settings (FC03) it shows the wiring, which is what tells it from single-phase meters.
"""

import struct
from collections.abc import Mapping
from datetime import datetime

from adapters.simulators.account import Account
from adapters.simulators.faults import Faults
from adapters.simulators.meter_clock import MICROSECOND
from adapters.simulators.modbus_units import Refusal, RefusalCode

MAX_REGISTERS = 80
LAST = 0x01FF
VOLTS, HERTZ = 230.0, 50.0
_WIRING, _FOUR_WIRE = 0x000A, 3.0


class EnergyMeter:
    """A load and an import register; `load` in W. `faults` is its wire."""

    def __init__(self, now: datetime, *, load: int = 0) -> None:
        self._account = Account(credit_milli=0, load=load, price_milli=0)
        self._lived_to = now
        self.faults = Faults()

    @property
    def load(self) -> int:
        return self._account.load

    @property
    def powered(self) -> bool:
        return True

    @property
    def import_milli(self) -> int:
        """Wh imported, as lived so far."""
        return self._account.import_milli

    def set_load(self, load: int, now: datetime) -> None:
        """Switch appliances."""
        self.advance(now)
        self._account.load = load

    def advance(self, now: datetime) -> None:
        """Live up to `now`."""
        elapsed_us = (now - self._lived_to) // MICROSECOND
        if elapsed_us > 0:
            self._lived_to = now
            self._account.consume(elapsed_us, stop_at_zero=False)


class SdmRegisters:
    """The input registers of one energy meter; nothing can be written."""

    def __init__(self, meter: EnergyMeter) -> None:
        self._meter = meter

    def read(self, function: int, start: int, count: int, now: datetime) -> bytes:
        """Registers as bytes; raises Refusal."""
        if function == 3 and (start, count) == (_WIRING, 2):
            return struct.pack(">f", _FOUR_WIRE)
        if function != 4:
            raise Refusal(RefusalCode.ADDRESS if function == 3 else RefusalCode.FUNCTION)
        if start % 2 or count % 2 or start + count - 1 > LAST:
            raise Refusal(RefusalCode.ADDRESS)
        if count > MAX_REGISTERS:
            raise Refusal(RefusalCode.VALUE)
        self._meter.advance(now)
        values = self._values()
        return b"".join(
            struct.pack(">f", values.get(address, 0.0))
            for address in range(start, start + count, 2)
        )

    def write(self, start: int, data: bytes, now: datetime) -> None:
        """Always refused."""
        raise Refusal(RefusalCode.FUNCTION)

    def _values(self) -> Mapping[int, float]:
        load, kwh = self._meter.load, self._meter.import_milli / 1000
        phase_w = load / 3
        phases = {
            address + 2 * phase: value
            for address, value in (
                (0x00, VOLTS),
                (0x06, phase_w / VOLTS),
                (0x0C, phase_w),
                (0x12, phase_w),
                (0x1E, 1.0),
                (0x15A, kwh / 3),
                (0x166, kwh / 3),
            )
            for phase in range(3)
        }
        totals = {0x34: load, 0x38: load, 0x3E: 1.0, 0x46: HERTZ, 0x48: kwh, 0x156: kwh}
        return phases | totals
