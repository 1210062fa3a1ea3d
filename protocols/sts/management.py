"""Management tokens with a TID, class 2 (IEC 62055-41; flags by STS 202-5).

Key-change sections, which have no TID, live in ``keychange``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from protocols.sts.amount import UNITS_MAX, decode_units, encode_units
from protocols.sts.block import TimedContent
from protocols.sts.errors import FunctionError, RangeError
from protocols.sts.limits import NIBBLE_MAX, TID_MAX, WORD16_MAX, Limited
from protocols.sts.tables import ManagementSubclass, TokenClass

INDEX_SHIFT = 10
FLAG_INDEX = 63
VALUE_MAX = 0x3FF
FLAG_MAX = 0x1FF

_TIMED = {"rnd": (0, NIBBLE_MAX), "tid": (0, TID_MAX)}


@dataclass(frozen=True, slots=True)
class _Timed(Limited, ABC):
    """What these tokens share: 16 bits of data behind RND and TID."""

    rnd: int
    tid: int

    token_class: ClassVar[TokenClass] = TokenClass.MANAGEMENT
    subclass: ClassVar[ManagementSubclass]
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = _TIMED

    @property
    @abstractmethod
    def data(self) -> int:
        """The 16 bits behind the TID."""

    def content(self) -> int:
        """The 48 bits before the CRC."""
        return TimedContent(self.subclass, self.rnd, self.tid, self.data).pack()


@dataclass(frozen=True, slots=True)
class PowerLimit(_Timed):
    """SetMaximumPowerLimit: watts, 0 to 18 201 624, rounded up to what 16 bits can hold."""

    watts: int

    subclass: ClassVar[ManagementSubclass] = ManagementSubclass.POWER_LIMIT
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {**_TIMED, "watts": (0, UNITS_MAX)}

    @property
    def data(self) -> int:
        return encode_units(self.watts)

    @property
    def encoded_watts(self) -> int:
        """The limit after rounding."""
        return decode_units(self.data)


@dataclass(frozen=True, slots=True)
class PhaseUnbalanceLimit(_Timed):
    """SetMaximumPhasePowerUnbalanceLimit: watts, coded as in PowerLimit."""

    watts: int

    subclass: ClassVar[ManagementSubclass] = ManagementSubclass.PHASE_UNBALANCE_LIMIT
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {**_TIMED, "watts": (0, UNITS_MAX)}

    @property
    def data(self) -> int:
        return encode_units(self.watts)

    @property
    def encoded_watts(self) -> int:
        """The limit after rounding."""
        return decode_units(self.data)


@dataclass(frozen=True, slots=True)
class ClearCredit(_Timed):
    """ClearCredit: a CreditRegister. A decoded token may name one that does not exist."""

    register: int

    subclass: ClassVar[ManagementSubclass] = ManagementSubclass.CLEAR_CREDIT
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {**_TIMED, "register": (0, WORD16_MAX)}

    @property
    def data(self) -> int:
        return self.register


@dataclass(frozen=True, slots=True)
class TariffRate(_Timed):
    """SetTariffRate: 16 raw bits, whose meaning the STS Association reserves."""

    rate: int

    subclass: ClassVar[ManagementSubclass] = ManagementSubclass.TARIFF_RATE
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {**_TIMED, "rate": (0, WORD16_MAX)}

    @property
    def data(self) -> int:
        return self.rate


@dataclass(frozen=True, slots=True)
class WaterFactor(_Timed):
    """SetWaterMeterFactor: 16 raw bits, whose meaning the STS Association reserves."""

    factor: int

    subclass: ClassVar[ManagementSubclass] = ManagementSubclass.WATER_FACTOR
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {**_TIMED, "factor": (0, WORD16_MAX)}

    @property
    def data(self) -> int:
        return self.factor


@dataclass(frozen=True, slots=True)
class ClearTamper(_Timed):
    """ClearTamperCondition: no value; the 16 bits are padding and must be 0."""

    subclass: ClassVar[ManagementSubclass] = ManagementSubclass.CLEAR_TAMPER

    @property
    def data(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class SetControl(_Timed):
    """Extended set: a value of 10 bits for control ``index`` 0 to 62."""

    index: int
    value: int

    subclass: ClassVar[ManagementSubclass] = ManagementSubclass.EXTENDED_SET
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {
        **_TIMED,
        "index": (0, FLAG_INDEX - 1),
        "value": (0, VALUE_MAX),
    }

    @property
    def data(self) -> int:
        return self.index << INDEX_SHIFT | self.value


@dataclass(frozen=True, slots=True)
class SetFlag(_Timed):
    """Extended set, index 63: MeterFlag ``flag`` (or any other of 0 to 511) on or off."""

    flag: int
    on: bool

    subclass: ClassVar[ManagementSubclass] = ManagementSubclass.EXTENDED_SET
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {**_TIMED, "flag": (0, FLAG_MAX)}

    @property
    def data(self) -> int:
        return FLAG_INDEX << INDEX_SHIFT | self.flag << 1 | self.on


Management = (
    PowerLimit
    | PhaseUnbalanceLimit
    | ClearCredit
    | TariffRate
    | WaterFactor
    | ClearTamper
    | SetControl
    | SetFlag
)


def read_management(content: int) -> Management:
    """Management token with a TID from 48 genuine bits.

    FunctionError for a proprietary sub-class, RangeError where padding is not 0.
    """
    fields = TimedContent.unpack(content)
    reader = _READERS.get(fields.subclass)
    if reader is None:
        raise FunctionError("subclass", "of this management token is reserved")
    return reader(fields.nibble, fields.tid, fields.data)


def _read_clear_tamper(rnd: int, tid: int, data: int) -> ClearTamper:
    if data != 0:
        raise RangeError("pad", "must be 0 in a ClearTamperCondition token")
    return ClearTamper(rnd, tid)


def _read_extended(rnd: int, tid: int, data: int) -> SetControl | SetFlag:
    index, value = data >> INDEX_SHIFT, data & VALUE_MAX
    if index == FLAG_INDEX:
        return SetFlag(rnd, tid, flag=value >> 1, on=bool(value & 1))
    return SetControl(rnd, tid, index=index, value=value)


_READERS: Mapping[int, Callable[[int, int, int], Management]] = {
    ManagementSubclass.POWER_LIMIT: lambda rnd, tid, data: PowerLimit(rnd, tid, decode_units(data)),
    ManagementSubclass.CLEAR_CREDIT: ClearCredit,
    ManagementSubclass.TARIFF_RATE: TariffRate,
    ManagementSubclass.CLEAR_TAMPER: _read_clear_tamper,
    ManagementSubclass.PHASE_UNBALANCE_LIMIT: lambda rnd, tid, data: PhaseUnbalanceLimit(
        rnd, tid, decode_units(data)
    ),
    ManagementSubclass.WATER_FACTOR: WaterFactor,
    ManagementSubclass.EXTENDED_SET: _read_extended,
}
