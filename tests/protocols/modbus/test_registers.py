"""Words to numbers and text."""

import math
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.modbus.registers import (
    Encoding,
    NumberFormat,
    Order,
    decimal_digits,
    signed,
    text,
    unsigned,
    words_of,
)

INTEGERS = [encoding for encoding in Encoding if encoding.value[0] in "us"]
WORDS = st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=4)


def value(encoding: Encoding, *words: int, order: Order = Order.ABCD) -> Decimal | None:
    return NumberFormat(encoding=encoding, order=order).value(words)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (Order.ABCD, (0x1122, 0x3344)),
        (Order.CDAB, (0x3344, 0x1122)),
        (Order.BADC, (0x2211, 0x4433)),
        (Order.DCBA, (0x4433, 0x2211)),
    ],
)
def test_each_order_of_four_bytes(order: Order, words: tuple[int, ...]):
    assert value(Encoding.U32, *words, order=order) == 0x11223344


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (Order.ABCD, (0x1122, 0x3344, 0x5566, 0x7788)),
        (Order.CDAB, (0x7788, 0x5566, 0x3344, 0x1122)),
        (Order.BADC, (0x2211, 0x4433, 0x6655, 0x8877)),
        (Order.DCBA, (0x8877, 0x6655, 0x4433, 0x2211)),
    ],
)
def test_each_order_of_eight_bytes(order: Order, words: tuple[int, ...]):
    assert value(Encoding.U64, *words, order=order) == 0x1122334455667788


@given(st.sampled_from(INTEGERS), st.data())
def test_an_integer_comes_back(encoding: Encoding, data: st.DataObject):
    bits = encoding.words * 16
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if "s" in encoding else (0, (1 << bits) - 1)
    number = data.draw(st.integers(low, high))
    words = words_of(number, encoding.words)
    assert value(encoding, *words) == number
    assert (signed(words) if number < 0 else unsigned(words)) == number


def test_a_number_that_does_not_fit_its_words_is_refused():
    with pytest.raises(OverflowError):
        words_of(0x1_0000_0000, 2)
    with pytest.raises(OverflowError):
        words_of(-0x8001, 1)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_is_its_shortest_decimal(number: float):
    raw = struct.pack(">f", number)
    decoded = value(Encoding.FLOAT32, *struct.unpack(">2H", raw))
    assert decoded is not None
    assert struct.pack(">f", float(decoded)) == raw
    assert len(decoded.as_tuple().digits) <= 9


def test_a_float32_shows_no_binary_dust():
    assert str(value(Encoding.FLOAT32, 0x4366, 0x3333)) == "230.2"
    assert str(value(Encoding.FLOAT32, 0x0000, 0x3FA0, order=Order.CDAB)) == "1.25"
    assert value(Encoding.FLOAT32, 0x7F7F, 0xFFFF) == Decimal("3.4028235E+38")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float64_comes_back(number: float):
    words = struct.unpack(">4H", struct.pack(">d", number))
    decoded = value(Encoding.FLOAT64, *words)
    assert decoded is not None
    assert float(decoded) == number


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_available(number: float):
    assert value(Encoding.FLOAT32, *struct.unpack(">2H", struct.pack(">f", number))) is None
    assert value(Encoding.FLOAT64, *struct.unpack(">4H", struct.pack(">d", number))) is None


def test_listed_words_are_not_available():
    form = NumberFormat(encoding=Encoding.U32, invalid=frozenset({0xFFFFFFFF}))
    assert form.value((0xFFFF, 0xFFFF)) is None
    assert form.value((0xFFFF, 0xFFFE)) == 0xFFFFFFFE


def test_listed_words_are_compared_in_the_order_of_the_number():
    form = NumberFormat(encoding=Encoding.S32, order=Order.CDAB, invalid=frozenset({0x7FFFFFFF}))
    assert form.value((0xFFFF, 0x7FFF)) is None


def test_binary_coded_decimals():
    assert value(Encoding.BCD16, 0x1234) == 1234
    assert value(Encoding.BCD32, 0x0012, 0x3456) == 123456
    assert value(Encoding.BCD64, 0x0000, 0x0000, 0x9999, 0x0001) == 99990001
    assert value(Encoding.BCD16, 0xFFFF) is None
    assert decimal_digits((0x0123, 0x4567)) == "01234567"
    assert decimal_digits((0x012A,)) is None


def test_a_scale_is_exact():
    form = NumberFormat(encoding=Encoding.U64, scale=Decimal("0.001"))
    assert str(form.value((0xFFFF,) * 4)) == "18446744073709551.615"


@given(WORDS, st.sampled_from(Encoding), st.sampled_from(Order))
def test_no_words_break_a_decoder(words: list[int], encoding: Encoding, order: Order):
    form = NumberFormat(encoding=encoding, order=order)
    if len(words) == encoding.words:
        decoded = form.value(words)
        assert decoded is None or decoded.is_finite()
    else:
        with pytest.raises(ValueError, match="registers"):
            form.value(words)


def test_text_ends_before_its_filling():
    assert text((0x5354, 0x534D)) == "STSM"
    assert text((0x5453, 0x4D53), Order.BADC) == "STSM"
    assert text((0x4142, 0x4300)) == "ABC"
    assert text((0xFFFF, 0xFFFF)) == ""
    assert text((0x41C3, 0x4200)) == "A\ufffdB"


@given(st.sampled_from(Encoding), st.sampled_from(Order), st.data())
def test_what_registers_are_made_to_say_they_say(
    encoding: Encoding, order: Order, data: st.DataObject
):
    form = NumberFormat(encoding=encoding, order=order, scale=Decimal("0.1"))
    number = Decimal(data.draw(st.integers(0, 9999))) / 10
    if encoding in INTEGERS and "s" in encoding:
        number = (
            -number if number < 3276 and data.draw(st.booleans()) else min(number, Decimal(3276))
        )
    assert form.value(form.words(number)) == number


def test_what_registers_cannot_hold_is_refused():
    for encoding, number in (
        (Encoding.U16, 65536),
        (Encoding.U16, -1),
        (Encoding.BCD16, 10_000),
        (Encoding.BCD16, -1),
        (Encoding.FLOAT32, 10**40),
    ):
        with pytest.raises(ValueError, match="cannot hold"):
            NumberFormat(encoding=encoding).words(Decimal(number))


def test_not_available_is_said_by_the_first_of_its_numbers():
    form = NumberFormat(encoding=Encoding.U32, order=Order.CDAB, invalid=frozenset({0xFFFF0000}))
    assert form.words(None) == (0x0000, 0xFFFF)
    assert form.value(form.words(None)) is None
    float32 = NumberFormat(encoding=Encoding.FLOAT32)
    assert float32.value(float32.words(None)) is None
    with pytest.raises(ValueError, match="not available"):
        NumberFormat(encoding=Encoding.U16).words(None)
