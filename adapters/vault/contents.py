"""What an order asks a token to hold: orders of the core as contents of a token, checked by field.

Knows nothing of keys. What 66 bits cannot hold is refused and named; what they hold only nearly is
rounded as the standard says, and `encoded_amount` tells what came of it.
"""

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, Context, Decimal
from typing import TypeAlias

from headend.meters import Drn, Service
from headend.quantities import CURRENCY_PLACES, Amount, Currency, Units
from headend.refusals import (
    AmountNotPositive,
    AmountTooLarge,
    MalformedAmount,
    MalformedOrder,
    OrderRefused,
    WrongUnit,
)
from headend.tokens import (
    Issued,
    IssuedToken,
    ManagementKind,
    ManagementOrder,
    TokenOrder,
    TokenPurpose,
)
from protocols.sts import drn as sts
from protocols.sts.amount import CURRENCY_MAX, UNITS_MAX
from protocols.sts.credit import Credit, CreditCurrency, CreditUnits
from protocols.sts.errors import StsError
from protocols.sts.management import (
    FLAG_INDEX,
    ClearCredit,
    ClearTamper,
    Management,
    PhaseUnbalanceLimit,
    PowerLimit,
    SetControl,
    SetFlag,
    TariffRate,
    WaterFactor,
)
from protocols.sts.metertest import ExtendedRead, MeterTest, MeterTestToken, generic_tests
from protocols.sts.tables import CreditRegister, CreditSubclass, MeterTestNumber
from protocols.sts.token import encode

Contents: TypeAlias = Credit | Management

UNIT_SUBCLASSES = {
    Service.ELECTRICITY: CreditSubclass.ELECTRICITY,
    Service.WATER: CreditSubclass.WATER,
    Service.GAS: CreditSubclass.GAS,
    Service.TIME: CreditSubclass.TIME,
}
CURRENCY_SUBCLASSES = {
    Service.ELECTRICITY: CreditSubclass.ELECTRICITY_CURRENCY,
    Service.WATER: CreditSubclass.WATER_CURRENCY,
    Service.GAS: CreditSubclass.GAS_CURRENCY,
    Service.TIME: CreditSubclass.TIME_CURRENCY,
}
SERVICES = {
    subclass: service
    for subclasses in (UNIT_SUBCLASSES, CURRENCY_SUBCLASSES)
    for service, subclass in subclasses.items()
}

# The largest amount of currency has 36 digits, more than the decimals of Python keep by default.
EXACT = Context(prec=64)
CURRENCY_STEPS = Decimal(10**CURRENCY_PLACES)

# Fields of the contents under the names that they have in an order.
ORDER_FIELDS = {
    "watts": "value",
    "register": "value",
    "rate": "value",
    "factor": "value",
    "flag": "index",
}


def contents_of(order: TokenOrder, tid: int) -> Contents:
    """Contents of a credit or management token; raises OrderRefused naming the field."""
    match order.content:
        case Units() as amount:
            return _units(order, amount, tid)
        case Currency() as amount:
            return _currency(order, amount, tid)
        case ManagementOrder() as wanted:
            return _management(wanted, _rnd(order), tid)


def meter_test(order: TokenOrder) -> Issued | None:
    """The token of class 1 that an order asks for, if it does: clear text, made without a key."""
    wanted = order.content
    if not isinstance(wanted, ManagementOrder) or wanted.kind.needs_key:
        return None
    digits = encode(_class_1(order.drn, wanted), None)
    return Issued((IssuedToken(digits, None, TokenPurpose.TEST),))


def _class_1(drn: Drn, wanted: ManagementOrder) -> MeterTestToken:
    match wanted.kind:
        case ManagementKind.READ_CONTROL:
            _require_no(wanted, "value")
            return _read_back(_index(wanted))
        case ManagementKind.READ_FLAG:
            _require_no(wanted, "value")
            _require_no(wanted, "index")
            return ExtendedRead(FLAG_INDEX)
    return meter_test_of(drn, wanted)


def _read_back(index: int) -> ExtendedRead:
    """The extended read has the 36-bit form only, whatever the meter's manufacturer code."""
    if not 0 <= index < FLAG_INDEX:
        raise MalformedOrder(f"a control is 0 to {FLAG_INDEX - 1}", field="index")
    return ExtendedRead(index)


def meter_test_of(drn: Drn, wanted: ManagementOrder) -> MeterTest:
    """A class 1 token, generic, in the form for this meter's manufacturer code.

    An 11-digit meter number has a 2-digit code, a 13-digit one a 4-digit code.
    """
    _require_no(wanted, "index")
    number = _value(wanted)
    try:
        short, long = generic_tests(MeterTestNumber(number))
    except ValueError:
        last = max(MeterTestNumber)
        raise MalformedOrder(f"a test number lies between 0 and {last}", field="value") from None
    return short if len(pan_of(drn).drn.mfr_code) == 2 else long


