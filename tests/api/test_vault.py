"""`headend vault` and `headend check`: keys come and go, their ends are known, secrets stay."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from tests.adapters.vault.conftest import VK160

TABLES = {"SE1": list(range(16)), "SE2": list(range(15, -1, -1)), "PE": list(range(64))}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADEND_MASTER_KEY", raising=False)
    return tmp_path


def headend(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def told(*arguments: str, code: int = 0) -> Any:
    result = headend(*arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def imported(place: Path, **changed: object) -> None:
    key = {
        "sgc": "201457", "krn": 1, "base_date": 2014, "ken": 255, "dkga": 4, "mark": "test",
        "key": VK160,
    } | changed  # fmt: skip
    file = place / "keys.toml"
    file.write_text("[[keys]]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in key.items()))
    file.chmod(0o600)
    assert headend("vault", "import", str(file)).exit_code == 0


def findings(*arguments: str, code: int) -> dict[str, dict[str, Any]]:
    document = told("check", *arguments, code=code)
    assert document["ok"] == (code == 0)
    return {one["subject"]: one for one in document["checks"]}


# --- vending keys --------------------------------------------------------------------------------


def test_a_list_shows_state_and_end(place: Path):
    imported(place)
    imported(place, krn=2, ken=85)
    [first, second] = told("vault", "list")
    assert (first["state"], first["ends_at"]) == ("in use", "2045-11-24T20:15+00:00")
    assert (second["state"], second["ends_at"]) == ("expired", "2024-09-18T22:55+00:00")
    assert first["held_in"] == "database"


def test_a_retired_key_is_out_of_use_until_it_is_activated(place: Path):
    imported(place)
    [row] = told("vault", "retire", "201457", "1")
    assert row["state"] == "retired"
    assert [key["state"] for key in told("vault", "list")] == ["retired"]
    again = headend("vault", "retire", "201457", "1")
    assert again.exit_code == 1
    assert "no key 201457/1 is in use" in again.stderr
    told("vault", "activate", "201457", "1")
    assert "in use" in [key["state"] for key in told("vault", "list")]
    unknown = headend("vault", "activate", "201457", "2")
    assert unknown.exit_code == 1
    assert "was ever imported" in unknown.stderr


def test_the_master_key_is_rotated(place: Path):
    imported(place)
    imported(place, krn=2)
    master = place / "var" / "master.key"
    old = master.read_text().strip()
    new = "5a" * 32
    master.write_text(f"{new}\n{old}\n")
    result = headend("vault", "rotate")
    assert result.exit_code == 0
    assert "2 of 2 keys" in result.stderr
    assert "Complete: 2 keys" in result.stdout
    master.write_text(f"{new}\n")
    assert findings(code=0)["tokens of tenant main"]["ok"]
    assert told("vault", "rotate") == {
        "done": 2,
        "total": 2,
        "unopened": [],
        "webhooks_unopened": [],
        "complete": True,
    }
    assert old not in result.output
    assert new not in result.output


def test_a_rotation_without_the_old_key_says_what_is_missing(place: Path):
    imported(place)
    (place / "var" / "master.key").write_text("5a" * 32)
    result = headend("vault", "rotate")
    assert result.exit_code == 1
    assert "key 201457/1 of tenant main does not open" in result.stderr
    assert "behind the newest" in result.stderr
    assert not findings(code=1)["tokens of tenant main"]["ok"]


@pytest.mark.parametrize("command", ["import", "list", "retire", "activate", "rotate"])
def test_every_command_shows_an_example(command: str):
    assert "Example: headend vault" in headend("vault", command, "--help").stdout


# --- check ---------------------------------------------------------------------------------------


def test_a_head_end_that_is_well(place: Path):
    imported(place)
    (place / "headend.toml").write_text('[buses.line-1]\nurl = "tcp://127.0.0.1:9"\n')
    found = findings(code=0)
    assert set(found) == {
        "database", "vending keys", "tokens of tenant main", "EA07 tables", "open recharges",
        "bus line-1", "webhooks",
    }  # fmt: skip
    assert "version" in str(found["database"]["told"])
    assert "1 in use, the first ends at 2045-11-24 20:15 UTC" in str(found["vending keys"]["told"])
    assert "ATTENTION" not in headend("check").stdout
    assert "Example: headend check" in headend("check", "--help").stdout


def test_nothing_is_made_by_looking(place: Path):
    found = findings(code=1)
    assert list(found) == ["database"]
    assert "none (empty)" in str(found["database"]["told"])
    assert list(place.iterdir()) == []


def test_without_keys_or_master_key_a_person_is_needed(place: Path):
    assert headend("migrate").exit_code == 0
    assert "No such file" in str(findings(code=1)["vault"]["told"])
    assert not (place / "var" / "master.key").exists()
    imported(place)
    told("vault", "retire", "201457", "1")
    assert "none is in use" in str(findings(code=1)["vending keys"]["told"])


def test_keys_that_end_are_told_ahead_of_time(place: Path):
    imported(place)
    imported(place, krn=2, ken=85)
    found = findings(code=1)
    assert "ended at 2024-09-18 22:55 UTC" in str(
        found["vending key 201457/2 of tenant main"]["told"]
    )
    assert "vending key 201457/1 of tenant main" not in found
    told("vault", "retire", "201457", "2")
    findings(code=0)


def test_the_table_set_is_told_by_name_and_fingerprint(place: Path):
    imported(place)
    (place / "licensed.json").write_text(json.dumps(TABLES))
    (place / "headend.toml").write_text('ea07_tables_file = "licensed.json"')
    row = findings(code=0)["EA07 tables"]
    assert str(row["told"]).startswith("licensed, SHA-256 ")
    (place / "headend.toml").write_text('ea07_tables_file = "missing.json"')
    assert "missing.json" in str(findings(code=1)["vault"]["told"])


def test_an_unreachable_database_is_a_finding(place: Path):
    (place / "headend.toml").write_text('database_url = "postgresql://u:hush@127.0.0.1:9/x"')
    result = headend("check")
    assert result.exit_code == 1
    assert "ATTENTION" in result.stdout
    assert "hush" not in result.output


def test_an_old_database_is_a_finding(place: Path):
    (place / "var").mkdir()
    (place / "var" / "headend.db").write_bytes(b"")
    assert "none (empty)" in str(findings(code=1)["database"]["told"])


# --- with a security module ----------------------------------------------------------------------

MODULE = """
[security_module]
host = "localhost"
port = 9
username = "headend"
[[security_module.keys]]
tenant = "main"
sgc = "201457"
krn = 1
key_type = 2
base_date = 2014
ken = 255
dkga = 4
check_value = "a1b2c3"
"""


@pytest.fixture
def module(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (place / "headend.toml").write_text(MODULE)
    monkeypatch.setenv("HEADEND_PRISM_PASSWORD", "hush-hush")
    assert headend("migrate").exit_code == 0
    return place


def test_keys_of_the_module_are_listed(module: Path):
    [row] = told("vault", "list")
    assert (row["held_in"], row["mark"], row["check_value"]) == ("module", "live", "A1B2C3")
    assert row["ends_at"] == "2045-11-24T20:15+00:00"


def test_a_module_that_is_down_is_a_finding(module: Path):
    result = headend("check", "--json")
    assert result.exit_code == 1
    assert "hush-hush" not in result.output
    found = findings(code=1)
    assert "cannot be reached" in str(found["security module"]["told"])
    assert found["vending keys"]["ok"]
    assert not (module / "var" / "master.key").exists()


def test_a_module_without_a_password_is_a_finding(module: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HEADEND_PRISM_PASSWORD")
    assert "set HEADEND_PRISM_PASSWORD" in str(findings(code=1)["vault"]["told"])


def test_a_key_named_twice_is_refused(module: Path):
    (module / "headend.toml").write_text(MODULE + MODULE[MODULE.index("[[") :])
    result = headend("vault", "list")
    assert result.exit_code == 1
    assert "stands here twice" in result.stderr
