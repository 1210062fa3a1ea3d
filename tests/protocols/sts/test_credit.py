"""Credit tokens: what a meter will add, and what no token can say."""

from typing import Any

import pytest

from protocols.sts.amount import CURRENCY_MAX, UNITS_MAX
from protocols.sts.block import TimedContent
from protocols.sts.credit import CreditCurrency, CreditUnits, read_credit
from protocols.sts.errors import FunctionError, RangeError
from protocols.sts.tables import CreditSubclass
from protocols.sts.token import clear_block

ELECTRICITY, MONEY = CreditSubclass.ELECTRICITY, CreditSubclass.ELECTRICITY_CURRENCY


def test_the_printed_example_of_units():
    assert clear_block(CreditUnits(ELECTRICITY, 0xB, 0x19EB23, 256)) == 0x0B19EB230100C207


def test_the_published_example_of_negative_currency():
    credit = CreditCurrency(MONEY, 0x5B5F60, -100_000)
    assert clear_block(credit) == 0x485B5F6060A9B0A7
    assert credit.encoded_1e5 == -99_994


def test_units_tell_what_the_meter_will_add():
    assert CreditUnits(ELECTRICITY, 5, 1, 20_000).encoded_tenths == 20_004


@pytest.mark.parametrize("subclass", range(8, 16))
def test_reserved_credit_is_no_credit(subclass: int):
    with pytest.raises(FunctionError, match="subclass"):
        read_credit(TimedContent(subclass, 5, 1, 1).pack())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subclass", MONEY),
        ("rnd", -1),
        ("rnd", 16),
        ("tid", -1),
        ("tid", 0x1000000),
        ("amount_tenths", -1),
        ("amount_tenths", UNITS_MAX + 1),
    ],
)
def test_units_out_of_range_are_refused_by_name(field: str, value: int):
    fields: dict[str, Any] = {"subclass": ELECTRICITY, "rnd": 5, "tid": 1, "amount_tenths": 1}
    with pytest.raises(RangeError) as caught:
        CreditUnits(**(fields | {field: value}))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subclass", ELECTRICITY),
        ("tid", -1),
        ("tid", 0x1000000),
        ("amount_1e5", CURRENCY_MAX + 1),
        ("amount_1e5", -CURRENCY_MAX - 1),
    ],
)
def test_currency_out_of_range_is_refused_by_name(field: str, value: int):
    fields: dict[str, Any] = {"subclass": MONEY, "tid": 1, "amount_1e5": 1}
    with pytest.raises(RangeError) as caught:
        CreditCurrency(**(fields | {field: value}))
    assert caught.value.field == field
