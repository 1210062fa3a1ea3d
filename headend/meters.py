"""Payment meters: what they are, where they answer, how their tokens are made."""

from dataclasses import dataclass
from datetime import datetime
from enum import Flag, IntEnum, StrEnum, auto, unique
from typing import NewType

from headend.quantities import Unit
from headend.refusals import MalformedMeterNumber, WrongCheckDigit
from protocols.sts.drn import luhn_digit

Drn = NewType("Drn", str)
TenantId = NewType("TenantId", str)
BusName = NewType("BusName", str)
ProfileName = NewType("ProfileName", str)
UsagePointId = NewType("UsagePointId", str)


@unique
class Service(StrEnum):
    """What the meter sells; decides the unit of its credit tokens."""

    ELECTRICITY = "electricity"
    WATER = "water"
    GAS = "gas"
    TIME = "time"

    @property
    def unit(self) -> Unit:
        return _UNITS[self]


_UNITS = {
    Service.ELECTRICITY: Unit.KWH,
    Service.WATER: Unit.M3,
    Service.GAS: Unit.M3,
    Service.TIME: Unit.MIN,
}


@unique
class Keypad(StrEnum):
    """Where a person can type a token."""

    METER = "meter"
    REMOTE_UNIT = "remote_unit"
    NONE = "none"


@unique
class MeterState(StrEnum):
    """Life cycle of a meter."""

    IN_SERVICE = "in_service"
    SUSPENDED = "suspended"
    RETIRED = "retired"


class Capability(Flag):
    """What a profile can do on its wire."""

    NONE = 0
    READ = auto()
    ENTER_TOKEN = auto()
    TOKEN_OUTCOME = auto()
    SUPPLY = auto()
    SUPPLY_ORDER = auto()
    CLOCK = auto()
    EVENTS = auto()
    STS_CONFIGURATION = auto()
    CREDIT_REGISTER = auto()
    HISTORY = auto()
    CREDIT_PARAMETERS = auto()
    POWER_LIMIT = auto()


class KeyType(IntEnum):
    """IEC 62055-41, key types."""

    INITIALIZATION = 0
    DEFAULT = 1
    UNIQUE = 2
    COMMON = 3


@dataclass(frozen=True, slots=True)
class Route:
    """Where a meter answers: a bus of the settings and the address on it.

    `address` is the unit id on Modbus ("17"), the gateway id on MQTT ("gw-3").
    """

    bus: BusName
    address: str


@dataclass(frozen=True, slots=True)
class StsConfiguration:
    """What a decoder key is made from, apart from the vending key (IEC 62055-41)."""

    sgc: str
    krn: int
    tariff_index: int
    key_type: KeyType
    ea: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One payment meter. `version` rises with every change (ETag of the REST resource).

    `currency` is the ISO 4217 code of a meter that counts money, None of one that counts units.
    """

    tenant: TenantId
    drn: Drn
    service: Service
    profile: ProfileName
    route: Route | None
    sts: StsConfiguration
    keypad: Keypad
    currency: str | None = None
    state: MeterState = MeterState.IN_SERVICE
    usage_point: UsagePointId | None = None
    version: int = 1
    changed_at: datetime


def parse_drn(text: str, *, field: str = "meter") -> Drn:
    """Check a decoder reference number: 11 or 13 digits, the last is a Luhn digit.

    Raises MalformedMeterNumber, WrongCheckDigit (IEC 62055-41, DRN).
    """
    if len(text) not in (11, 13) or not (text.isascii() and text.isdigit()):
        raise MalformedMeterNumber("a meter number is 11 or 13 digits, as text", field=field)
    expected = luhn_digit(text[:-1])
    if int(text[-1]) != expected:
        raise WrongCheckDigit(
            f"meter number {text} ends in {text[-1]}, its digits ask for {expected};"
            " compare it with the plate",
            field=field,
        )
    return Drn(text)
