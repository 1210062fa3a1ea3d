"""Class 1: the same token for every meter."""

import pytest

from protocols.sts.block import SUBCLASS_SHIFT
from protocols.sts.errors import FunctionError, MfrCodeError, RangeError
from protocols.sts.metertest import (
    ExtendedRead,
    MeterTest,
    control_bits_of,
    generic_tests,
    read_meter_test,
    require_mfr_code,
)
from protocols.sts.tables import MeterTestNumber, MeterTestSubclass
from protocols.sts.token import clear_block, decode, encode

SHORT, LONG = MeterTestSubclass.SHORT_MFR_CODE, MeterTestSubclass.LONG_MFR_CODE


def test_all_tests_in_both_forms():
    short, long = generic_tests(MeterTestNumber.ALL)
    assert clear_block(short) == 0x0FFFFFFFFF005EFF
    assert encode(short, None) == "56493153725450313471"
    assert encode(long, None) == "02305843005052951967"


@pytest.mark.parametrize("number", MeterTestNumber)
def test_each_test_has_its_bit_in_both_forms(number: MeterTestNumber):
    for token in generic_tests(number):
        assert token.numbers == (number,)
        if number is not MeterTestNumber.ALL:
            assert token.control == 1 << number - 1
        assert decode(encode(token, None), None) == token


def test_several_tests_go_into_one_token():
    assert MeterTest(SHORT, 0b101).numbers == (1, 3)


def test_an_extended_read_begins_with_the_index():
    assert ExtendedRead(63).control == 0xFC0000000
    assert ExtendedRead(63, selector=1).control == 0xFC0000001
    assert encode(ExtendedRead(0), None) == "02305843009347914912"


def test_the_long_form_has_28_control_bits():
    long = {form for form in MeterTestSubclass if control_bits_of(form) == 28}
    assert long == {1, 6, 7, 8, 9, 10}


@pytest.mark.parametrize("subclass", [3, 4, 5])
def test_reserved_subclasses_are_functions_not_built_in(subclass: int):
    with pytest.raises(FunctionError, match="subclass"):
        read_meter_test(subclass << SUBCLASS_SHIFT)


def test_a_test_token_is_no_extended_read():
    with pytest.raises(FunctionError, match="subclass: 2 is the extended read"):
        MeterTest(MeterTestSubclass.EXTENDED_READ, 0)


def test_a_token_for_another_manufacturer_is_told_apart():
    require_mfr_code(MeterTest(SHORT, 1), own=7)
    require_mfr_code(MeterTest(SHORT, 1, mfr_code=7), own=7)
    with pytest.raises(MfrCodeError, match="mfr_code"):
        require_mfr_code(MeterTest(SHORT, 1, mfr_code=8), own=7)


@pytest.mark.parametrize(
    ("form", "control", "mfr_code", "field"),
    [
        (SHORT, 1 << 36, 0, "control"),
        (SHORT, -1, 0, "control"),
        (SHORT, 0, 0x100, "mfr_code"),
        (LONG, 1 << 28, 0, "control"),
        (LONG, 0, 0x10000, "mfr_code"),
        (LONG, 0, -1, "mfr_code"),
        (MeterTestSubclass.MANUFACTURER_10, 1 << 28, 0, "control"),
        (MeterTestSubclass.MANUFACTURER_11, 0, 0x100, "mfr_code"),
    ],
)
def test_a_field_out_of_range_is_refused_by_name(
    form: MeterTestSubclass, control: int, mfr_code: int, field: str
):
    with pytest.raises(RangeError) as caught:
        MeterTest(form, control, mfr_code)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [("index", 64), ("index", -1), ("selector", 1 << 30), ("mfr_code", 256)],
)
def test_an_extended_read_out_of_range_is_refused_by_name(field: str, value: int):
    with pytest.raises(RangeError) as caught:
        ExtendedRead(**({"index": 0} | {field: value}))
    assert caught.value.field == field
