"""Tokens: digits are text, hidden but for the last four; results know what they mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.meters import Drn, TenantId
from headend.refusals import MalformedToken
from headend.tokens import (
    MAX_TOKEN,
    IssuedToken,
    Token,
    TokenPurpose,
    TokenResult,
    parse_digits,
    purpose_of,
)

DIGITS = "58625789986991357486"


def a_token() -> Token:
    return Token(
        id="k1",
        tenant=TenantId("t"),
        drn=Drn("12345678903"),
        delivery_id="d1",
        sequence=1,
        purpose=TokenPurpose.CREDIT,
        digits=DIGITS,
    )


def test_a_token_never_prints_its_digits():
    token = a_token()
    for text in (repr(token), str(token), f"{token}", repr(IssuedToken(DIGITS, 1, token.purpose))):
        assert DIGITS[:12] not in text
    assert token.masked == "****************7486"


def test_digits_are_grouped_as_on_a_receipt():
    assert a_token().grouped == "5862 5789 9869 9135 7486"


@pytest.mark.parametrize("text", ["5862 5789 9869 9135 7486", "5862-5789-9869-9135-7486", DIGITS])
def test_groups_may_be_set_apart(text):
    assert parse_digits(text) == DIGITS


@pytest.mark.parametrize(
    "text", ["", "1234", DIGITS + "1", DIGITS[:-1] + "x", str(MAX_TOKEN + 1), "٣" * 20]
)
def test_what_is_no_token_is_refused_without_being_shown(text):
    with pytest.raises(MalformedToken) as refusal:
        parse_digits(text)
    assert not text or text not in str(refusal.value)


def test_leading_zeros_count():
    assert parse_digits("00000000000000000001") == "00000000000000000001"


@given(st.integers(0, 2**66 - 1))
def test_the_class_is_read_from_the_two_clear_bits(number):
    digits = f"{number:020d}"
    if number >> 27 & 3 == 3:
        with pytest.raises(MalformedToken):
            purpose_of(digits)
    else:
        assert purpose_of(digits) in TokenPurpose


def test_every_result_is_taken_refused_or_a_matter_of_waiting():
    waits = {
        TokenResult.RESERVED,
        TokenResult.USED_ERROR,
        TokenResult.LOCK_OUT,
        TokenResult.NOT_READY,
        TokenResult.REQUEST_ID_USED,
    }
    for result in TokenResult:
        assert [result.taken, result.refused, result in waits].count(True) == 1
