"""Decoder reference number and meter PAN (IEC 62055-41): the number of a meter.

Two lengths exist: 11 digits under IIN 600727 and 13 digits under IIN 0000. Both end in a Luhn digit
(ISO/IEC 7812-1), and the 18-digit PAN adds one more. Knows nothing of keys.
"""

from dataclasses import dataclass
from typing import Self

from protocols.sts.errors import CheckDigitError, RangeError

IIN_OF_LENGTH = {11: "600727", 13: "0000"}
MFR_DIGITS_OF_LENGTH = {11: 2, 13: 4}
SERIAL_DIGITS = 8
PAN_DIGITS = 18


def luhn_digit(payload: str) -> int:
    """Check digit (mod 10) that belongs behind the decimal digits of ``payload``."""
    if not is_decimal(payload):
        raise RangeError("payload", "must be decimal digits")
    total = 0
    for place, digit in enumerate(reversed(payload)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return -total % 10


def is_decimal(text: str) -> bool:
    """Whether a text is one or more of the ASCII digits 0 to 9."""
    return text.isascii() and text.isdigit()


@dataclass(frozen=True, slots=True)
class Drn:
    """Meter number: manufacturer code (2 or 4 digits), serial number (8), check digit.

    Raises RangeError for anything but 11 or 13 digits, CheckDigitError for a mistyped one.
    """

    digits: str

    def __post_init__(self) -> None:
        if not is_decimal(self.digits) or len(self.digits) not in IIN_OF_LENGTH:
            raise RangeError("drn", "must be 11 or 13 decimal digits")
        _require_check_digit("drn", self.digits)

    @classmethod
    def build(cls, *, mfr_code: str, serial: str) -> Self:
        """Meter number with its check digit put on."""
        if len(serial) != SERIAL_DIGITS:
            raise RangeError("serial", f"must be {SERIAL_DIGITS} decimal digits")
        payload = mfr_code + serial
        return cls(f"{payload}{luhn_digit(payload)}")

    @property
    def iin(self) -> str:
        """Issuer identification number that goes with this length."""
        return IIN_OF_LENGTH[len(self.digits)]

    @property
    def mfr_code(self) -> str:
        """Manufacturer code, two or four digits."""
        return self.digits[: MFR_DIGITS_OF_LENGTH[len(self.digits)]]

    @property
    def serial(self) -> str:
        """Serial number, eight digits."""
        return self.digits[-SERIAL_DIGITS - 1 : -1]

    def __str__(self) -> str:
        return self.digits


@dataclass(frozen=True, slots=True)
class MeterPan:
    """Meter primary account number: IIN, DRN and one more check digit; always 18 digits.

    Raises RangeError for another form, CheckDigitError when either check digit is wrong.
    """

    digits: str

    def __post_init__(self) -> None:
        if not is_decimal(self.digits) or len(self.digits) != PAN_DIGITS:
            raise RangeError("meter_pan", f"must be {PAN_DIGITS} decimal digits")
        _require_check_digit("meter_pan", self.digits)
        _drn_in(self.digits)

    @classmethod
    def of(cls, drn: Drn) -> Self:
        """The PAN of a meter number."""
        payload = drn.iin + drn.digits
        return cls(f"{payload}{luhn_digit(payload)}")

    @property
    def drn(self) -> Drn:
        """The meter number inside."""
        return _drn_in(self.digits)

    def __str__(self) -> str:
        return self.digits


def _drn_in(pan: str) -> Drn:
    for length, iin in IIN_OF_LENGTH.items():
        if pan.startswith(iin):
            return Drn(pan[-length - 1 : -1])
    raise RangeError("meter_pan", "must start with 600727 or 0000")


def _require_check_digit(field: str, digits: str) -> None:
    if luhn_digit(digits[:-1]) != int(digits[-1]):
        raise CheckDigitError(field, "Luhn check digit does not fit; was it mistyped?")
