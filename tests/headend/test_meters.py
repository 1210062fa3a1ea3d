"""Meter numbers, and what follows from the service of a meter."""

import pytest

from headend.meters import Service, parse_drn
from headend.quantities import Unit
from headend.refusals import MalformedMeterNumber, WrongCheckDigit


def test_a_right_number_passes():
    assert parse_drn("12345678903") == "12345678903"


def test_a_wrong_check_digit_says_which_one_is_asked_for():
    with pytest.raises(WrongCheckDigit, match="ask for 3"):
        parse_drn("12345678904")


@pytest.mark.parametrize("text", ["", "1234567890", "123456789033", "1234567890x", "١" * 11])
def test_what_is_not_11_or_13_digits_is_refused(text):
    with pytest.raises(MalformedMeterNumber):
        parse_drn(text)


def test_each_service_has_its_unit():
    assert {service: service.unit for service in Service} == {
        Service.ELECTRICITY: Unit.KWH,
        Service.WATER: Unit.M3,
        Service.GAS: Unit.M3,
        Service.TIME: Unit.MIN,
    }