def encoded_amount(contents: Contents, asked: Amount | ManagementOrder) -> Amount | None:
    """The amount that a credit token really holds; None for a management token."""
    match contents, asked:
        case CreditUnits(), Units(unit=unit):
            return Units.of_tenths(contents.encoded_tenths, unit)
        case CreditCurrency(), Currency(code=code):
            return currency_of(contents.encoded_1e5, code)
    return None


def currency_of(hundred_thousandths: int, code: str) -> Currency:
    """An amount of currency, exact up to the largest that a token holds."""
    return Currency(EXACT.divide(Decimal(hundred_thousandths), CURRENCY_STEPS), code)


def pan_of(drn: Drn) -> sts.MeterPan:
    """The meter PAN of a meter number; raises OrderRefused for a wrong one."""
    try:
        return sts.MeterPan.of(sts.Drn(drn))
    except StsError as exc:
        raise OrderRefused(exc.problem, field="drn") from None


# --- credit -----------------------------------------------------------------------------------


def _units(order: TokenOrder, amount: Units, tid: int) -> CreditUnits:
    _require_positive(amount)
    if amount.unit is not order.service.unit:
        raise WrongUnit(
            f"a meter for {order.service} counts {order.service.unit}, not {amount.unit}",
            field="amount.unit",
        )
    if amount.tenths > UNITS_MAX:
        largest = Units.of_tenths(UNITS_MAX, amount.unit)
        raise AmountTooLarge(f"a token carries at most {largest}", field="amount.value")
    return CreditUnits(UNIT_SUBCLASSES[order.service], _rnd(order), tid, amount.tenths)


def _currency(order: TokenOrder, amount: Currency, tid: int) -> CreditCurrency:
    _require_positive(amount)
    steps = EXACT.multiply(amount.value, CURRENCY_STEPS)
    number = int(steps.to_integral_value(ROUND_CEILING, context=EXACT))
    if number > CURRENCY_MAX:
        largest = currency_of(CURRENCY_MAX, amount.code)
        raise AmountTooLarge(f"a token carries at most {largest}", field="amount.value")
    return CreditCurrency(CURRENCY_SUBCLASSES[order.service], tid, number)


def _require_positive(amount: Amount) -> None:
    if not amount.value.is_finite():
        raise MalformedAmount("the amount must be a number", field="amount.value")
    if amount.value <= 0:
        raise AmountNotPositive("the amount must be more than zero", field="amount.value")


# --- management -------------------------------------------------------------------------------


def _management(wanted: ManagementOrder, rnd: int, tid: int) -> Management:
    try:
        if wanted.kind is ManagementKind.SET_CONTROL:
            return SetControl(rnd, tid, index=_index(wanted), value=_value(wanted))
        if wanted.kind is ManagementKind.SET_FLAG:
            return SetFlag(rnd, tid, flag=_index(wanted), on=_on(wanted))
        _require_no(wanted, "index")
        if wanted.kind is ManagementKind.CLEAR_TAMPER:
            _require_no(wanted, "value")
            return ClearTamper(rnd, tid)
        return _MAKERS[wanted.kind](rnd, tid, _value(wanted))
    except StsError as exc:
        field = ORDER_FIELDS.get(exc.field, exc.field)
        raise MalformedOrder(f"{field} {exc.problem}", field=field) from None


def _clear_credit(rnd: int, tid: int, register: int) -> ClearCredit:
    if register not in _REGISTERS:
        raise MalformedOrder(
            f"a credit register is 0 to 7, or {CreditRegister.ALL} for all", field="value"
        )
    return ClearCredit(rnd, tid, register)


_REGISTERS = frozenset(CreditRegister)
_MAKERS: Mapping[ManagementKind, Callable[[int, int, int], Management]] = {
    ManagementKind.POWER_LIMIT: PowerLimit,
    ManagementKind.CLEAR_CREDIT: _clear_credit,
    ManagementKind.TARIFF_RATE: TariffRate,
    ManagementKind.UNBALANCE_LIMIT: PhaseUnbalanceLimit,
    ManagementKind.WATER_FACTOR: WaterFactor,
}


def _rnd(order: TokenOrder) -> int:
    if order.rnd is None or not 0 <= order.rnd <= 15:
        raise MalformedOrder("rnd must lie between 0 and 15", field="rnd")
    return order.rnd


def _value(wanted: ManagementOrder) -> int:
    if wanted.value is None:
        raise MalformedOrder(f"{wanted.kind} needs a value", field="value")
    return wanted.value


def _index(wanted: ManagementOrder) -> int:
    if wanted.index is None:
        raise MalformedOrder(f"{wanted.kind} needs an index", field="index")
    return wanted.index


def _on(wanted: ManagementOrder) -> bool:
    if _value(wanted) not in {0, 1}:
        raise MalformedOrder("the value of a flag is 0 or 1", field="value")
    return wanted.value == 1


def _require_no(wanted: ManagementOrder, name: str) -> None:
    if getattr(wanted, name) is not None:
        raise MalformedOrder(f"{wanted.kind} takes no {name}", field=name)
