"""What the vault tells of 20 digits: each field in words, and why a meter would refuse them."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.vault.explanations import Held, explain, is_encrypted
from adapters.vault.key_import import check_key
from headend.meters import Drn, KeyType, Service, StsConfiguration
from headend.quantities import Currency, Unit, Units
from headend.refusals import MalformedToken, NoVendingKey
from headend.tokens import (
    KeyChangeOrder,
    ManagementKind,
    ManagementOrder,
    TokenOrder,
    TokenPurpose,
    mask,
)
from headend.vending_keys import KeyMark
from protocols.sts.block import seal
from protocols.sts.cipher import cipher_for
from protocols.sts.keys import DecoderKey
from protocols.sts.metertest import MeterTest
from protocols.sts.sta import SAMPLE
from protocols.sts.tables import EncryptionAlgorithm, MeterTestSubclass, TokenClass
from protocols.sts.token import digits_of, encode
from tests.adapters.vault.conftest import TENANT, VK64, VK160, a_key, assert_hidden
from tests.builders import a_meter

STS = StsConfiguration("201457", 1, tariff_index=1, key_type=KeyType.UNIQUE, ea=11)
METER = a_meter(tenant=TENANT, drn=Drn("00000000000"), sts=STS)
TID = 85740  # 2014-03-01 13:00 UTC
DECODER_KEY = bytes.fromhex("929bd3a415c9420a05ec5ee9f3ce91c3")
CIPHER = cipher_for(DecoderKey(DECODER_KEY, EncryptionAlgorithm.MISTY1))


def an_order(content, **changed):
    order = TokenOrder(
        tenant=TENANT,
        drn=METER.drn,
        service=Service.ELECTRICITY,
        sts=STS,
        content=content,
        tid=TID,
        rnd=5,
    )
    return replace(order, **changed)


def kwh(value):
    return Units(Decimal(value), Unit.KWH)


def zar(value):
    return Currency(Decimal(value), "ZAR")


def digits_with(token_class, content):
    """A genuine token of this content, whatever it says."""
    return digits_of(token_class, CIPHER.encrypt(seal(token_class, content)))


@pytest.fixture
async def read(vault, add_keys):
    """Makes a token of an order, and reads it for a meter."""
    await add_keys(a_key())

    async def make_and_read(content, meter=METER, **changed):
        issued = await vault.issue(an_order(content, **changed), message_id="m1")
        return await vault.read(TENANT, meter, issued.tokens[0].digits)

    return make_and_read


async def test_every_field_of_a_credit_is_told(read):
    contents = await read(kwh("25.6"))
    assert (
        contents.text == "credit for electricity: 25.6 kWh; TID 85740 (2014-03-01 13:00 UTC), RND 5"
    )
    assert (contents.token_class, contents.subclass, contents.tid) == (0, 0, TID)
    assert contents.purpose is TokenPurpose.CREDIT
    assert contents.amount == kwh("25.6")
    assert contents.moment == datetime(2014, 3, 1, 13, tzinfo=UTC)
    assert contents.problem is None
    assert contents.mark is KeyMark.TEST


async def test_money_is_told_in_the_meters_currency(read):
    contents = await read(zar("100"), meter=replace(METER, currency="ZAR"))
    assert contents.amount == zar("100.00624")
    assert contents.text == (
        "credit for electricity: 100.00624 ZAR; TID 85740 (2014-03-01 13:00 UTC)"
    )
    assert contents.problem is None


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (ManagementOrder(ManagementKind.POWER_LIMIT, 20000), "set the power limit to 20004 W"),
        (
            ManagementOrder(ManagementKind.UNBALANCE_LIMIT, 1000),
            "set the phase unbalance limit to 1000 W",
        ),
        (ManagementOrder(ManagementKind.CLEAR_CREDIT, 1), "clear credit: register 1 (water)"),
        (ManagementOrder(ManagementKind.CLEAR_CREDIT, 65535), "clear credit: all registers"),
        (ManagementOrder(ManagementKind.TARIFF_RATE, 7), "set the tariff rate to 7 (raw)"),
        (ManagementOrder(ManagementKind.WATER_FACTOR, 7), "set the water meter factor to 7 (raw)"),
        (ManagementOrder(ManagementKind.CLEAR_TAMPER), "clear the tamper condition"),
        (
            ManagementOrder(ManagementKind.SET_FLAG, 1, 4),
            "set flag 4 (disconnect on power limit) to 1",
        ),
        (ManagementOrder(ManagementKind.SET_FLAG, 0, 300), "set flag 300 (no such one) to 0"),
        (ManagementOrder(ManagementKind.SET_CONTROL, 123, 0), "set control 0 to 123"),
    ],
    ids=str,
)
async def test_every_management_token_is_told_in_words(read, order, text):
    contents = await read(order)
    assert contents.text == f"{text}; TID 85740 (2014-03-01 13:00 UTC), RND 5"
    assert (contents.purpose, contents.problem) == (TokenPurpose.MANAGEMENT, None)


async def test_the_minute_kept_for_special_tokens_is_told(read):
    contents = await read(kwh(1), tid=1441)
    assert "(2014-01-02 00:01 UTC, the minute kept for special tokens)" in contents.text


async def test_digits_for_another_meter_cannot_be_read(read):
    contents = await read(kwh(1), meter=replace(METER, sts=replace(STS, tariff_index=2)))
    assert contents.problem == "crc_error: not made for this meter and its key, or mistyped"
    assert (contents.subclass, contents.amount, contents.tid) == (None, None, None)
    assert contents.purpose is TokenPurpose.CREDIT


async def test_a_mistyped_meter_test_is_told(vault):
    digits = encode(MeterTest(MeterTestSubclass.SHORT_MFR_CODE, 1), None)
    contents = await vault.read(TENANT, METER, digits[:-1] + str((int(digits[-1]) + 1) % 10))
    assert contents.problem == "crc_error: mistyped"
    assert contents.purpose is TokenPurpose.TEST


async def test_a_token_after_the_end_of_the_key_is_refused_by_the_meter(vault, add_keys):
    late = digits_with(TokenClass.CREDIT, 5 << 40 | (86 << 16) << 16 | 1)
    await add_keys(a_key(ken=85))
    contents = await vault.read(TENANT, METER, late)
    assert contents.problem == ("key_expired_error: the key (KEN 85) ended at 2024-09-18 22:55 UTC")
    assert contents.amount == kwh("0.1")


@pytest.mark.parametrize(
    ("content", "meter", "reason"),
    [
        (kwh(1), replace(METER, service=Service.WATER), "the meter sells water"),
        (kwh(1), replace(METER, currency="ZAR"), "credit in kWh, but the meter counts ZAR"),
        (zar(1), METER, "credit in money, but the meter counts kWh"),
    ],
    ids=str,
)
async def test_credit_that_the_meter_does_not_count_is_told(read, content, meter, reason):
    contents = await read(content, meter=meter)
    assert contents.problem.startswith("function_error: credit")
    assert reason in contents.problem


async def test_money_for_a_meter_of_units_has_no_amount(read):
    contents = await read(zar(1))
    assert contents.amount is None
    assert "1.00004 of the meter's currency" in contents.text


async def test_a_meter_with_a_default_key_refuses_credit():
    key, _ = check_key(TENANT, a_key(key_type=1))
    digits = digits_with(TokenClass.CREDIT, 5 << 40 | TID << 16 | 1)
    contents = explain(digits, METER, Held(key, CIPHER))
    assert contents.problem == "ddtk_error: a meter that holds a default key refuses credit"


@pytest.mark.parametrize(
    ("token_class", "content", "problem"),
    [
        (TokenClass.CREDIT, 8 << 44, "function_error: subclass: of this credit token is reserved"),
        (TokenClass.MANAGEMENT, 11 << 44, "function_error: subclass"),
        (TokenClass.MANAGEMENT, 5 << 44 | 1, "range_error: pad: must be 0"),
        (TokenClass.MANAGEMENT, 1 << 44 | 8, "range_error: no credit register 8"),
        (TokenClass.MANAGEMENT, 3 << 44 | 10 << 36, "range_error: krn"),
        (TokenClass.MANAGEMENT, 4 << 44 | 100 << 32, "range_error: tariff_index"),
    ],
)
async def test_genuine_tokens_that_no_meter_can_do_are_told(
    vault, add_keys, token_class, content, problem
):
    await add_keys(a_key())
    contents = await vault.read(TENANT, METER, digits_with(token_class, content))
    assert contents.problem.startswith(problem)
    assert (contents.token_class, contents.subclass) == (token_class, content >> 44)
    section = token_class is TokenClass.MANAGEMENT and content >> 44 in {3, 4}
    assert (contents.purpose is TokenPurpose.KEY_CHANGE) == section


async def test_a_section_that_brings_a_forbidden_key_type_is_told(vault, add_keys):
    await add_keys(a_key())
    common = 3 << 44 | 15 << 40 | 1 << 36 | 3 << 32 | 0xDEADBEEF
    contents = await vault.read(TENANT, METER, digits_with(TokenClass.MANAGEMENT, common))
    assert contents.problem == "key_type_error: a meter may not go from UNIQUE to COMMON"
    for form in ("deadbeef", str(0xDEADBEEF)):
        assert form not in f"{contents!r}".lower()


async def test_a_set_of_three_is_told_without_the_new_key(make_vault, add_keys):
    await add_keys(a_key(key=VK64, dkga=2), a_key(sgc="203557", krn=6, key=VK64, dkga=2, ken=170))
    sts = replace(STS, ea=7)
    to = StsConfiguration("203557", 6, tariff_index=2, key_type=KeyType.UNIQUE, ea=7)
    order = KeyChangeOrder(tenant=TENANT, drn=METER.drn, present=sts, to=to, three_kct=True)
    vault, meter = make_vault(tables=SAMPLE), replace(METER, sts=sts)
    issued = await vault.change_key(order, message_id="m1")
    told = [await vault.read(TENANT, meter, token.digits) for token in issued.tokens]
    assert [contents.text for contents in told] == [
        (
            "key change, 1st token: KRN 6, key type 2 (unique), upper half of KEN 10,"
            " base date changes: no, EA07 set of three: yes"
        ),
        "key change, 2nd token: tariff index 02, lower half of KEN 10",
        "key change, 3rd token: supply group 203557",
    ]
    assert {contents.purpose for contents in told} == {TokenPurpose.KEY_CHANGE}
    assert [contents.problem for contents in told] == [None, None, None]


@pytest.mark.parametrize(
    ("test", "text", "problem"),
    [
        (
            MeterTest(MeterTestSubclass.LONG_MFR_CODE, 0b1010),
            "meter test or display 2 (display), 4 (krn); form for 4-digit manufacturer codes",
            None,
        ),
        (
            MeterTest(MeterTestSubclass.SHORT_MFR_CODE, 1 << 18),
            "meter test or display 19 (no such one); form for 2-digit manufacturer codes",
            "function_error: the standard knows no such test",
        ),
        (
            MeterTest(MeterTestSubclass.SHORT_MFR_CODE, 0),
            "meter test or display of nothing; form for 2-digit manufacturer codes",
            "function_error: the standard knows no such test",
        ),
        (
            MeterTest(MeterTestSubclass.MANUFACTURER_6, 0xAB, 1234),
            "manufacturer's own token 6, control 0xab; for manufacturer code 1234",
            "mfr_code_error: the meter's manufacturer code is 00",
        ),
    ],
)
async def test_tokens_of_class_1_are_told_without_any_key(vault, test, text, problem):
    contents = await vault.read(TENANT, METER, encode(test, None))
    assert (contents.text, contents.problem) == (text, problem)
    assert contents.purpose is TokenPurpose.TEST


@pytest.mark.parametrize("code", [12, 0x12])
async def test_a_manufacturer_code_may_be_binary_or_decimal(vault, code):
    test = MeterTest(MeterTestSubclass.MANUFACTURER_11, 1, code)
    meter = replace(METER, drn=Drn("12345678903"))
    assert (await vault.read(TENANT, meter, encode(test, None))).problem is None


@pytest.mark.parametrize(
    "digits", ["", "1" * 19, "99999999999999999999", "1234567890123456789x", f"{3 << 27:020d}"]
)
async def test_what_is_no_token_is_refused_without_repeating_it(vault, add_keys, digits):
    await add_keys(a_key())
    with pytest.raises(MalformedToken) as caught:
        await vault.read(TENANT, METER, digits)
    assert caught.value.field == "token"
    assert not digits or digits not in str(caught.value)


async def test_an_encrypted_token_needs_the_key_of_the_meter(vault):
    with pytest.raises(NoVendingKey):
        await vault.read(TENANT, METER, digits_with(TokenClass.CREDIT, 1))


async def test_grouped_digits_are_read_too(vault, add_keys):
    await add_keys(a_key())
    issued = await vault.issue(an_order(kwh(1)), message_id="m1")
    digits = issued.tokens[0].digits
    grouped = " ".join(digits[i : i + 4] for i in range(0, 20, 4))
    assert await vault.read(TENANT, METER, grouped) == await vault.read(TENANT, METER, digits)


@given(st.integers(min_value=0, max_value=2**66 - 1))
def test_any_digits_are_told_or_refused_and_never_repeated(number):
    digits = f"{number:020d}"
    key, _ = check_key(TENANT, a_key())
    try:
        held = Held(key, CIPHER) if is_encrypted(digits) else None
        contents = explain(digits, METER, held)
    except MalformedToken as refused:
        told = str(refused)
    else:
        assert contents.text
        told = f"{contents!r} {held!r}"
    assert digits not in told
    assert_hidden(told, DECODER_KEY)
    assert mask(digits) not in told


@given(
    st.sampled_from([TokenClass.CREDIT, TokenClass.MANAGEMENT]),
    st.integers(min_value=0, max_value=2**48 - 1),
)
def test_whatever_a_genuine_token_says_is_told(token_class, content):
    key, _ = check_key(TENANT, a_key())
    contents = explain(digits_with(token_class, content), METER, Held(key, CIPHER))
    assert contents.subclass == content >> 44
    assert contents.text


async def test_no_key_shows_in_what_is_told(read, vault):
    contents = await read(kwh(1))
    assert_hidden(f"{contents!r} {vault.__dict__!r}", DECODER_KEY, bytes.fromhex(VK160))
