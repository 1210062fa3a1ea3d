"""Tokens by their names: ``electricity=25.6``, ``clear-tamper``, ``meter-test=display``.

The names are those of the sub-classes of IEC 62055-41. Knows nothing of keys, TIDs and digits.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import IntEnum
from fractions import Fraction
from functools import partial
from typing import TypeVar

from protocols.sts.amount import CURRENCY_MAX, UNITS_MAX
from protocols.sts.credit import CreditCurrency, CreditUnits
from protocols.sts.errors import RangeError
from protocols.sts.limits import WORD16_MAX, require
from protocols.sts.management import (
    FLAG_INDEX,
    ClearCredit,
    ClearTamper,
    PhaseUnbalanceLimit,
    PowerLimit,
    SetControl,
    SetFlag,
    TariffRate,
    WaterFactor,
)
from protocols.sts.metertest import ExtendedRead, MeterTest, MeterTestToken, generic_tests
from protocols.sts.tables import (
    CreditRegister,
    CreditSubclass,
    MeterFlag,
    MeterTestNumber,
    MeterTestSubclass,
)
from protocols.sts.token import TimedContents

TENTHS = 10
CURRENCY_STEPS = 100_000
LONG_DRN_DIGITS = 13

_AMOUNT = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE]\+?[0-9]{1,2})?", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,12}|0[xX][0-9a-fA-F]{1,10}", re.ASCII)

Member = TypeVar("Member", bound=IntEnum)


@dataclass(frozen=True, slots=True)
class TimedOrder:
    """A token of class 0 or 2: what it says is known, RND and TID are still to come."""

    name: str
    make: Callable[[int, int], TimedContents]


@dataclass(frozen=True, slots=True)
class MeterTestOrder:
    """Tokens of class 1, complete: in both forms where the meter's is not known."""

    name: str
    tokens: tuple[MeterTestToken, ...]


Order = TimedOrder | MeterTestOrder


def order_of(text: str, *, drn_digits: int | None) -> Order:
    """What ``name=value`` asks for; RangeError names the token, or the field that is wrong.

    ``drn_digits`` is the length of the meter's number, which decides the form of class 1 tokens.
    """
    name, given, value = text.partition("=")
    if name in _TESTS:
        return MeterTestOrder(name, _in_form(_TESTS[name](value), drn_digits))
    reader = _TIMED.get(name)
    if reader is None:
        raise RangeError("token", _unknown(name))
    if not given and name not in _WITHOUT_VALUE:
        raise RangeError(name, f"needs a value: {name}={_EXAMPLES[name]}")
    return TimedOrder(name, reader(value))


def spelled(member: IntEnum) -> str:
    """A member of a table as it is written on the command line."""
    return member.name.lower().replace("_", "-")


_Reader = Callable[[str], Callable[[int, int], TimedContents]]


def _units(subclass: CreditSubclass, text: str) -> Callable[[int, int], TimedContents]:
    tenths = _steps("amount", text, TENTHS)
    if not 0 <= tenths <= UNITS_MAX:
        largest = f"{UNITS_MAX // TENTHS}.{UNITS_MAX % TENTHS}"
        raise RangeError("amount", f"must lie between 0 and {largest}")
    return lambda rnd, tid: CreditUnits(subclass, rnd, tid, tenths)


def _currency(subclass: CreditSubclass, text: str) -> Callable[[int, int], TimedContents]:
    amount = _steps("amount", text, CURRENCY_STEPS)
    if abs(amount) > CURRENCY_MAX:
        raise RangeError("amount", "is more than the largest amount of currency in a token")
    return lambda _rnd, tid: CreditCurrency(subclass, tid, amount)


def _power_limit(text: str) -> Callable[[int, int], TimedContents]:
    return lambda rnd, tid: PowerLimit(rnd, tid, _whole("watts", text))


def _unbalance_limit(text: str) -> Callable[[int, int], TimedContents]:
    return lambda rnd, tid: PhaseUnbalanceLimit(rnd, tid, _whole("watts", text))


def _clear_credit(text: str) -> Callable[[int, int], TimedContents]:
    register = _member("register", text, CreditRegister)
    return lambda rnd, tid: ClearCredit(rnd, tid, register)


def _tariff_rate(text: str) -> Callable[[int, int], TimedContents]:
    return lambda rnd, tid: TariffRate(rnd, tid, _whole("rate", text))


def _water_factor(text: str) -> Callable[[int, int], TimedContents]:
    return lambda rnd, tid: WaterFactor(rnd, tid, _whole("factor", text))


def _clear_tamper(text: str) -> Callable[[int, int], TimedContents]:
    if text:
        raise RangeError("clear-tamper", "takes no value")
    return ClearTamper


