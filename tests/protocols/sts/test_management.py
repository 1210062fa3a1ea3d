"""Management tokens: layouts, ranges, and what is reserved."""

from collections.abc import Callable

import pytest

from protocols.sts.amount import UNITS_MAX
from protocols.sts.block import TimedContent
from protocols.sts.errors import FunctionError, RangeError
from protocols.sts.management import (
    ClearCredit,
    ClearTamper,
    Management,
    PhaseUnbalanceLimit,
    PowerLimit,
    SetControl,
    SetFlag,
    TariffRate,
    WaterFactor,
    read_management,
)
from protocols.sts.tables import CreditRegister, MeterFlag
from protocols.sts.token import clear_block


@pytest.mark.parametrize(
    ("management", "subclass", "data"),
    [
        (PowerLimit(5, 1, 1000), 0, 0x03E8),
        (ClearCredit(5, 1, CreditRegister.ALL), 1, 0xFFFF),
        (ClearCredit(5, 1, CreditRegister.GAS_CURRENCY), 1, 6),
        (TariffRate(5, 1, 0x1234), 2, 0x1234),
        (ClearTamper(5, 1), 5, 0),
        (PhaseUnbalanceLimit(5, 1, 20_004), 6, 0x416A),
        (WaterFactor(5, 1, 0x4321), 7, 0x4321),
        (SetControl(5, 1, index=0, value=123), 10, 0x007B),
        (SetControl(5, 1, index=62, value=1023), 10, 0xFBFF),
        (SetFlag(5, 1, MeterFlag.TEST, on=False), 10, 0xFC00),
        (SetFlag(5, 1, MeterFlag.DISCONNECT_ON_POWER_LIMIT, on=True), 10, 0xFC09),
        (SetFlag(5, 1, 511, on=True), 10, 0xFFFF),
    ],
)
def test_each_token_has_its_place_and_its_16_bits(management: Management, subclass: int, data: int):
    content = TimedContent(subclass, 5, 1, data).pack()
    assert management.content() == content
    assert read_management(content) == management


def test_the_published_extended_token():
    assert clear_block(SetFlag(5, 8_091_900, 0, on=False)) == 0xA57B78FCFC005DAF


def test_limits_tell_what_the_meter_will_hold():
    assert PowerLimit(5, 1, 20_000).encoded_watts == 20_004
    assert PhaseUnbalanceLimit(5, 1, 180_223).encoded_watts == 180_224


def test_a_meter_may_meet_a_register_that_does_not_exist():
    assert read_management(TimedContent(1, 5, 1, 99).pack()) == ClearCredit(5, 1, 99)


@pytest.mark.parametrize("subclass", range(11, 16))
def test_a_proprietary_subclass_is_a_function_not_built_in(subclass: int):
    with pytest.raises(FunctionError, match="subclass"):
        read_management(TimedContent(subclass, 5, 1, 0).pack())


def test_padding_that_is_not_zero_is_out_of_range():
    with pytest.raises(RangeError, match="pad: must be 0"):
        read_management(TimedContent(5, 5, 1, 1).pack())


@pytest.mark.parametrize(
    ("make", "field", "too_large"),
    [
        (lambda value: PowerLimit(value, 1, 1), "rnd", 16),
        (lambda value: ClearTamper(5, value), "tid", 0x1000000),
        (lambda value: PowerLimit(5, 1, value), "watts", UNITS_MAX + 1),
        (lambda value: PhaseUnbalanceLimit(5, 1, value), "watts", UNITS_MAX + 1),
        (lambda value: ClearCredit(5, 1, value), "register", 0x10000),
        (lambda value: TariffRate(5, 1, value), "rate", 0x10000),
        (lambda value: WaterFactor(5, 1, value), "factor", 0x10000),
        (lambda value: SetControl(5, 1, value, 0), "index", 63),
        (lambda value: SetControl(5, 1, 0, value), "value", 1024),
        (lambda value: SetFlag(5, 1, value, on=True), "flag", 512),
    ],
)
def test_a_field_out_of_range_is_refused_by_name(
    make: Callable[[int], Management], field: str, too_large: int
):
    for value in (-1, too_large):
        with pytest.raises(RangeError) as caught:
            make(value)
        assert caught.value.field == field
    make(too_large - 1)
