"""What a DL/T 645 meter is told: supply, clock, and frames that a security module made (5.3, 7).

A plain password goes by its class (02 to 04); class 98 means that the data is ciphertext with a
MAC, which only the utility's security module can make: such data passes through here untouched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum, unique

from protocols.dlt645.data import packed_bytes, time_bytes
from protocols.dlt645.frame import BROADCAST_ADDRESS, WRITE_MAX_BYTES, Frame, Function

PLAIN_CLASSES = (2, 3, 4)
SIGNED_CLASS = 0x98
DATE_IDENTIFIER = "04000101"
TIME_IDENTIFIER = "04000102"
# Where the class of the password stands in the data of what carries one.
_ACCESS_AT: Mapping[int, int] = {
    Function.CONTROL: 0,
    Function.WRITE: 4,
    Function.CLEAR_DEMAND: 0,
    Function.CLEAR_METER: 0,
    Function.CLEAR_EVENTS: 0,
}
_READS = frozenset({Function.READ, Function.READ_NEXT, Function.READ_ADDRESS})
_PASSWORD_BYTES = 3
_HARMLESS = frozenset({DATE_IDENTIFIER, TIME_IDENTIFIER})


@unique
class Control(IntEnum):
    """The order byte N1 of a control frame."""

    TRIP = 0x1A
    PERMIT_CLOSE = 0x1B  # the customer presses the button
    CLOSE = 0x1C
    ALARM = 0x2A
    END_ALARM = 0x2B
    KEEP_SUPPLY = 0x3A
    END_KEEP_SUPPLY = 0x3B


@dataclass(frozen=True, slots=True)
class Access:
    """A plain password of a class, and who uses it. `password`: 6 decimal digits."""

    level: int
    password: str = field(repr=False)
    operator: int = 0

    def __post_init__(self) -> None:
        if self.level not in PLAIN_CLASSES:
            raise ValueError("a plain password is of class 2, 3 or 4")
        if len(self.password) != 6 or not self.password.isdecimal():
            raise ValueError("a password has 6 decimal digits")

    def encode(self) -> bytes:
        """PA P0 P1 P2 C0 C1 C2 C3."""
        password = bytes([self.level]) + bytes.fromhex(self.password)[::-1]
        return password + packed_bytes(self.operator, 4)


def control_request(address: str, access: Access, order: Control, *, until: datetime) -> Frame:
    """Order supply; worthless after `until` (in the meter's own zone)."""
    data = access.encode() + bytes([order, 0]) + time_bytes(until)
    return Frame(address=address, function=Function.CONTROL, data=data)


def write_request(address: str, access: Access, identifier: str, value: bytes) -> Frame:
    """Write a parameter under a plain password."""
    data = bytes.fromhex(identifier)[::-1] + access.encode() + value
    if len(data) > WRITE_MAX_BYTES:
        raise ValueError(f"{len(data)} bytes to write, at most {WRITE_MAX_BYTES}")
    return Frame(address=address, function=Function.WRITE, data=data)


def set_date_value(moment: datetime) -> bytes:
    """WW DD MM YY of DATE_IDENTIFIER; 00 is Sunday."""
    weekday = moment.isoweekday() % 7
    parts = (weekday, moment.day, moment.month, moment.year % 100)
    return b"".join(packed_bytes(part, 1) for part in parts)


def set_time_value(moment: datetime) -> bytes:
    """ss mm hh of TIME_IDENTIFIER."""
    return b"".join(packed_bytes(part, 1) for part in (moment.second, moment.minute, moment.hour))


def broadcast_time(moment: datetime) -> Frame:
    """The time to every meter on the line; nobody answers, and each takes it once a day (7.3)."""
    return Frame(
        address=BROADCAST_ADDRESS, function=Function.BROADCAST_TIME, data=time_bytes(moment)
    )


def signed_request(address: str, function: Function, data: bytes) -> Frame:
    """A frame whose data a security module made; it is carried as it is."""
    return Frame(address=address, function=function, data=data)


def without_secrets(frame: Frame) -> Frame:
    """A request as it may be shown: as long, zeros in place of its password.

    Of what a security module made, and of values that may be secret themselves, nothing is kept.
    """
    if frame.function in _READS:
        return frame
    data = bytearray(frame.data)
    kept = _ACCESS_AT.get(frame.function, -1) + 1
    level = data[kept - 1] if 0 < kept <= len(data) else 0
    tail = kept + _PASSWORD_BYTES
    if level not in PLAIN_CLASSES or not _value_is_harmless(frame, kept - 1):
        tail = len(data)
    data[kept:tail] = bytes(len(data[kept:tail]))
    return replace(frame, data=bytes(data))


def _value_is_harmless(frame: Frame, access_at: int) -> bool:
    """Of what is written only the clock is known to be; passwords are parameters too."""
    return access_at == 0 or frame.data[:access_at][::-1].hex() in _HARMLESS
