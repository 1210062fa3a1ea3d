"""Amounts: exact decimals, rounded up to tenths, refused by name."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.quantities import MAX_CREDIT_TENTHS, Unit, Units
from headend.refusals import AmountNotPositive, AmountTooLarge, MalformedAmount


@given(st.integers(1, MAX_CREDIT_TENTHS))
def test_tenths_come_back_exactly(tenths):
    assert Units.of_tenths(tenths, Unit.KWH).tenths == tenths


@pytest.mark.parametrize(
    ("text", "tenths"), [("25.6", 256), ("0.01", 1), ("1.82", 19), ("1820162.4", 18_201_624)]
)
def test_parts_of_a_tenth_are_rounded_up_for_the_customer(text, tenths):
    assert Units.parse(text, Unit.KWH).tenths == tenths


@pytest.mark.parametrize("text", ["0", "-1", "-0.0", "0.0"])
def test_zero_and_less_are_refused(text):
    with pytest.raises(AmountNotPositive):
        Units.parse(text, Unit.KWH)


@pytest.mark.parametrize("text", ["1820162.41", "1820163", "99999999999999999999"])
def test_more_than_a_token_carries_is_refused(text):
    with pytest.raises(AmountTooLarge):
        Units.parse(text, Unit.KWH)


@pytest.mark.parametrize(
    "text", ["", " ", "1e3", "NaN", "Infinity", "1,5", "--1", "1.2.3", "٣", "1" * 30, "0x10"]
)
def test_what_is_no_plain_decimal_is_refused(text):
    with pytest.raises(MalformedAmount):
        Units.parse(text, Unit.KWH)


def test_an_amount_prints_as_people_write_it():
    assert str(Units(Decimal("25.6"), Unit.KWH)) == "25.6 kWh"
