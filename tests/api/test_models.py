"""`headend models`: what is known, what a file says wrong, and the schema that editors check by."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from typer.testing import CliRunner, Result

from adapters.modbus.profile_files import SHIPPED
from api.cli import app

ROOT = Path(__file__).parent.parent.parent
MODEL = """\
format   = 1
title    = "Acme M1"
source   = "Acme M1 register list, revision 4, table 3"
verified = "vendor"

[probe]
holding  = 0xFC02
decode   = "u16"
equals   = 0x0020

[readings.ENERGY_IMPORT_WH]
input    = 0x0048
decode   = "float32"
unit     = "kWh"
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def headend(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["models", *arguments])
    assert result.exit_code == code, result.output
    return result


def told(*arguments: str, code: int = 0) -> Any:
    return json.loads(headend(*arguments, "--json", code=code).stdout)


def test_the_models_that_ship_are_listed():
    rows = {row["model"]: row for row in told("list")}
    assert rows["eastron-sdm630"]["can"] == "READ"
    assert rows["chint-dtsu666"]["verified"] == "third-party"
    assert "stsm" in headend("list").stdout


def test_a_model_of_the_utility_is_listed_too(tmp_path: Path):
    folder = tmp_path / "profiles" / "modbus"
    folder.mkdir(parents=True)
    (folder / "acme-m1.toml").write_text(MODEL)
    (tmp_path / "headend.toml").write_text(f'profile_folders = ["{folder.parent}"]\n')
    assert "acme-m1" in {row["model"] for row in told("list")}
    assert told("show", "acme-m1")["title"] == "Acme M1"


def test_a_model_is_shown_with_its_registers_and_reads():
    model = told("show", "eastron-sdm120")
    by_type = {reading["type"]: reading for reading in model["readings"]}
    assert by_type["energy_import_wh"]["address"] == "0x0048"
    assert by_type["energy_import_wh"]["obis"] == "1-0:1.8.0"
    assert model["reads"][0]["reads"] == "0x0000+32 0x0046+10"
    shown = headend("show", "eastron-sdm120").stdout
    assert "0x0048" in shown
    assert "protocol description V2.4" in shown


def test_a_model_that_is_not_known_is_told():
    result = headend("show", "acme-m1", code=1)
    assert "no model is called 'acme-m1'; known are " in result.stderr


def test_a_good_file_is_told_so(tmp_path: Path):
    file = tmp_path / "acme-m1.toml"
    file.write_text(MODEL)
    assert told("check", str(file)) == {"files": 1, "faults": []}
    assert headend("check", str(file)).stdout == "1 checked, 0 faults\n"


def test_every_fault_of_every_file_is_told_with_its_place(tmp_path: Path):
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text(MODEL.replace('"kWh"', '"V"').replace("equals ", "equal "))
    two.write_text(MODEL.replace("format   = 1", "format   = 1\nbaud = 9600"))
    faults = told("check", str(one), str(two), code=1)["faults"]
    assert [(Path(f["file"]).name, f["line"], f["column"]) for f in faults] == [
        ("one.toml", 9, 1),
        ("one.toml", 14, 1),
        ("two.toml", 2, 1),
    ]
    lines = headend("check", str(one), str(two), code=1).stdout.splitlines()
    assert lines[0].startswith(f"{one}:9:1: unknown key `equal`")
    assert lines[-1] == "2 checked, 3 faults"


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path):
    assert "cannot be read" in headend("check", str(tmp_path / "none.toml"), code=1).stdout


# --- the schema ---------------------------------------------------------------------------------


PUBLISHED = ROOT / "docs" / "meter-model.schema.json"


def document(text: str) -> Any:
    return tomllib.loads(text)


def test_the_published_schema_is_the_one_that_is_printed():
    assert json.loads(PUBLISHED.read_text()) == json.loads(headend("schema").stdout), (
        "run: headend models schema > docs/meter-model.schema.json"
    )


def test_the_schema_is_one():
    jsonschema_rs.meta.validate(json.loads(PUBLISHED.read_text()))


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_model_keeps_to_the_schema(path: Path):
    jsonschema_rs.validate(json.loads(PUBLISHED.read_text()), document(path.read_text()))


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("format   = 1", 'format   = "1"'),
        ('title    = "Acme M1"', ""),
        ('"vendor"', '"hearsay"'),
        ("0xFC02", "0x1FC02"),
        ("ENERGY_IMPORT_WH", "ENERGY"),
        ('"float32"', '"float33"'),
        ('"kWh"', '"horse"'),
        ("input ", "inputs "),
    ],
)
def test_the_schema_refuses_what_the_check_refuses(was: str, becomes: str, tmp_path: Path):
    text = MODEL.replace(was, becomes, 1)
    schema = json.loads(PUBLISHED.read_text())
    jsonschema_rs.validate(schema, document(MODEL))
    assert not jsonschema_rs.is_valid(schema, document(text))
    (tmp_path / "acme-m1.toml").write_text(text)
    headend("check", str(tmp_path / "acme-m1.toml"), code=1)
