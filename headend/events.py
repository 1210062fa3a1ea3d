"""Abnormal events that meters report, with our neutral codes (0xGGNN: group and number)."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum, unique

from headend.meters import Drn, TenantId


@unique
class Severity(StrEnum):
    """How soon a person should look."""

    INFO = "info"
    NOTICE = "notice"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


@unique
class EventType(IntEnum):
    """What happened. Codes that are not listed are kept as numbers and called `unknown`."""

    LOW_CREDIT_1 = 0x0101
    LOW_CREDIT_2 = 0x0102
    EMERGENCY_CREDIT_TAKEN = 0x0103
    CREDIT_OUT = 0x0104
    OVERDRAFT = 0x0105
    CREDIT_ABOVE_MAXIMUM = 0x0106
    DISCONNECTION_HELD_OFF = 0x0107
    CURRENT_WHILE_OPEN = 0x0201
    NO_VOLTAGE_WHILE_CLOSED = 0x0202
    LOAD_VOLTAGE_WHILE_OPEN = 0x0203
    SUPPLY_OPENED = 0x0204
    SUPPLY_CLOSED = 0x0205
    OVERLOAD_TRIP = 0x0206
    METER_COVER_OPENED = 0x0301
    TERMINAL_COVER_OPENED = 0x0302
    TERMINAL_COVER_CLOSED = 0x0303
    MAGNET = 0x0304
    MAGNET_REMOVED = 0x0305
    REVERSE_CURRENT = 0x0306
    NEUTRAL_MISSING = 0x0307
    TAMPER_LOCK = 0x0308
    OTHER_TAMPER = 0x0309
    OVERVOLTAGE = 0x0401
    UNDERVOLTAGE = 0x0402
    PHASE_LOSS = 0x0403
    PHASE_INVERSION = 0x0404
    POWER_DOWN = 0x0405
    POWER_UP = 0x0406
    CLOCK_ADJUSTED = 0x0501  # or found invalid: one code, the argument tells
    BATTERY_LOW = 0x0502
    MEMORY_FAULT = 0x0503
    METERING_FAULT = 0x0504
    KEYPAD_UNIT_LOST = 0x0505
    TOKEN_ACCEPTED = 0x0601
    TOKEN_REJECTED = 0x0602
    TOKEN_LOCK_OUT = 0x0603
    KEY_CHANGED = 0x0604
    KEY_CHANGE_HALF_DONE = 0x0605
    FOREIGN_CREDIT = 0x0606
    TARIFF_ACTIVATED = 0x0701
    TARIFF_REFUSED = 0x0702
    PARAMETER_CHANGED = 0x0703
    METER_SILENT = 0x0801
    METER_BACK = 0x0802
    AUTHENTICATION_FAILURE = 0x0803
    EVENT_LOG_GAP = 0x0804
    ROUTE_MISCONFIGURED = 0x0805  # ours: what answers there is not believed

    @property
    def severity(self) -> Severity:
        return _SEVERITY.get(self, Severity.INFO)


_SEVERITY = {
    EventType.CREDIT_OUT: Severity.NOTICE,
    EventType.OVERDRAFT: Severity.NOTICE,
    EventType.CREDIT_ABOVE_MAXIMUM: Severity.NOTICE,
    EventType.CURRENT_WHILE_OPEN: Severity.CRITICAL,
    EventType.NO_VOLTAGE_WHILE_CLOSED: Severity.MAJOR,
    EventType.LOAD_VOLTAGE_WHILE_OPEN: Severity.CRITICAL,
    EventType.OVERLOAD_TRIP: Severity.MAJOR,
    EventType.METER_COVER_OPENED: Severity.CRITICAL,
    EventType.TERMINAL_COVER_OPENED: Severity.CRITICAL,
    EventType.MAGNET: Severity.CRITICAL,
    EventType.REVERSE_CURRENT: Severity.MAJOR,
    EventType.NEUTRAL_MISSING: Severity.MAJOR,
    EventType.TAMPER_LOCK: Severity.CRITICAL,
    EventType.OTHER_TAMPER: Severity.CRITICAL,
    EventType.OVERVOLTAGE: Severity.MINOR,
    EventType.UNDERVOLTAGE: Severity.MINOR,
    EventType.PHASE_LOSS: Severity.MINOR,
    EventType.PHASE_INVERSION: Severity.MINOR,
    EventType.CLOCK_ADJUSTED: Severity.MAJOR,
    EventType.MEMORY_FAULT: Severity.CRITICAL,
    EventType.METERING_FAULT: Severity.CRITICAL,
    EventType.KEYPAD_UNIT_LOST: Severity.MINOR,
    EventType.BATTERY_LOW: Severity.MINOR,
    EventType.TOKEN_REJECTED: Severity.MINOR,
    EventType.TOKEN_LOCK_OUT: Severity.MAJOR,
    EventType.KEY_CHANGE_HALF_DONE: Severity.MAJOR,
    EventType.FOREIGN_CREDIT: Severity.CRITICAL,
    EventType.TARIFF_REFUSED: Severity.CRITICAL,
    EventType.PARAMETER_CHANGED: Severity.MAJOR,
    EventType.METER_SILENT: Severity.MINOR,
    EventType.AUTHENTICATION_FAILURE: Severity.CRITICAL,
    EventType.EVENT_LOG_GAP: Severity.MAJOR,
    EventType.ROUTE_MISCONFIGURED: Severity.MAJOR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterEvent:
    """One event; unique by (tenant, drn, code, taken_at, number). `argument` is the meter's own.

    `raw_code` is the meter's own code where its model has another one than ours. Where the meter
    gave no time `taken_at` is ours, and `message` names the message that told it, as far as that
    has a name: with the same one it is the same event.
    """

    tenant: TenantId
    drn: Drn
    code: int
    taken_at: datetime
    received_at: datetime
    number: int = 0
    argument: int | None = None
    raw_code: int | None = None
    message: str | None = None

    @property
    def type(self) -> EventType | None:
        """The listed type, or None for a code we do not know."""
        try:
            return EventType(self.code)
        except ValueError:
            return None
