"""Twenty digits: there and back for every token, and nothing but our errors for any text."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.sts.amount import SIGN_BIT
from protocols.sts.block import SUBCLASS_SHIFT, seal
from protocols.sts.cipher import BlockCipher
from protocols.sts.credit import CreditCurrency, CreditUnits
from protocols.sts.errors import (
    CrcError,
    FormatError,
    FunctionError,
    MissingKeyError,
    RangeError,
    StsError,
)
from protocols.sts.keychange import KeySection
from protocols.sts.management import Management, PhaseUnbalanceLimit, PowerLimit
from protocols.sts.metertest import MeterTestToken
from protocols.sts.tables import CreditSubclass, TokenClass
from protocols.sts.token import TOKEN_MAX, block_of, decode, digits_of, encode
from tests.protocols.sts.strategies import (
    CIPHERS,
    MISTY1,
    STA,
    blocks,
    credits_,
    managements,
    meter_tests,
    misty1_sections,
    sta_sections,
)

SAMPLE_TOKEN = "51043465443420856213"
ciphers = st.sampled_from(CIPHERS)
twenty_digits = st.integers(0, 10**20 - 1).map(lambda value: f"{value:020d}")


def test_the_printed_example_of_the_standard():
    credit = CreditUnits(CreditSubclass.ELECTRICITY, 0xB, 0x19EB23, 256)
    assert encode(credit, STA) == SAMPLE_TOKEN
    assert decode(SAMPLE_TOKEN, STA) == credit


def test_class_bits_take_the_place_of_two_that_go_on_top():
    token = digits_of(TokenClass.CREDIT, 0xD431F4B09E0E9F62)
    assert token == "70630503470028726114"
    assert int(token) == 0x3D431F4B0860E9F62
    assert block_of(token) == (TokenClass.CREDIT, 0xD431F4B09E0E9F62)


@given(credits_, ciphers)
def test_credit_comes_back_as_encoded(credit: CreditUnits | CreditCurrency, cipher: BlockCipher):
    back = decode(encode(credit, cipher), cipher)
    assert type(back) is type(credit)
    assert (back.subclass, back.tid) == (credit.subclass, credit.tid)
    match back, credit:
        case CreditUnits(), CreditUnits():
            assert (back.rnd, back.amount_tenths) == (credit.rnd, credit.encoded_tenths)
        case CreditCurrency(), CreditCurrency():
            assert back.amount_1e5 == credit.encoded_1e5
    assert encode(back, cipher) == encode(credit, cipher)


@given(managements, ciphers)
def test_management_comes_back_as_encoded(management: Management, cipher: BlockCipher):
    back = decode(encode(management, cipher), cipher)
    if isinstance(management, PowerLimit | PhaseUnbalanceLimit):
        management = replace(management, watts=management.encoded_watts)
    assert back == management


@given(sta_sections)
def test_sections_of_ea07_come_back(section: KeySection):
    assert decode(encode(section, STA), STA) == section


@given(misty1_sections)
def test_sections_of_ea11_come_back(section: KeySection):
    assert decode(encode(section, MISTY1), MISTY1) == section


@given(meter_tests)
def test_class_1_comes_back_without_a_key(token: MeterTestToken):
    assert decode(encode(token, None), None) == token
    assert encode(token, MISTY1) == encode(token, None)


@given(st.sampled_from(TokenClass), blocks)
def test_every_block_survives_its_digits(token_class: TokenClass, block: int):
    digits = digits_of(token_class, block)
    assert len(digits) == 20
    assert block_of(digits) == (token_class, block)


@given(twenty_digits, ciphers)
@example(f"{TOKEN_MAX}", MISTY1)
@example("0" * 20, MISTY1)
@example("9" * 20, MISTY1)
def test_any_twenty_digits_decode_or_raise_our_errors(digits: str, cipher: BlockCipher):
    with suppress(FormatError, CrcError, FunctionError, RangeError):
        decode(digits, cipher)


@given(st.sampled_from(TokenClass), st.integers(0, 2**48 - 1), ciphers)
def test_any_genuine_block_decodes_to_what_encodes_to_it(
    token_class: TokenClass, content: int, cipher: BlockCipher
):
    block = seal(token_class, content)
    encrypted = block if token_class is TokenClass.METER_TEST else cipher.encrypt(block)
    digits = digits_of(token_class, encrypted)
    try:
        contents = decode(digits, cipher)
    except (FunctionError, RangeError):
        return
    if not (isinstance(contents, CreditCurrency) and contents.amount_1e5 == 0):
        assert encode(contents, cipher) == digits


def test_minus_nothing_is_read_as_nothing():
    content = 4 << SUBCLASS_SHIFT | (SIGN_BIT >> 16) << 40 | 1 << 16
    digits = digits_of(TokenClass.CREDIT, MISTY1.encrypt(seal(TokenClass.CREDIT, content)))
    assert decode(digits, MISTY1) == CreditCurrency(CreditSubclass(4), 1, 0)


@given(st.text())
def test_any_text_decodes_or_raises_our_errors(text: str):
    with pytest.raises(StsError):
        decode(text, MISTY1)


@given(credits_ | managements, ciphers, st.integers(0, 19), st.integers(1, 9))
def test_a_mistyped_digit_is_caught_or_costs_no_crash(
    contents, cipher: BlockCipher, place: int, change: int
):
    digits = encode(contents, cipher)
    wrong = str((int(digits[place]) + change) % 10)
    try:
        mistyped = decode(digits[:place] + wrong + digits[place + 1 :], cipher)
    except StsError:
        return
    assert mistyped != decode(digits, cipher)


@pytest.mark.parametrize(
    "text",
    ["", "1" * 19, "1" * 21, "5104 3465 4434 2085 6213", "x" * 20, "٥" * 20, "-" + "1" * 19],
)
def test_what_is_not_twenty_digits_is_no_token(text: str):
    with pytest.raises(FormatError, match="token: must be 20 decimal digits"):
        decode(text, MISTY1)


def test_what_is_above_66_bits_is_no_token():
    with pytest.raises(FormatError, match="66 bits"):
        decode(str(TOKEN_MAX + 1), MISTY1)


def test_class_3_is_reserved():
    with pytest.raises(FunctionError, match="token_class: 3 is reserved"):
        decode(f"{3 << 27:020d}", MISTY1)


def test_another_meters_token_does_not_authenticate():
    with pytest.raises(CrcError, match="token: does not authenticate"):
        decode(SAMPLE_TOKEN, MISTY1)


def test_an_encrypted_token_needs_a_key_both_ways():
    credit = CreditUnits(CreditSubclass.ELECTRICITY, 5, 1, 1)
    with pytest.raises(MissingKeyError, match="cipher"):
        encode(credit, None)
    with pytest.raises(MissingKeyError, match="cipher"):
        decode(SAMPLE_TOKEN, None)


@pytest.mark.parametrize(
    "text", [SAMPLE_TOKEN, SAMPLE_TOKEN[:-1], f"9{SAMPLE_TOKEN[1:]}", f"{3 << 27:020d}"]
)
def test_no_error_repeats_the_digits(text: str):
    with pytest.raises(StsError) as caught:
        decode(text, MISTY1)
    assert text not in str(caught.value)
    assert text not in repr(caught.value)
