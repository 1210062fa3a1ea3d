"""Orders that 66 bits cannot hold are refused by field; what they hold is told exactly."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.vault.contents import contents_of, encoded_amount, meter_test, meter_test_of
from headend.meters import Drn, KeyType, Service, StsConfiguration
from headend.quantities import Currency, Unit, Units
from headend.refusals import (
    AmountNotPositive,
    AmountTooLarge,
    MalformedAmount,
    MalformedOrder,
    OrderRefused,
    WrongUnit,
)
from headend.tokens import ManagementKind, ManagementOrder, TokenOrder, TokenPurpose
from protocols.sts.amount import CURRENCY_MAX
from protocols.sts.credit import CreditCurrency
from protocols.sts.management import TariffRate, WaterFactor
from protocols.sts.metertest import ExtendedRead
from protocols.sts.tables import MeterTestSubclass
from protocols.sts.token import decode
from tests.adapters.vault.conftest import TENANT

TID = 85740


def an_order(content, *, service=Service.ELECTRICITY, rnd=5):
    return TokenOrder(
        tenant=TENANT,
        drn=Drn("00000000000"),
        service=service,
        sts=StsConfiguration("201457", 1, tariff_index=1, key_type=KeyType.UNIQUE, ea=11),
        content=content,
        tid=TID,
        rnd=rnd,
    )


def kwh(value):
    return Units(Decimal(value), Unit.KWH)


def zar(value):
    return Currency(Decimal(value), "ZAR")


@pytest.mark.parametrize(
    ("amount", "refusal", "field"),
    [
        (kwh("0"), AmountNotPositive, "amount.value"),
        (kwh("-0.1"), AmountNotPositive, "amount.value"),
        (kwh("1820162.5"), AmountTooLarge, "amount.value"),
        (kwh("NaN"), MalformedAmount, "amount.value"),
        (kwh("Infinity"), MalformedAmount, "amount.value"),
        (kwh("1E+30"), AmountTooLarge, "amount.value"),
        (Units(Decimal(1), Unit.M3), WrongUnit, "amount.unit"),
        (zar("0"), AmountNotPositive, "amount.value"),
        (zar("-1"), AmountNotPositive, "amount.value"),
        (zar("NaN"), MalformedAmount, "amount.value"),
        (zar("1E+32"), AmountTooLarge, "amount.value"),
        (zar("1E+400"), AmountTooLarge, "amount.value"),
    ],
    ids=str,
)
def test_an_amount_that_no_token_holds_is_refused_by_field(amount, refusal, field):
    with pytest.raises(refusal) as caught:
        contents_of(an_order(amount), TID)
    assert caught.value.field == field


M = ManagementKind


@pytest.mark.parametrize(
    ("kind", "value", "index", "field"),
    [
        (M.POWER_LIMIT, None, None, "value"),
        (M.POWER_LIMIT, -1, None, "value"),
        (M.POWER_LIMIT, 18201625, None, "value"),
        (M.POWER_LIMIT, 1, 0, "index"),
        (M.UNBALANCE_LIMIT, 18201625, None, "value"),
        (M.CLEAR_CREDIT, None, None, "value"),
        (M.CLEAR_CREDIT, 8, None, "value"),
        (M.CLEAR_CREDIT, -1, None, "value"),
        (M.CLEAR_CREDIT, 65534, None, "value"),
        (M.CLEAR_CREDIT, 65536, None, "value"),
        (M.TARIFF_RATE, -1, None, "value"),
        (M.TARIFF_RATE, 65536, None, "value"),
        (M.WATER_FACTOR, 65536, None, "value"),
        (M.CLEAR_TAMPER, 0, None, "value"),
        (M.CLEAR_TAMPER, None, 0, "index"),
        (M.SET_FLAG, 1, None, "index"),
        (M.SET_FLAG, None, 1, "value"),
        (M.SET_FLAG, 2, 1, "value"),
        (M.SET_FLAG, 1, 512, "index"),
        (M.SET_FLAG, 1, -1, "index"),
        (M.SET_CONTROL, 1, None, "index"),
        (M.SET_CONTROL, None, 1, "value"),
        (M.SET_CONTROL, 1024, 1, "value"),
        (M.SET_CONTROL, 1, 63, "index"),
    ],
)
def test_a_management_order_that_no_token_holds_is_refused_by_field(kind, value, index, field):
    with pytest.raises(MalformedOrder) as caught:
        contents_of(an_order(ManagementOrder(kind, value, index)), TID)
    assert caught.value.field == field
    assert field in str(caught.value) or "register" in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (ManagementOrder(M.METER_TEST), "value"),
        (ManagementOrder(M.METER_TEST, 19), "value"),
        (ManagementOrder(M.METER_TEST, -1), "value"),
        (ManagementOrder(M.METER_TEST, 1, 1), "index"),
    ],
    ids=str,
)
def test_a_test_that_does_not_exist_is_refused_by_field(wanted, field):
    with pytest.raises(MalformedOrder) as caught:
        meter_test_of(Drn("00000000000"), wanted)
    assert caught.value.field == field


def test_a_test_of_a_mistyped_meter_number_is_refused():
    with pytest.raises(OrderRefused) as caught:
        meter_test_of(Drn("00000000001"), ManagementOrder(M.METER_TEST, 1))
    assert caught.value.field == "drn"


def test_the_form_of_a_test_follows_the_manufacturer_code():
    wanted = ManagementOrder(M.METER_TEST, 1)
    short = meter_test_of(Drn("00000000000"), wanted)
    long = meter_test_of(Drn("0000000000000"), wanted)
    assert short.subclass is MeterTestSubclass.SHORT_MFR_CODE
    assert long.subclass is MeterTestSubclass.LONG_MFR_CODE


@pytest.mark.parametrize("service", Service)
def test_each_service_has_a_currency_token_of_its_own(service):
    contents = contents_of(an_order(zar("12.50"), service=service, rnd=None), TID)
    assert isinstance(contents, CreditCurrency)
    assert contents.subclass == 4 + list(Service).index(service)


@pytest.mark.parametrize("kind", [M.TARIFF_RATE, M.WATER_FACTOR])
def test_raw_16_bits_stay_as_they_are(kind):
    contents = contents_of(an_order(ManagementOrder(kind, 65535)), TID)
    assert isinstance(contents, TariffRate | WaterFactor)
    assert contents.data == 65535


@given(st.integers(min_value=1, max_value=CURRENCY_MAX))
def test_the_encoded_money_is_exact_and_never_less(number):
    amount = zar(f"{number}E-5")
    contents = contents_of(an_order(amount), TID)
    encoded = encoded_amount(contents, amount)
    assert isinstance(contents, CreditCurrency)
    assert encoded is not None
    assert contents.amount_1e5 == number
    assert encoded.value >= amount.value
    again = contents_of(an_order(encoded), TID)
    assert again.content() == contents.content()


def test_money_finer_than_a_step_is_rounded_up():
    contents = contents_of(an_order(zar("0.000001")), TID)
    assert isinstance(contents, CreditCurrency)
    assert contents.amount_1e5 == 1


READ_BACK = [
    (ManagementOrder(M.READ_CONTROL, index=0), "02305843009347914912"),  # 531-1-xx CTSA24-5
    (ManagementOrder(M.READ_CONTROL, index=62), None),
    (ManagementOrder(M.READ_FLAG), None),
]


@pytest.mark.parametrize(("wanted", "published"), READ_BACK, ids=str)
@pytest.mark.parametrize("drn", ["00000000000", "0000000000000"])
def test_an_extended_read_is_one_token_for_every_meter_and_needs_no_key(drn, wanted, published):
    made = meter_test(replace(an_order(wanted), drn=Drn(drn), tid=None, rnd=None))
    assert made is not None
    [token] = made.tokens
    assert (token.purpose, token.tid, token.mark) == (TokenPurpose.TEST, None, None)
    read = decode(token.digits, None)
    assert isinstance(read, ExtendedRead)
    assert (read.index, read.selector) == (63 if wanted.index is None else wanted.index, 0)
    if published:
        assert token.digits == published


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (ManagementOrder(M.READ_CONTROL), "index"),
        (ManagementOrder(M.READ_CONTROL, index=63), "index"),
        (ManagementOrder(M.READ_CONTROL, index=-1), "index"),
        (ManagementOrder(M.READ_CONTROL, value=1, index=1), "value"),
        (ManagementOrder(M.READ_FLAG, value=1), "value"),
        (ManagementOrder(M.READ_FLAG, index=63), "index"),
    ],
    ids=str,
)
def test_an_extended_read_of_nothing_is_refused_by_field(wanted, field):
    with pytest.raises(MalformedOrder) as caught:
        meter_test(an_order(wanted))
    assert caught.value.field == field
