"""What a token vector asks to be encoded: its inputs as contents of a token."""

from decimal import ROUND_CEILING, Decimal, InvalidOperation

from protocols.sts.credit import Credit, CreditCurrency, CreditUnits
from protocols.sts.management import (
    FLAG_INDEX,
    INDEX_SHIFT,
    VALUE_MAX,
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
from protocols.sts.metertest import (
    SELECTOR_BITS,
    ExtendedRead,
    MeterTest,
    MeterTestToken,
    control_bits_of,
)
from protocols.sts.tables import BaseDate, CreditSubclass, ManagementSubclass, MeterTestSubclass
from protocols.sts.tid import is_reserved, next_tid, tid_at
from protocols.sts.vector_records import Fields, Record

CURRENCY_STEP = 100_000
CURRENCY_DIGITS = 40
BURST_MINUTES = 60  # tokens of one minute take the TIDs that follow; more is no burst
SUBCLASS_OF_VALUE_KIND = {
    "mpl_w": ManagementSubclass.POWER_LIMIT,
    "register": ManagementSubclass.CLEAR_CREDIT,
    "pad": ManagementSubclass.CLEAR_TAMPER,
    "mppul_w": ManagementSubclass.PHASE_UNBALANCE_LIMIT,
    "extended16": ManagementSubclass.EXTENDED_SET,
}


def credit_of(record: Record) -> Credit:
    """Credit in units or currency, by the sub-class."""
    inputs = record.inputs
    subclass = inputs.member("subclass", CreditSubclass)
    tid = tid_of(record)
    if subclass.is_currency:
        return CreditCurrency(subclass, tid, _currency_of(record))
    return CreditUnits(subclass, inputs.integer("rnd"), tid, inputs.integer("amount_tenths"))


def management_of(record: Record) -> Management:
    """A management token, by the sub-class; ``value`` is in watts, or the raw 16 bits."""
    inputs = record.inputs
    subclass = inputs.member("subclass", ManagementSubclass)
    _check_value_kind(inputs, subclass)
    rnd, tid, value = inputs.integer("rnd"), tid_of(record), inputs.integer("value")
    match subclass:
        case ManagementSubclass.POWER_LIMIT:
            return PowerLimit(rnd, tid, value)
        case ManagementSubclass.CLEAR_CREDIT:
            return ClearCredit(rnd, tid, value)
        case ManagementSubclass.TARIFF_RATE:
            return TariffRate(rnd, tid, value)
        case ManagementSubclass.CLEAR_TAMPER:
            return ClearTamper(rnd, tid)
        case ManagementSubclass.PHASE_UNBALANCE_LIMIT:
            return PhaseUnbalanceLimit(rnd, tid, value)
        case ManagementSubclass.WATER_FACTOR:
            return WaterFactor(rnd, tid, value)
        case ManagementSubclass.EXTENDED_SET:
            return _extended(rnd, tid, value)
    raise inputs.wrong("subclass", "is a key change, which comes as a set")


def meter_test_of(record: Record) -> MeterTestToken:
    """A class 1 token."""
    inputs = record.inputs
    subclass = inputs.member("subclass", MeterTestSubclass)
    control, mfr_code = inputs.integer("control"), inputs.integer("mfr_code")
    record.compare("control_bits", control_bits_of(subclass), inputs.integer("control_bits"))
    if subclass is MeterTestSubclass.EXTENDED_READ:
        selector = control & (1 << SELECTOR_BITS) - 1
        return ExtendedRead(control >> SELECTOR_BITS, selector, mfr_code)
    return MeterTest(subclass, control, mfr_code)


def tid_of(record: Record) -> int:
    """TID of the record, compared with its time of issue where it tells both.

    A given TID may be the reserved minute, or run some minutes ahead as in a burst.
    """
    inputs = record.inputs
    if "issue_time" not in inputs:
        return inputs.integer("tid")
    base, moment = inputs.member("base_date", BaseDate), inputs.moment("issue_time")
    first = next_tid(base, moment)
    if "tid" not in inputs:
        return first
    tid = inputs.integer("tid")
    special = tid == tid_at(base, moment)
    burst = first <= tid < first + BURST_MINUTES and not is_reserved(tid)
    record.compare("tid", tid if special or burst else first, tid)
    return tid


def _currency_of(record: Record) -> int:
    inputs = record.inputs
    if "amount_currency" not in inputs:
        return inputs.integer("amount_1e5")
    try:
        exact = Decimal(inputs.text("amount_currency"))
    except InvalidOperation:
        raise inputs.wrong("amount_currency", "must be a decimal number") from None
    if not exact.is_finite() or exact.adjusted() > CURRENCY_DIGITS:
        raise inputs.wrong("amount_currency", "is beyond all amounts")
    amount = int((exact * CURRENCY_STEP).to_integral_value(ROUND_CEILING))
    record.compare_if_there(inputs, "amount_1e5", amount)
    return amount


def _extended(rnd: int, tid: int, value: int) -> SetControl | SetFlag:
    index, rest = value >> INDEX_SHIFT, value & VALUE_MAX
    if index == FLAG_INDEX:
        return SetFlag(rnd, tid, flag=rest >> 1, on=bool(rest & 1))
    return SetControl(rnd, tid, index=index, value=rest)


def _check_value_kind(inputs: Fields, subclass: ManagementSubclass) -> None:
    if "value_kind" not in inputs:
        return
    expected = SUBCLASS_OF_VALUE_KIND.get(inputs.text("value_kind"))
    raw = subclass in {ManagementSubclass.TARIFF_RATE, ManagementSubclass.WATER_FACTOR}
    if expected is not subclass and not (raw and expected is None):
        raise inputs.wrong("value_kind", f"does not go with sub-class {subclass}")
