"""`headend sts decode`: every field, the meter's answer and why, and nothing guessed."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocols.sts.block import seal
from protocols.sts.cipher import cipher_for
from protocols.sts.keychange import FourthSection, ThirdSection
from protocols.sts.keys import DecoderKey
from protocols.sts.tables import EncryptionAlgorithm, TokenClass
from protocols.sts.token import digits_of, encode
from tests.api.sts_calls import PAN, PUBLISHED, TESTED, refusal, sts

KEY = [option for option in TESTED if option not in {"--rnd", "5"}]
UNITS = "58625789986991357486"
ALL_TESTS = "56493153725450313471"
DECODER_KEY = "929bd3a415c9420a05ec5ee9f3ce91c3"
CIPHER = cipher_for(DecoderKey(bytes.fromhex(DECODER_KEY), EncryptionAlgorithm.MISTY1))
SET = PUBLISHED["531-1-11-CTSA05-2"]["expected"]["tokens"]


def decoded(*arguments: str) -> tuple[int, dict[str, Any]]:
    result = sts("decode", *arguments, "--json")
    assert result.exit_code in {0, 1}, result.output
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return result.exit_code, document


def judged(*arguments: str) -> tuple[int, dict[str, Any]]:
    status, document = decoded(*arguments)
    [token] = document["tokens"]
    assert status == int(token["refused"])
    return status, token


def values(token: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["value"] for row in token["fields"]}


def made(order: str, *more: str) -> str:
    result = sts("issue", order, *TESTED, *more, "--json")
    assert result.exit_code == 0, result.output
    token = json.loads(result.stdout)["tokens"][0]["token"]
    assert isinstance(token, str)
    return token


def test_every_field_of_a_credit_is_told():
    status, token = judged(UNITS, *KEY)
    assert status == 0
    assert token["result"] == "Accept"
    assert values(token) == {
        "class": "0",
        "sub-class": "0",
        "RND": "5",
        "TID": "85740",
        "amount": "0.1 kWh",
        "CRC": "3188",
        "mark": "test",
    }
    assert "2014-03-01 13:00 UTC" in json.dumps(token)


@pytest.mark.parametrize(
    "typed",
    [
        ["5862 5789 9869 9135 7486"],
        ["5862-5789-9869-9135-7486"],
        ["5862", "5789", "9869", "9135", "7486"],
    ],
)
def test_groups_are_read_together(typed: list[str]):
    assert judged(*typed, *KEY)[1]["token"] == UNITS


def test_tokens_come_from_a_pipe():
    result = sts("decode", "-", *KEY, "--json", typed=f"{UNITS}\n\n5649 3153 7254 5031 3471\n")
    tokens = [token["token"] for token in json.loads(result.stdout)["tokens"]]
    assert tokens == [UNITS, ALL_TESTS]


def test_without_a_key_only_the_class_is_seen():
    status, token = judged(UNITS)
    assert status == 0
    assert values(token) == {"class": "0"}
    assert "give the key" in token["result"]


def test_class_1_is_read_without_a_key():
    status, token = judged(ALL_TESTS)
    assert (status, token["result"]) == (0, "Accept")
    assert values(token)["control"] == "0xFFFFFFFFF"


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        (UNITS[:-1], "token: must be 20 decimal digits, this is 19 digits"),
        (UNITS + "0", "this is 21 digits"),
        (UNITS[:-1] + "x", "this is something else"),
        ("٠" * 20, "this is something else"),
        ("", "this is something else"),
    ],
)
def test_what_nobody_can_key_in_is_misuse(typed: str, problem: str):
    told = refusal("decode", typed, *KEY)
    assert problem in told


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--stored-tid", "16777216", "stored_tid: must lie between 0 and 16777215"),
        ("--mfr-code", "65536", "mfr_code: must lie between 0 and 65535"),
    ],
)
def test_a_meter_cannot_know_what_does_not_fit(option: str, value: str, problem: str):
    assert problem in refusal("decode", UNITS, *KEY, option, value)


def test_a_mistyped_digit_is_a_crc_error():
    status, token = judged(UNITS[:-1] + "7", *KEY)
    assert (status, token["result"], token["hints"]) == (1, "CRCError", [])


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [
        ("--ti", "7", "TI 01"),
        ("--krn", "3", "KRN 1"),
        ("--base-date", "2035", "base date 2014"),
        ("--kt", "1", "key type 2"),
    ],
)
def test_a_wrong_record_of_the_meter_is_found(option: str, value: str, hint: str):
    _, token = judged(UNITS, *KEY, option, value)
    assert token["result"] == "CRCError"
    assert [one for one in token["hints"] if f"with {hint}:" in one]


def test_more_than_66_bits_is_a_format_error():
    assert judged("99999999999999999999", *KEY)[1]["result"] == "FormatError"


def test_class_3_is_a_function_error():
    assert judged(f"{3 << 27:020d}")[1]["result"] == "FunctionError"


@pytest.mark.parametrize(
    ("more", "result"),
    [
        (["--stored-tid", "85740"], "UsedError"),
        (["--stored-tid", "85741", "--stored-tid", "85750"], "OldError"),
        (["--stored-tid", "85739"], "Accept"),
        (["--ken", "0"], "KeyExpiredError"),
        (["--ken", "1"], "Accept"),
    ],
)
def test_a_token_is_judged_by_what_the_meter_knows(more: list[str], result: str):
    status, token = judged(UNITS, *KEY, *more)
    assert token["result"] == result
    assert bool(token["reason"]) == bool(status)


def test_credit_for_a_default_key_is_refused():
    token = made("electricity=1", "--kt", "1")
    assert judged(token, *KEY, "--kt", "1")[1]["result"] == "DDTKError"


def test_an_unknown_register_is_a_range_error():
    assert judged(made("clear-credit=9"), *KEY)[1]["result"] == "RangeError"


def test_a_test_token_of_another_manufacturer_is_refused():
    token = made("manufacturer-test=6:0x1:0x21")
    assert judged(token, "--mfr-code", "33")[1]["result"] == "Accept"
    assert judged(token, "--mfr-code", "34")[1]["result"] == "MfrCodeError"
    assert "--mfr-code" in judged(token)[1]["not_asked"][0]


def test_a_reserved_sub_class_is_told_with_its_raw_fields():
    status, token = judged(reserved(), *KEY)
    assert (status, token["result"]) == (1, "FunctionError")
    assert values(token)["sub-class"] == "9"
    assert values(token)["data"] == "1234"


def reserved() -> str:
    """A genuine credit token of sub-class 9."""
    content = 9 << 44 | 5 << 40 | 85740 << 16 | 0x1234
    block = CIPHER.encrypt(seal(TokenClass.CREDIT, content))
    return digits_of(TokenClass.CREDIT, block)


def test_a_key_change_is_put_together_in_any_order():
    status, document = decoded(*reversed(SET), *KEY, "--show-key")
    assert status == 0
    told = {row["name"]: row["value"] for row in document["key_change"]}
    assert told == {
        "set": "complete",
        "new SGC": "203557",
        "new KRN": "6",
        "new TI": "02",
        "new KT": "2",
        "new KEN": "255",
        "rollover": "yes",
        "new key": "39fa45a353cb729549dc515a68a25c98",
    }


def test_the_new_key_is_hidden_unless_asked_for():
    told = sts("decode", *SET, *KEY).output
    assert "complete" in told
    for word in ("39fa45a3", "68a25c98", "53cb7295", "49dc515a"):
        assert word not in told


def test_half_a_set_says_what_is_missing():
    _, document = decoded(*SET[:2], *KEY)
    assert document["key_change"][0]["meaning"] == "missing: section 3, 4"


def test_a_forbidden_key_type_change_is_refused(tmp_path: Path):
    file = tmp_path / "own.hex"
    file.write_text(DECODER_KEY)
    file.chmod(0o600)
    own = ["--decoder-key-file", str(file)]
    assert judged(SET[0], *own, "--kt", "2")[1]["result"].startswith("section received")
    assert judged(SET[0], *own, "--kt", "3")[1]["result"] == "KeyTypeError"


def test_a_set_with_an_impossible_group_is_told():
    halves = ThirdSection(0xFFF, 0), FourthSection(0xFFF, 0)
    tokens = [encode(half, CIPHER) for half in halves]
    _, document = decoded(*SET[:2], *tokens, *KEY)
    assert document["key_change"][0]["value"] == "RangeError"


def test_ea07_needs_its_tables_to_be_read():
    assert "ea07_tables" in refusal("decode", UNITS, *KEY, "--ea", "7")
    token = made("electricity=1", "--ea", "7", "--sample-tables")
    assert judged(token, *KEY, "--ea", "7", "--sample-tables")[0] == 0


def test_every_kind_of_token_reads_back():
    for order in (
        "water-currency=-2.5",
        "power-limit=16384",
        "tariff-rate=17",
        "set-flag=prepaid-water:off",
        "set-control=3:123",
        "clear-tamper",
        "read-control=3",
    ):
        assert judged(made(order), *KEY)[0] == 0, order


def test_text_ends_with_the_answer_and_the_open_questions():
    result = sts("decode", UNITS, *KEY)
    assert result.exit_code == 0
    assert "result     Accept" in result.stdout
    assert "not asked  whether the credit register would overflow" in result.stdout
    assert PAN not in result.stdout