def _set_flag(text: str) -> Callable[[int, int], TimedContents]:
    flag, _, state = text.partition(":")
    if state not in {"on", "off"}:
        raise RangeError("flag", f"must be set :on or :off, as in {_EXAMPLES['set-flag']}")
    number = _member("flag", flag, MeterFlag)
    return lambda rnd, tid: SetFlag(rnd, tid, flag=number, on=state == "on")


def _set_control(text: str) -> Callable[[int, int], TimedContents]:
    index, _, value = text.partition(":")
    numbers = _whole("index", index), _whole("value", value)
    return lambda rnd, tid: SetControl(rnd, tid, *numbers)


def _meter_test(text: str) -> tuple[MeterTestToken, ...]:
    number = _member("meter-test", text, MeterTestNumber)
    if number not in set(MeterTestNumber):
        raise RangeError("meter-test", f"must lie between 0 and {max(MeterTestNumber)}")
    return generic_tests(MeterTestNumber(number))


def _manufacturer_test(text: str) -> tuple[MeterTestToken, ...]:
    subclass, _, rest = text.partition(":")
    control, _, mfr_code = rest.partition(":")
    number = _whole("subclass", subclass)
    require("subclass", number, MeterTestSubclass.MANUFACTURER_6, MeterTestSubclass.MANUFACTURER_15)
    numbers = _whole("control", control), _whole("mfr_code", mfr_code)
    return (MeterTest(MeterTestSubclass(number), *numbers),)


def _read_control(text: str) -> tuple[MeterTestToken, ...]:
    index = _whole("index", text)
    require("index", index, 0, FLAG_INDEX - 1)
    return (ExtendedRead(index),)


def _read_flag(text: str) -> tuple[MeterTestToken, ...]:
    if text:
        raise RangeError("read-flag", "takes no value")
    return (ExtendedRead(FLAG_INDEX),)


_TIMED: Mapping[str, _Reader] = {
    **{
        spelled(subclass): partial(_currency if subclass.is_currency else _units, subclass)
        for subclass in CreditSubclass
    },
    "power-limit": _power_limit,
    "clear-credit": _clear_credit,
    "tariff-rate": _tariff_rate,
    "clear-tamper": _clear_tamper,
    "unbalance-limit": _unbalance_limit,
    "water-factor": _water_factor,
    "set-flag": _set_flag,
    "set-control": _set_control,
}
_TESTS: Mapping[str, Callable[[str], tuple[MeterTestToken, ...]]] = {
    "meter-test": _meter_test,
    "read-control": _read_control,
    "read-flag": _read_flag,
    "manufacturer-test": _manufacturer_test,
}
_WITHOUT_VALUE = {"clear-tamper"}
_EXAMPLES = {
    **dict.fromkeys(_TIMED, "25.6"),
    "power-limit": "5000",
    "unbalance-limit": "500",
    "clear-credit": "electricity",
    "tariff-rate": "17",
    "water-factor": "1",
    "set-flag": "disconnect-on-tamper:on",
    "set-control": "0:123",
}


def _in_form(
    tokens: tuple[MeterTestToken, ...], drn_digits: int | None
) -> tuple[MeterTestToken, ...]:
    if len(tokens) == 1 or drn_digits is None:
        return tokens
    short, long = tokens
    return (long,) if drn_digits == LONG_DRN_DIGITS else (short,)


def _steps(name: str, text: str, per_unit: int) -> int:
    """A decimal amount as a whole number of steps."""
    if not _AMOUNT.fullmatch(text):
        raise RangeError(name, "must be a decimal number, as in 25.6")
    steps = Fraction(text) * per_unit
    if steps.denominator != 1:
        raise RangeError(name, f"is finer than 1/{per_unit}; round it first")
    return steps.numerator


def _whole(name: str, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise RangeError(name, "must be a whole number, decimal or with 0x")
    return int(text, 0) if text.lower().startswith("0x") else int(text)


def _member(name: str, text: str, table: type[Member]) -> int:
    """A number, or a name out of a table."""
    named = {spelled(member): int(member) for member in table}
    if text in named:
        return named[text]
    if not _WHOLE.fullmatch(text):
        raise RangeError(name, f"must be a number or one of {', '.join(named)}")
    number = _whole(name, text)
    require(name, number, 0, WORD16_MAX)
    return number


def _unknown(name: str) -> str:
    names = (*_TIMED, *_TESTS)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"no token is called {name[:40]!r}; did you mean {close[0]}?"
    return f"no token is called {name[:40]!r}; there are {', '.join(names)}"
