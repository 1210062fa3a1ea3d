"""Amounts: exact codes, rounded in the customer's favour."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sts.amount import (
    CURRENCY_CODE_MAX,
    CURRENCY_MAX,
    SIGN_BIT,
    UNITS_MAX,
    decode_currency,
    decode_units,
    encode_currency,
    encode_units,
)
from protocols.sts.errors import RangeError
from tests.protocols.sts.strategies import amounts, currency_amounts


@pytest.mark.parametrize(
    ("tenths", "code", "encoded"),
    [
        (0, 0x0000, 0),
        (1, 0x0001, 1),
        (256, 0x0100, 256),
        (16_383, 0x3FFF, 16_383),
        (16_384, 0x4000, 16_384),
        (16_385, 0x4001, 16_394),
        (20_000, 0x416A, 20_004),
        (180_214, 0x7FFF, 180_214),
        (180_215, 0x8000, 180_224),
        (180_223, 0x8000, 180_224),
        (180_224, 0x8000, 180_224),
        (180_225, 0x8001, 180_324),
        (1_818_524, 0xBFFF, 1_818_524),
        (1_818_525, 0xC000, 1_818_624),
        (1_818_623, 0xC000, 1_818_624),
        (1_818_624, 0xC000, 1_818_624),
        (18_201_623, 0xFFFF, 18_201_624),
        (18_201_624, 0xFFFF, 18_201_624),
    ],
)
def test_units_at_the_edges_of_each_exponent(tenths: int, code: int, encoded: int):
    assert encode_units(tenths) == code
    assert decode_units(code) == encoded


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (0, 0x00000),
        (1, 0x00001),
        (-1, 0x80001),
        (100_000, 0x060AA),
        (-100_000, 0x860A9),
        (1_638_300_000, 5 << 14 | 14_563),
        (1_820_262_400_000, 8 << 14 | 16_383),
        (18_022_400_000, 6 << 14 | 16_202),
        (-18_022_400_000, 1 << 19 | 6 << 14 | 16_201),
        (182_044 * 10**29, 31 << 14),
        (-182_044 * 10**14, 1 << 19 | 15 << 14 | 16_383),
        (180_214, 1 << 14 | 16_383),
        (180_215, 2 << 14),
        (-180_223, 1 << 19 | 1 << 14 | 16_383),
        (-180_224, 1 << 19 | 2 << 14),
        (CURRENCY_MAX, 0x7FFFF),
        (-CURRENCY_MAX, 0xFFFFF),
    ],
)
def test_currency_rounds_towards_more_credit(amount: int, code: int):
    assert encode_currency(amount) == code
    assert decode_currency(code) >= amount


def test_one_unit_of_currency_decodes_to_a_little_more():
    assert decode_currency(0x060AA) == 100_004
    assert decode_currency(0x860A9) == -99_994


def test_minus_zero_is_zero():
    assert decode_currency(SIGN_BIT) == 0


@given(amounts)
def test_units_never_lose_and_gain_less_than_a_step(tenths: int):
    code = encode_units(tenths)
    encoded = decode_units(code)
    assert encoded >= tenths
    assert code == 0 or decode_units(code - 1) < tenths
    assert encoded - tenths <= 10 ** (code >> 14) - 1


@given(currency_amounts)
def test_currency_never_loses_and_gains_less_than_a_step(amount: int):
    code = encode_currency(amount)
    encoded = decode_currency(code)
    assert encoded >= amount
    if amount > 0:
        assert decode_currency(code - 1) < amount
    if amount < 0 and code < CURRENCY_CODE_MAX:
        assert decode_currency(code + 1) < amount


@given(st.integers(0, 0xFFFF))
def test_every_code_of_units_is_its_own_encoding(code: int):
    assert encode_units(decode_units(code)) == code


@given(st.integers(0, CURRENCY_CODE_MAX).filter(lambda code: code != SIGN_BIT))
def test_every_code_of_currency_is_its_own_encoding(code: int):
    assert encode_currency(decode_currency(code)) == code


def test_codes_rise_with_amounts():
    values = [decode_units(code) for code in range(0x10000)]
    assert values == sorted(set(values))
    assert values[-1] == UNITS_MAX == 18_201_624


@pytest.mark.parametrize("tenths", [-1, UNITS_MAX + 1])
def test_units_out_of_range_are_refused(tenths: int):
    with pytest.raises(RangeError, match="amount: must lie between 0 and 18201624"):
        encode_units(tenths)


@pytest.mark.parametrize("amount", [CURRENCY_MAX + 1, -CURRENCY_MAX - 1])
def test_currency_out_of_range_is_refused(amount: int):
    with pytest.raises(RangeError, match="amount: exceeds"):
        encode_currency(amount)


@pytest.mark.parametrize("code", [-1, 0x10000])
def test_a_code_of_units_has_16_bits(code: int):
    with pytest.raises(RangeError, match="amount_field"):
        decode_units(code)


@pytest.mark.parametrize("code", [-1, 0x100000])
def test_a_code_of_currency_has_20_bits(code: int):
    with pytest.raises(RangeError, match="amount_field"):
        decode_currency(code)
