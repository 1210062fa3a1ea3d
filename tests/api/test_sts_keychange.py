"""`headend sts keychange`: published sets by their options, whole or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.sts_calls import PAN, PUBLISHED, TEST_KEY_HEX, refusal, sts


def changed(*arguments: str, env: dict[str, str] | None = None) -> list[str]:
    result = sts("keychange", *arguments, "--json", env=env)
    assert result.exit_code == 0, result.output
    return [token["token"] for token in json.loads(result.stdout)["tokens"]]


def change_options(record: dict[str, Any]) -> list[str]:
    inputs = record["inputs"]
    old, new = inputs["old"], inputs["new"]
    told = ["--meter", inputs["meter_pan"], "--ea", str(inputs["ea"])]
    for prefix, side in (("--", old), ("--new-", new)):
        for name, key in (("sgc", "sgc"), ("krn", "krn"), ("ti", "ti"), ("ken", "ken")):
            told += [f"{prefix}{name}", str(side.get(key, 255))]
        told += [f"{prefix}base-date", str(side["base_date"])]
    three = ["--three-kct"] if inputs["three_kct"] else []
    sample = ["--sample-tables"] if "ea07_tables" in inputs else []
    moment = f"{new['base_date']}-01-02"
    return [*told, *three, *sample, "--time", moment]


@pytest.mark.parametrize(
    "id_", [id_ for id_, one in PUBLISHED.items() if one["kind"] == "token_set.key_change"]
)
def test_published_sets_come_out(id_: str):
    record = PUBLISHED[id_]
    sides = (record["inputs"]["old"], record["inputs"]["new"])
    old, new = (side["vending_key"] for side in sides)
    env = {"HEADEND_STS_KEY": old, "HEADEND_STS_NEW_KEY": new}
    made = changed(*change_options(record), env=env)
    expected = record["expected"]["tokens"]
    assert made[: len(expected)] == expected


SMALL = ["--meter", PAN, "--sgc", "201457", "--krn", "1", "--ti", "1"]
NEW_GROUP = ["--new-sgc", "203557", "--new-krn", "6"]


@pytest.mark.parametrize(
    ("more", "size"),
    [
        ([], 4),
        (["--ea", "7", "--sample-tables"], 2),
        (["--ea", "7", "--sample-tables", "--three-kct"], 3),
    ],
)
def test_a_set_has_its_size(more: list[str], size: int):
    assert len(changed(*SMALL, "--test-key", *NEW_GROUP, *more)) == size


def test_a_set_of_two_says_that_it_carries_no_sgc():
    result = sts("keychange", *SMALL, "--test-key", *NEW_GROUP, "--ea", "7", "--sample-tables")
    assert "does not tell the meter its new SGC" in result.stderr


def test_a_new_tariff_index_needs_no_new_key_but_another_group_does():
    env = {"HEADEND_STS_KEY": "00112233445566778899aabbccddeeff00112233"}
    assert len(changed(*SMALL, "--new-ti", "2", env=env)) == 4
    told = refusal("keychange", *SMALL, *NEW_GROUP, env=env)
    assert "--new-key-file, --new-test-key, or set HEADEND_STS_NEW_KEY" in told


def test_the_new_key_of_a_change_never_shows_unless_asked():
    env = {
        "HEADEND_STS_KEY": TEST_KEY_HEX,
        "HEADEND_STS_NEW_KEY": "00112233445566778899aabbccddeeff00112233",
    }
    order = ["keychange", *SMALL, *NEW_GROUP, "--explain"]
    shown = sts(*order, "--show-key", env=env).stdout
    part = shown.split("New decoder key")[1].split("Token 1")[0]
    key = next(line.split()[2] for line in part.splitlines() if "decoder key" in line)
    hidden = sts(*order, env=env).stdout
    for word in (key, key[:8], key[8:16], key[16:24], key[24:]):
        assert word in shown
        assert word not in hidden


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--three-kct"], "three_kct: an EA11 set always has four tokens (--three-kct)"),
        (["--new-krn", "10"], "krn: must lie between 1 and 9"),
        (["--new-ti", "100"], "tariff_index: must lie between 0 and 99"),
        (["--new-sgc", "1"], "sgc: must be 6 decimal digits"),
        (["--new-base-date", "2035", "--time", "2034-12-31"], "moment: lies before the base date"),
        (["--new-ken", "1", "--time", "2020-01-01"], "ken: the vending key expired at"),
        (["--new-kt", "3"], "key_type: common keys under DKGA04"),
    ],
)
def test_no_partial_set_is_ever_made(more: list[str], problem: str):
    assert problem in refusal("keychange", *SMALL, "--test-key", *more)


def test_an_expired_old_key_still_leads_to_a_new_one():
    more = ["--ken", "1", "--new-ken", "255", "--time", "2020-01-01"]
    assert len(changed(*SMALL, "--test-key", *more)) == 4


def test_a_meter_leaves_its_initialisation_key(tmp_path: Path):
    file = tmp_path / "ditk.hex"
    file.write_text("000102030405060708090a0b0c0d0e0f")
    file.chmod(0o600)
    options = ["--decoder-key-file", str(file), "--kt", "0", "--new-kt", "2", "--new-test-key"]
    made = changed(
        "--meter", PAN, *options, "--new-sgc", "201457", "--new-krn", "1", "--new-ti", "1"
    )
    assert len(made) == 4
    again = sts("decode", *made, "--decoder-key-file", str(file), "--kt", "0", "--show-key")
    assert "929bd3a415c9420a05ec5ee9f3ce91c3" in again.stdout
