"""Meter numbers and PANs: two lengths, two check digits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sts.drn import Drn, MeterPan, luhn_digit
from protocols.sts.errors import CheckDigitError, RangeError

digits = st.text("0123456789", min_size=1, max_size=18)


def test_a_pan_of_a_two_digit_manufacturer_gives_its_meter_number():
    pan = MeterPan("600727111111111153")
    assert pan.drn == Drn("11111111115")
    assert (pan.drn.iin, pan.drn.mfr_code, pan.drn.serial) == ("600727", "11", "11111111")
    assert MeterPan.of(pan.drn) == pan
    assert str(pan) == "600727111111111153"


def test_a_pan_of_a_four_digit_manufacturer_gives_its_meter_number():
    pan = MeterPan("000001000000000082")
    assert pan.drn == Drn("0100000000008")
    assert (pan.drn.iin, pan.drn.mfr_code, pan.drn.serial) == ("0000", "0100", "00000000")
    assert MeterPan.of(pan.drn) == pan
    assert str(pan.drn) == "0100000000008"


@pytest.mark.parametrize("drn", ["12345678904", "11111111113"])
def test_a_mistyped_meter_number_is_refused(drn: str):
    with pytest.raises(CheckDigitError, match="drn: Luhn"):
        Drn(drn)


@pytest.mark.parametrize("drn", ["", "1234567890", "123456789012", "1234567890a", "١" * 11])
def test_a_meter_number_has_11_or_13_digits(drn: str):
    with pytest.raises(RangeError, match="drn: must be 11 or 13"):
        Drn(drn)


@pytest.mark.parametrize("pan", ["", "60072700000000000", "60072700000000000x"])
def test_a_pan_has_18_digits(pan: str):
    with pytest.raises(RangeError, match="meter_pan: must be 18"):
        MeterPan(pan)


def test_a_mistyped_pan_is_refused():
    with pytest.raises(CheckDigitError, match="meter_pan"):
        MeterPan("600727000000000008")


def test_a_pan_around_a_mistyped_meter_number_is_refused():
    payload = "600727" + "11111111113"
    with pytest.raises(CheckDigitError, match="drn"):
        MeterPan(f"{payload}{luhn_digit(payload)}")


def test_a_pan_of_a_foreign_issuer_is_refused():
    payload = "60072811111111115"
    with pytest.raises(RangeError, match="must start with 600727 or 0000"):
        MeterPan(f"{payload}{luhn_digit(payload)}")


@pytest.mark.parametrize("payload", ["", "12a", "²"])
def test_only_decimal_digits_have_a_check_digit(payload: str):
    with pytest.raises(RangeError, match="payload"):
        luhn_digit(payload)


@pytest.mark.parametrize("mfr_code", ["07", "0100"])
def test_a_built_meter_number_carries_its_check_digit(mfr_code: str):
    drn = Drn.build(mfr_code=mfr_code, serial="27000001")
    assert (drn.mfr_code, drn.serial) == (mfr_code, "27000001")


@pytest.mark.parametrize(("mfr_code", "serial"), [("07", "1234567"), ("071", "12345678")])
def test_a_meter_number_of_odd_parts_is_not_built(mfr_code: str, serial: str):
    with pytest.raises(RangeError):
        Drn.build(mfr_code=mfr_code, serial=serial)


@given(digits, st.data())
def test_one_wrong_digit_never_passes(payload: str, data: st.DataObject):
    number = f"{payload}{luhn_digit(payload)}"
    place = data.draw(st.integers(0, len(number) - 1))
    wrong = data.draw(st.sampled_from("0123456789").filter(lambda digit: digit != number[place]))
    changed = number[:place] + wrong + number[place + 1 :]
    assert luhn_digit(changed[:-1]) != int(changed[-1])


@given(st.sampled_from([2, 4]), st.integers(0, 9999), st.integers(0, 99_999_999))
def test_every_meter_number_survives_its_pan(width: int, mfr_code: int, serial: int):
    code = f"{mfr_code:04d}"[-width:]
    drn = Drn.build(mfr_code=code, serial=f"{serial:08d}")
    pan = MeterPan.of(drn)
    assert len(pan.digits) == 18
    assert pan.drn == drn
