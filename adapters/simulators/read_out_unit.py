"""An energy meter with an IEC 62056-21 read-out in mode A, B or C, as behind an optical head.

The life of the meter is that of `EnergyMeter`. What it tells follows from the load; lines may be
set. A meter speaks only after its reaction time, which is the line's affair (6.3.14).
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from adapters.simulators.faults import Faults
from adapters.simulators.sdm_registers import HERTZ, VOLTS, EnergyMeter
from protocols.iec62056_21.characters import (
    ACK,
    ETX,
    LINE_END,
    STX,
    BlockCheck,
    speed_of,
)

READ_OUT_OPTION = "0"


class ReadOutUnit:
    """One meter. `speed_character` tells its mode, `check` how its block check is made.

    `lines` take the place of those that the load makes, or are told besides.
    """

    def __init__(
        self,
        meter: EnergyMeter,
        address: str,
        *,
        identity: str = "SIM",
        speed_character: str = "5",
        check: BlockCheck = BlockCheck.XOR,
    ) -> None:
        self.address = address
        self.identity = identity
        self.speed_character = speed_character
        self.check = check
        self.lines: dict[str, str] = {}
        self.read_outs = 0
        # The speed of what it said last, None: that at which it was asked.
        self.says_at: int | None = None
        self._meter = meter
        self._signed_on = False

    @property
    def faults(self) -> Faults:
        return self._meter.faults

    def answer(self, message: bytes, now: datetime) -> bytes | None:
        """What it says to a message; None: nothing."""
        self._meter.advance(now)
        plain = bytes(byte & 0x7F for byte in message)
        signed_on, self._signed_on = self._signed_on, False
        self.says_at = None
        if self.faults.silent:
            return None
        if plain in (b"/?!" + LINE_END, f"/?{self.address}!".encode() + LINE_END):
            return self._identify()
        option = f"0{self.speed_character}{READ_OUT_OPTION}".encode()
        if signed_on and plain == bytes([ACK]) + option + LINE_END:
            self.says_at = speed_of(self.speed_character)
            return self._data()
        return None

    def told(self) -> Mapping[str, str]:
        """The data lines as they are now: address and what stands in the brackets."""
        load, energy = Decimal(self._meter.load), Decimal(self._meter.import_milli)
        made = {
            "0.0.0": self.address,
            "1.8.0": f"{energy / 1000:011.3f}*kWh",
            "2.8.0": f"{0:011.3f}*kWh",
            "16.7.0": f"{load / 1000:07.3f}*kW",
            "32.7.0": f"{VOLTS:.1f}*V",
            "31.7.0": f"{load / Decimal(VOLTS):.3f}*A",
            "14.7.0": f"{HERTZ:.2f}*Hz",
        }
        return made | self.lines

    def _identify(self) -> bytes:
        line = f"/{self.identity}{self.speed_character}SIMULATED".encode() + LINE_END
        self._signed_on = self.speed_character.isdigit()
        return line if self._signed_on else line + self._data()

    def _data(self) -> bytes:
        self.read_outs += 1
        lines = "".join(f"{address}({value})\r\n" for address, value in self.told().items())
        checked = lines.encode("ascii") + b"!" + LINE_END + bytes([ETX])
        return bytes([STX]) + checked + bytes([self.check.of(checked)])
