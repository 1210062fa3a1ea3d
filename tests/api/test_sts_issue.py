"""`headend sts issue`: published tokens by their options, and errors that name a field."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from protocols.sts.sta import SAMPLE
from tests.api.sts_calls import CHECK, FIRST, PAN, PUBLISHED, TEST_KEY_HEX, TESTED, refusal, sts


def issued(*arguments: str) -> dict[str, Any]:
    result = sts("issue", *arguments, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return document


def digits(*arguments: str) -> list[str]:
    return [token["token"] for token in issued(*arguments)["tokens"]]


def published_options(record: dict[str, Any]) -> list[str]:
    inputs = record["inputs"]
    options = {
        "--meter": inputs["meter_pan"],
        "--sgc": inputs["sgc"],
        "--krn": inputs["krn"],
        "--ti": inputs["ti"],
        "--base-date": inputs["base_date"],
        "--ea": inputs["ea"],
        "--rnd": inputs.get("rnd", 5),
        "--tid": inputs["tid"],
    }
    told = [text for name, value in options.items() for text in (name, str(value))]
    return [*told, "--test-key", *(["--sample-tables"] if "ea07_tables" in inputs else [])]


def published(kind: str) -> list[str]:
    return [
        id_
        for id_, record in PUBLISHED.items()
        if record["kind"] == kind
        and record["inputs"].get("vending_key", "").upper() == TEST_KEY_HEX
        and "tid" in record["inputs"]
    ]


SERVICES = ("electricity", "water", "gas", "time")
ALL_TESTS, ALL_TESTS_LONG = "nectar-STS_531_1_0_02_CTSA02-step1Test-0", "531-1-xx-CTSA02-2"
MANAGEMENT = {0: "power-limit", 1: "clear-credit", 5: "clear-tamper", 6: "unbalance-limit"}


@pytest.mark.parametrize("id_", published("token.credit.units"))
def test_published_units_come_out(id_: str):
    record = PUBLISHED[id_]
    tenths = record["inputs"]["amount_tenths"]
    order = f"{SERVICES[record['inputs']['subclass']]}={tenths // 10}.{tenths % 10}"
    assert digits(order, *published_options(record)) == [record["expected"]["token"]]


@pytest.mark.parametrize("id_", published("token.credit.currency"))
def test_published_currency_comes_out(id_: str):
    record = PUBLISHED[id_]
    service = SERVICES[record["inputs"]["subclass"] - 4]
    order = f"{service}-currency={record['inputs']['amount_currency']}"
    assert digits(order, *published_options(record)) == [record["expected"]["token"]]


@pytest.mark.parametrize("id_", published("token.management"))
def test_published_management_tokens_come_out(id_: str):
    record = PUBLISHED[id_]
    name = MANAGEMENT[record["inputs"]["subclass"]]
    value = record["inputs"]["value"]
    order = name if name == "clear-tamper" else f"{name}={value}"
    assert digits(order, *published_options(record)) == [record["expected"]["token"]]


@pytest.mark.parametrize("id_", published("token.extended"))
def test_published_extended_tokens_come_out(id_: str):
    record = PUBLISHED[id_]
    value = record["inputs"]["value"]
    index, rest = value >> 10, value & 0x3FF
    flag = f"set-flag={rest >> 1}:{'on' if rest & 1 else 'off'}"
    order = flag if index == 63 else f"set-control={index}:{rest}"
    assert digits(order, *published_options(record)) == [record["expected"]["token"]]


@pytest.mark.parametrize(
    ("order", "more", "token"),
    [
        ("meter-test=all", ["--meter", PAN], ALL_TESTS),
        ("meter-test=0", ["--meter", "000001000000000082"], ALL_TESTS_LONG),
    ],
)
def test_class_1_takes_the_form_of_the_meter_and_no_key(order: str, more: list[str], token: str):
    assert digits(order, *more) == [PUBLISHED[token]["expected"]["token"]]


def test_class_1_comes_in_both_forms_where_the_meter_is_not_known():
    both = digits("meter-test=all")
    assert both == [
        PUBLISHED[ALL_TESTS]["expected"]["token"],
        PUBLISHED[ALL_TESTS_LONG]["expected"]["token"],
    ]


def test_several_tokens_take_rising_tids_around_the_reserved_minute():
    made = issued(
        "electricity=1", "clear-tamper", "power-limit=5", *TESTED, "--time", "2014-03-02T00:00"
    )
    tids = [token["tid"] for token in made["tokens"]]
    assert tids == [86400, 86402, 86403]
    assert len({token["token"] for token in made["tokens"]}) == 3


def test_the_tid_follows_the_last_one_and_may_be_given_outright():
    last = issued("electricity=1", *TESTED, *FIRST, "--last-tid", "90000")
    assert last["tokens"][0]["tid"] == 90001
    special = issued("electricity=1", *TESTED, "--tid", "86401")
    assert "reserved minute" in json.dumps(special)


def test_a_time_may_name_its_zone():
    assert digits("electricity=0.1", *TESTED, "--time", "2014-03-01T15:00+02:00") == [
        "58625789986991357486"
    ]


def test_the_clock_and_chance_serve_where_nothing_is_said():
    made = issued("electricity=1", *CHECK[:-2], "--test-key")["tokens"][0]
    assert made["tid"] > 6_000_000


def test_text_shows_digits_in_groups_and_the_amount_really_encoded():
    result = sts("issue", "electricity=2000", *TESTED, *FIRST)
    assert result.exit_code == 0
    line = result.stdout.strip()
    assert line.endswith("electricity 2000.4 kWh, TID 85740, test key")
    assert len(line.split("  ")[0]) == len("0000 0000 0000 0000 0000")


def test_the_worked_example_shows_the_published_values():
    steps = issued("electricity=0.1", *TESTED, *FIRST, "--explain")["steps"]
    values = {row["value"] for part in steps for row in part["rows"]}
    assert values >= {
        "929bd3a415c9420a05ec5ee9f3ce91c3",
        "05014eec00013188",
        "2d98a5617b45be2e",
        "32d98a5616345be2e",
        "5862 5789 9869 9135 7486",
    }


def test_the_worked_example_shows_dkga02_and_currency_and_class_1():
    old = ["--meter", PAN, "--sgc", "123456", "--krn", "1", "--ti", "1", "--base-date", "93"]
    shown = sts(
        "issue", "electricity-currency=-1.00", *old, "--dkga", "2", "--ea", "07", "--tid",
        "5871715", "--test-key", "--sample-tables", "--explain",
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    for value in ("2151356011ffffff", "6ca9aad4270fa73b", "4df89fb436f058c4", "e653341f9d5bf36f"):
        assert value in shown.stdout
    assert "8, 60a9" in shown.stdout
    assert "CRC_C" in shown.stdout
    assert "never sell it" in shown.stderr
    assert "class 1 is not encrypted" in sts("issue", "meter-test=all", "--explain").stdout


# --- keys ---------------------------------------------------------------------------------------


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key.hex"
    file.write_text(
        "# vending key of the laboratory\nABABABABABABABAB 9494949494949494\n01234567\n"
    )
    file.chmod(0o600)
    return file


PUBLISHED_FIRST = "58625789986991357486"


def test_a_key_comes_from_a_private_file_the_environment_or_a_pipe(key_file: Path):
    order = ["issue", "electricity=0.1", *CHECK, *FIRST, "--json"]
    ways = [
        sts(*order, "--key-file", str(key_file)),
        sts(*order, env={"HEADEND_STS_KEY": TEST_KEY_HEX}),
        sts(*order, "--key-file", "-", typed=TEST_KEY_HEX + "\n"),
    ]
    for result in ways:
        assert json.loads(result.stdout)["tokens"][0]["token"] == PUBLISHED_FIRST


def test_a_key_that_others_can_read_is_refused(key_file: Path):
    key_file.chmod(0o640)
    told = refusal("issue", "electricity=1", *CHECK, "--key-file", str(key_file))
    assert f"chmod 600 {key_file}" in told


def test_keys_of_ones_own_never_show_unless_asked(tmp_path: Path):
    file = tmp_path / "own.hex"
    file.write_text("00112233445566778899aabbccddeeff00112233")
    file.chmod(0o600)
    order = ["issue", "electricity=1", *CHECK, *FIRST, "--key-file", str(file), "--explain"]
    hidden, shown = sts(*order), sts(*order, "--show-key")
    assert "(hidden; --show-key)" in hidden.stdout
    key = next(line.split()[2] for line in shown.stdout.splitlines() if "decoder key  " in line)
    assert len(bytes.fromhex(key)) == 16
    assert key not in hidden.stdout
    for result in (hidden, shown):
        assert "00112233445566778899" not in result.output


def test_a_meters_own_key_needs_no_vending_key(tmp_path: Path):
    file = tmp_path / "own.hex"
    file.write_text("0ABC12DEF3456789")
    file.chmod(0o600)
    made = digits(
        "electricity=25.6", "--decoder-key-file", str(file), "--ea", "7", "--sample-tables",
        "--base-date", "1993", "--time", "1996-03-25T13:55:22", "--rnd", "11",
    )  # fmt: skip
    assert made == ["51043465443420856213"]


def with_key(text: str, tmp_path: Path) -> list[str]:
    file = tmp_path / "key.hex"
    file.write_text(text)
    file.chmod(0o600)
    return [*CHECK, *FIRST, "--key-file", str(file)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "key: is empty"),
        ("not hex", "key: must be hex digits"),
        ("ABC", "key: must be hex digits"),
        (TEST_KEY_HEX + "16", "vending_key: must be 8 bytes for DKGA02, 20 for DKGA04, this one"),
        (TEST_KEY_HEX + "16", "a 16 behind a printed key is the base of its digits"),
        ("AB" * 16, "vending_key: must be 8 bytes for DKGA02, 20 for DKGA04"),
        ("AA" * 8, "vending_key: a DES key must have odd parity"),
        ("AB" * 8, "ea: DKGA02 makes keys for EA07 only (--ea)"),
    ],
)
def test_a_key_that_is_none_is_refused_and_never_repeated(text: str, problem: str, tmp_path: Path):
    told = refusal("issue", "electricity=1", *with_key(text, tmp_path))
    assert problem in told
    assert "ABAB" not in told


def test_a_key_of_the_wrong_length_for_its_algorithm_is_refused(tmp_path: Path):
    told = refusal("issue", "electricity=1", *with_key("AB" * 8, tmp_path), "--dkga", "04")
    assert "vending_key: must be 20 bytes, this one is 8" in told


def test_two_keys_are_one_too_many(key_file: Path):
    for option in ("--key-file", "--decoder-key-file"):
        told = refusal("issue", "electricity=1", *TESTED, option, str(key_file))
        assert "key: give one of" in told


def test_a_missing_key_file_is_named():
    told = refusal("issue", "electricity=1", *CHECK, "--key-file", "no-such-file")
    assert "no-such-file: cannot be read: No such file" in told


def test_without_a_key_the_ways_to_give_one_are_told():
    assert "--key-file, --test-key, or set HEADEND_STS_KEY" in refusal(
        "issue", "electricity=1", *CHECK
    )


# --- tables -------------------------------------------------------------------------------------


def tables_file(folder: Path, **changes: object) -> str:
    document: dict[str, object] = {
        "SE1": list(SAMPLE.se2),
        "SE2": list(SAMPLE.se1),
        "PE": list(SAMPLE.pe[::-1]),
    }
    file = folder / "licensed.json"
    file.write_text(json.dumps(document | changes))
    return str(file)


def test_ea07_wants_its_tables_by_name():
    told = refusal("issue", "electricity=1", *TESTED, "--ea", "07")
    assert "ea07_tables: EA07 needs its table set" in told
    assert "--ea07-tables or --sample-tables" in told


def test_a_loaded_table_set_is_named_with_its_fingerprint(tmp_path: Path):
    made = issued("electricity=1", *TESTED, "--ea", "7", "--ea07-tables", tables_file(tmp_path))
    assert made["ea07_tables"]["name"] == "licensed"
    assert len(made["ea07_tables"]["sha256"]) == 64
    assert made["warnings"] == []


def test_the_sample_set_is_used_only_when_it_is_said(tmp_path: Path):
    made = issued("electricity=1", *TESTED, "--ea", "7", "--sample-tables")
    assert made["ea07_tables"]["name"] == "sample"
    assert "never sell it" in made["warnings"][0]
    sample = tables_file(tmp_path, SE1=list(SAMPLE.se1), SE2=list(SAMPLE.se2), PE=list(SAMPLE.pe))
    order = ["issue", "electricity=1", *TESTED, "--ea", "7", "--ea07-tables", sample]
    assert "holds the sample set" in refusal(*order)
    assert "not both" in refusal(*order, "--sample-tables")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"SE1": [0] * 16}, "SE1: must hold each number from 0 to 15 once"),
        ({"PE": list(range(63))}, "PE: must hold each number from 0 to 63 once"),
        ({"SE2": "none"}, "SE2: is missing or not a list"),
        ({"SX": []}, "SX: is no table of EA07"),
    ],
)
def test_tables_that_are_none_are_refused(changes: dict[str, object], problem: str, tmp_path: Path):
    file = tables_file(tmp_path, **changes)
    assert problem in refusal("issue", "electricity=1", *TESTED, "--ea", "7", "--ea07-tables", file)
    assert problem in refusal("tables", file)


def test_tables_are_told_by_fingerprint_never_by_number(tmp_path: Path):
    own = json.loads(sts("tables", tables_file(tmp_path), "--json").stdout)
    assert own == {"name": "licensed", "sha256": own["sha256"], "sample": False}
    shown = sts("tables").stdout
    assert SAMPLE.fingerprint in shown
    assert "the sample set" in shown


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"--meter": "12345678904"}, "drn: Luhn check digit does not fit"),
        ({"--meter": "600727000000000008"}, "meter_pan: Luhn check digit does not fit"),
        ({"--meter": "123"}, "drn: must be 11 or 13 decimal digits (--meter)"),
        ({"--meter": "6007270000000000x9"}, "meter_pan: must be 18 decimal digits"),
        ({"--sgc": "20145"}, "sgc: must be 6 decimal digits (--sgc)"),
        ({"--sgc": "20145x"}, "sgc: must be 6 decimal digits"),
        ({"--krn": "0"}, "krn: must lie between 1 and 9 (--krn)"),
        ({"--krn": "10"}, "krn: must lie between 1 and 9"),
        ({"--ti": "100"}, "tariff_index: must lie between 0 and 99 (--ti)"),
        ({"--ti": "-1"}, "tariff_index: must lie between 0 and 99"),
        ({"--rnd": "16"}, "rnd: must lie between 0 and 15 (--rnd)"),
        ({"--kt": "4"}, "key_type: must lie between 0 and 3 (--kt)"),
        ({"--kt": "0"}, "key_type: an initialisation key comes from no vending key"),
        ({"--kt": "3"}, "key_type: common keys under DKGA04 are not supported"),
        ({"--ken": "256"}, "ken: must lie between 0 and 255 (--ken)"),
        ({"--ken": "0"}, "ken: the key expired at 2014-02-15 12:15 UTC"),
        ({"--base-date": "2000"}, "base_date: must be 1993, 2014 or 2035"),
        ({"--base-date": "2035"}, "moment: lies before the base date"),
        ({"--base-date": "1993", "--time": "2025-01-01"}, "tid: base date 1993 ends at 2024-11-24"),
        ({"--ea": "9"}, "ea: EA09 is withdrawn, not supported"),
        ({"--ea": "8"}, "ea: no such EA"),
        ({"--dkga": "3"}, "dkga: DKGA03 is withdrawn, not supported"),
        ({"--time": "noon"}, "moment: must be a time, ISO 8601"),
        ({"--last-tid": "16777216"}, "last: must lie between 0 and 16777215 (--last-tid)"),
        ({"--tid": "5"}, "tid: stands for a time; give one of them"),
    ],
)
def test_a_wrong_option_is_named(changes: dict[str, str], problem: str):
    given = dict(zip([*CHECK, *FIRST][::2], [*CHECK, *FIRST][1::2], strict=True)) | changes
    options = [text for pair in given.items() for text in pair]
    told = refusal("issue", "electricity=1", *options, "--test-key")
    assert problem in told


@pytest.mark.parametrize("left_out", ["--meter", "--sgc", "--krn", "--ti"])
def test_what_a_key_needs_is_asked_for(left_out: str):
    given = dict(zip(CHECK[::2], CHECK[1::2], strict=True))
    del given[left_out]
    options = [text for pair in given.items() for text in pair]
    assert f"is needed to find the meter's key ({left_out})" in refusal(
        "issue", "electricity=1", *options, "--test-key"
    )


def test_a_number_that_is_none_is_refused_with_its_option():
    told = refusal("issue", "electricity=1", *TESTED[:-3], "--rnd", "five")
    assert "--rnd" in told


@pytest.mark.parametrize("tid", ["16777216", "-1"])
def test_a_tid_has_24_bits(tid: str):
    assert "tid: must lie between 0 and 16777215" in refusal(
        "issue", "electricity=1", *TESTED, "--tid", tid
    )


def test_a_tid_is_not_given_twice():
    assert "tid: must be above the last one" in refusal(
        "issue", "electricity=1", *TESTED, "--tid", "900", "--last-tid", "900"
    )


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        ("electricty=1", "did you mean electricity?"),
        ("voucher=1", "token: no token is called 'voucher'; there are electricity, water"),
        ("electricity", "electricity: needs a value: electricity=25.6"),
        ("electricity=", "amount: must be a decimal number"),
        ("electricity=ten", "amount: must be a decimal number"),
        ("electricity=0.05", "amount: is finer than 1/10"),
        ("electricity=-1", "amount: must lie between 0 and 1820162.4"),
        ("water=1820162.5", "amount: must lie between 0 and 1820162.4"),
        ("electricity=1e99", "amount: must lie between"),
        ("gas-currency=1e99", "amount: is more than the largest amount of currency"),
        ("time-currency=0.000001", "amount: is finer than 1/100000"),
        ("power-limit=18201625", "watts: must lie between 0 and 18201624"),
        ("unbalance-limit=x", "watts: must be a whole number"),
        ("clear-credit=rent", "register: must be a number or one of electricity, water"),
        ("clear-tamper=1", "clear-tamper: takes no value"),
        ("tariff-rate=65536", "rate: must lie between 0 and 65535"),
        ("water-factor=0x10000", "factor: must lie between 0 and 65535"),
        ("set-flag=test", "flag: must be set :on or :off"),
        ("set-flag=512:on", "flag: must lie between 0 and 511"),
        ("set-control=63:1", "index: must lie between 0 and 62"),
        ("set-control=0:1024", "value: must lie between 0 and 1023"),
        ("set-control=0", "value: must be a whole number"),
        ("meter-test=19", "meter-test: must lie between 0 and 18"),
        ("read-control=63", "index: must lie between 0 and 62"),
        ("read-flag=1", "read-flag: takes no value"),
        ("manufacturer-test=5:0:0", "subclass: must lie between 6 and 15"),
        ("manufacturer-test=6:0x10000000:0", "control: must lie between"),
        ("manufacturer-test=15:0:256", "mfr_code: must lie between 0 and 255"),
    ],
)
def test_a_wrong_order_names_its_field_and_makes_nothing(order: str, problem: str):
    told = refusal("issue", "electricity=1", order, *TESTED, *FIRST)
    assert problem in told


def test_other_orders_say_what_they_are():
    made = issued(
        "tariff-rate=17", "water-factor=0x10", "set-flag=disconnect-on-tamper:on",
        "clear-credit=all", "read-control=3", "read-flag", "manufacturer-test=6:0x1:0x21",
        *TESTED, *FIRST,
    )  # fmt: skip
    told = json.dumps(made)
    for words in ("0x0011", "0x0010", "disconnect on tamper", "read back index 63", "0x0021"):
        assert words in told
    assert [token["class"] for token in made["tokens"]] == [2, 2, 2, 2, 1, 1, 1]


def test_credit_for_a_default_key_comes_with_a_warning():
    made = issued("electricity=1", *TESTED, *FIRST, "--kt", "1")
    assert "DDTKError" in made["warnings"][0]


def test_a_refusal_is_json_where_json_was_asked_for():
    result = sts("issue", "electricity=x", *TESTED, "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"] == {
        "kind": "RangeError",
        "field": "amount",
        "problem": "must be a decimal number, as in 25.6",
    }


@pytest.mark.parametrize("command", ["issue", "keychange", "decode", "vectors", "tables"])
def test_every_command_has_help_with_an_example(command: str):
    result = sts(command, "--help")
    assert result.exit_code == 0
    assert f"Example: headend sts {command}" in " ".join(result.stdout.split())


def test_the_environment_of_the_tests_holds_no_key():
    assert "HEADEND_STS_KEY" not in os.environ
