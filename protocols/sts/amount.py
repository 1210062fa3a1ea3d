"""TransferAmount (IEC 62055-41): integers in few bits, exact both ways.

A code is an exponent e and a mantissa m of 14 bits; its value is ``m * 10^e + offset(e)``, so the
ranges of the exponents follow each other. What lies between two codes is rounded in the
customer's favour: towards more credit. Knows nothing of units, prices or floats.
"""

from protocols.sts.errors import RangeError
from protocols.sts.limits import WORD16_MAX, require

MANTISSA_BITS = 14
MANTISSA_MAX = (1 << MANTISSA_BITS) - 1
UNIT_EXPONENTS = 4
CURRENCY_EXPONENTS = 32
SIGN_BIT = 1 << 19
CURRENCY_CODE_MAX = (1 << 20) - 1


# One more than the exponents in use, so that every range has a next one.
_STEPS: tuple[int, ...] = tuple(10**exponent for exponent in range(CURRENCY_EXPONENTS + 1))
_OFFSETS = tuple((1 << MANTISSA_BITS) * (step - 1) // 9 for step in _STEPS)
_LARGEST = tuple(
    MANTISSA_MAX * step + offset for step, offset in zip(_STEPS, _OFFSETS, strict=True)
)

UNITS_MAX = _LARGEST[UNIT_EXPONENTS - 1]
CURRENCY_MAX = _LARGEST[CURRENCY_EXPONENTS - 1]


def encode_units(amount: int) -> int:
    """16-bit code of the smallest encodable value not below ``amount``.

    ``amount`` counts tenths of a unit for credit and watts for power limits, 0 to UNITS_MAX;
    RangeError beyond.
    """
    require("amount", amount, 0, UNITS_MAX)
    return _round_up(amount)


def decode_units(code: int) -> int:
    """The value of a 16-bit code, exactly."""
    require("amount_field", code, 0, WORD16_MAX)
    return _value(code)


def encode_currency(amount: int) -> int:
    """20-bit code (sign 1, exponent 5, mantissa 14) of the smallest value not below ``amount``.

    ``amount`` counts 0.00001 of the base currency, at most CURRENCY_MAX either side of zero;
    RangeError beyond. A negative amount therefore loses magnitude.
    """
    if abs(amount) > CURRENCY_MAX:
        raise RangeError("amount", "exceeds the largest amount of currency that a token can carry")
    return _round_up(amount) if amount >= 0 else SIGN_BIT | _round_down(-amount)


def decode_currency(code: int) -> int:
    """The value of a 20-bit code, exactly; the code of minus zero is zero."""
    require("amount_field", code, 0, CURRENCY_CODE_MAX)
    magnitude = _value(code & ~SIGN_BIT)
    return -magnitude if code & SIGN_BIT else magnitude


def _value(code: int) -> int:
    exponent, mantissa = code >> MANTISSA_BITS, code & MANTISSA_MAX
    return mantissa * _STEPS[exponent] + _OFFSETS[exponent]


def _round_up(magnitude: int) -> int:
    exponent = 0
    while magnitude > _LARGEST[exponent]:
        exponent += 1
    mantissa = -((_OFFSETS[exponent] - magnitude) // _STEPS[exponent])
    return exponent << MANTISSA_BITS | mantissa


def _round_down(magnitude: int) -> int:
    exponent = 0
    while magnitude >= _OFFSETS[exponent + 1]:
        exponent += 1
    mantissa = min(MANTISSA_MAX, (magnitude - _OFFSETS[exponent]) // _STEPS[exponent])
    return exponent << MANTISSA_BITS | mantissa
