"""A file of meters: every fault with line and column; all of it or nothing, or the good rows."""

import csv
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli import app
from api.commands.meters_file import FileRefused, read_meters, write_refused
from headend.meters import KeyType, Service, TenantId
from headend.usage_points import Contact, ContactKind
from tests.builders import a_drn

HEADER = (
    "drn,service,profile,bus,address,sgc,krn,ti,kt,ea,keypad,"
    "usage_point,contact_sms,contact_email,language,protected"
)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
CITY = TenantId("main")


def row(number: int = 1, **cells: str) -> str:
    values: Mapping[str, str] = {
        "drn": a_drn(number),
        "service": "electricity",
        "profile": "stsm",
        "bus": "line-1",
        "address": str(number % 247 + 1),
        "sgc": "123457",
        "krn": "1",
        "ti": "1",
        "kt": "2",
        "ea": "11",
        "keypad": "meter",
        **cells,
    }
    return ",".join(values.get(name, "") for name in HEADER.split(","))


def read(*lines: str, encoding: str = "utf-8"):
    content = "\n".join((HEADER, *lines, "")).encode(encoding)
    return read_meters(content, tenant=CITY, now=NOW)


def faults(*lines: str) -> list[tuple[int, str]]:
    return [(fault.line, fault.column) for fault in read(*lines).faults]


def test_a_row_becomes_a_meter_and_its_place():
    place = {
        "usage_point": "home-1",
        "contact_sms": "+15550100",
        "contact_email": "someone@example.org",
        "language": "sw",
        "protected": "yes",
    }
    found = read(row(1, **place))
    assert found.faults == []
    (one,) = found.rows
    assert one.meter is not None
    assert one.meter.drn == a_drn(1)
    assert one.meter.service is Service.ELECTRICITY
    assert one.meter.sts.key_type is KeyType.UNIQUE
    assert one.meter.route is not None
    assert one.meter.usage_point == "home-1"
    assert one.point is not None
    assert one.point.protected
    assert one.point.contacts == (
        Contact(ContactKind.SMS, "+15550100"),
        Contact(ContactKind.EMAIL, "someone@example.org"),
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_changes_nothing(encoding: str):
    assert read(row(1), encoding=encoding).faults == []


def test_columns_may_stand_in_any_order_and_be_left_out():
    content = (
        "keypad,EA,kt,ti,krn,sgc,profile,service, drn \n"
        f"none,11,2,1,1,123457,stsm,water,{a_drn(1)}\n\n"
    ).encode()
    found = read_meters(content, tenant=CITY, now=NOW)
    assert found.faults == []
    assert found.rows[0].meter is not None
    assert found.rows[0].meter.route is None


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"drn": "123"}, "drn"),
        ({"drn": ""}, "drn"),
        ({"drn": a_drn(1)[:-1] + str((int(a_drn(1)[-1]) + 1) % 10)}, "drn"),
        ({"service": "steam"}, "service"),
        ({"service": ""}, "service"),
        ({"profile": ""}, "profile"),
        ({"bus": ""}, "bus"),
        ({"address": ""}, "address"),
        ({"sgc": "12345"}, "sgc"),
        ({"krn": "x"}, "krn"),
        ({"krn": "0"}, "krn"),
        ({"krn": "1.0"}, "krn"),
        ({"ti": "100"}, "ti"),
        ({"kt": "9"}, "kt"),
        ({"ea": ""}, "ea"),
        ({"keypad": "maybe"}, "keypad"),
        ({"usage_point": "a/b"}, "usage_point"),
        ({"contact_sms": "+15550100"}, "contact_sms"),
        ({"usage_point": "p", "contact_sms": "0155"}, "contact_sms"),
        ({"usage_point": "p", "contact_email": "nobody"}, "contact_email"),
        ({"usage_point": "p", "language": "not a tag"}, "language"),
        ({"usage_point": "p", "protected": "maybe"}, "protected"),
    ],
)
def test_a_fault_is_told_with_line_and_column(cells: dict[str, str], column: str):
    assert faults(row(2), row(1, **cells)) == [(3, column)]


def test_all_faults_of_all_rows_are_told():
    assert faults(row(1, krn="x", ti="x"), row(2), row(3, drn="1", keypad="?")) == [
        (2, "krn"),
        (2, "ti"),
        (4, "drn"),
        (4, "keypad"),
    ]


def test_lines_are_counted_as_an_editor_does():
    quoted = row(1).replace("stsm", '"st\nsm"')
    assert faults(quoted, row(2, krn="x")) == [(2, "profile"), (4, "krn")]


def test_a_row_of_the_wrong_length_is_told():
    found = read(row(1) + ",more")
    assert (found.faults[0].line, found.faults[0].column) == (2, "")
    assert "17 cells where the header has 16" in found.faults[0].problem


def test_repeats_within_the_file_are_told():
    home = {"usage_point": "home", "contact_sms": "+15550100"}
    assert faults(row(1), row(2), row(1)) == [(4, "drn")]
    assert faults(row(1, **home), row(2, **home)) == []
    other = home | {"contact_sms": "+15550199"}
    assert faults(row(1, **home), row(2, **other)) == [(3, "usage_point")]
    assert faults(row(1, **home), row(2, usage_point="home")) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"drn;service;profile\n1;2;3", "semicolons"),
        (b"drn,colour\n", "unknown column 'colour'"),
        (b"drn,service\n", "column profile is missing"),
        (HEADER.encode() + b",drn\n", "twice"),
        (HEADER.encode() + b"\n\xff\n", "line 2 is no UTF-8"),
        (HEADER.encode() + b'\n"x\n', "line 2"),
        (b"PK\x03\x04" + b"\xff" * 100, "UTF-8"),
    ],
)
def test_a_file_that_is_no_table_is_refused(content: bytes, told: str):
    with pytest.raises(FileRefused, match=told):
        read_meters(content, tenant=CITY, now=NOW)


def test_a_row_of_nonsense_is_a_bad_row():
    found = read_meters(HEADER.encode() + b"\n\x00\n", tenant=CITY, now=NOW)
    assert found.faults
    assert found.sound() == []


def test_refused_rows_can_be_mended_and_brought_in_again():
    found = read(row(1), row(2, krn="x", profile="a 'quoted' one"), row(3, ti="y"))
    text = write_refused(found)
    rows = list(csv.DictReader(text.splitlines()))
    assert [(one["drn"], one["krn"]) for one in rows] == [(a_drn(2), "x"), (a_drn(3), "1")]
    assert "krn" in rows[0]["error"]
    mended = text.replace(",x,", ",1,").replace(",y,", ",1,")
    again = read_meters(mended.encode(), tenant=CITY, now=NOW)
    assert again.faults == []
    assert len(again.rows) == 2


# --- the command --------------------------------------------------------------------------------


class Desk:
    """Runs commands in a folder of their own, as a person would."""

    def __init__(self) -> None:
        self._runner = CliRunner()

    def run(self, *arguments: str, code: int = 0) -> str:
        result = self._runner.invoke(app, list(arguments))
        assert result.exit_code == code, result.output
        return result.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code))

    def meters(self) -> list[str]:
        return [one["drn"] for one in self.json("meters", "list")]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    Path("headend.toml").write_text(
        '[buses.line-1]\nurl = "tcp://127.0.0.1:9"\n[buses.mqtt]\nurl = "mqtt://127.0.0.1"\n'
    )
    return Desk()


def a_file(*rows: str, name: str = "meters.csv") -> str:
    Path(name).write_text("\n".join((HEADER, *rows, "")), encoding="utf-8")
    return name


def test_nothing_is_applied_unless_all_is_well(desk: Desk):
    place = {"usage_point": "home", "contact_sms": "+15550100"}
    told = desk.json("meters", "import", a_file(row(1, **place), row(2, krn="x")), code=1)
    assert told["applied"] == 0
    assert told["faults"] == [
        {"line": 3, "column": "krn", "problem": "Input should be a valid integer"}
    ]
    assert desk.meters() == []
    assert not Path("meters.refused.csv").exists()
    # Not even the place of the good row: another file may describe it otherwise.
    other = place | {"contact_sms": "+15550199"}
    assert desk.json("meters", "import", a_file(row(1, **other)))["applied"] == 1


def test_what_only_the_head_end_knows_is_checked_too(desk: Desk):
    desk.run("meters", "import", a_file(row(1, usage_point="home", contact_sms="+15550100")))
    told = desk.json(
        "meters",
        "import",
        a_file(
            row(1),
            row(2, profile="no-such"),
            row(3, bus="line-9"),
            row(4, bus="mqtt"),
            row(5, ea="9"),
            row(6, usage_point="home", contact_sms="+15550199"),
            row(7, usage_point="home"),
        ),
        code=1,
    )
    assert [(one["line"], one["column"]) for one in told["faults"]] == [
        (2, "drn"),
        (3, "profile"),
        (4, "bus"),
        (5, "profile"),
        (6, "ea"),
        (7, "usage_point"),
    ]
    assert desk.meters() == [a_drn(1)]


def test_a_place_described_as_it_is_is_no_contradiction(desk: Desk):
    home = {"usage_point": "home", "contact_sms": "+15550100", "protected": "yes"}
    desk.run("meters", "import", a_file(row(1, **home)))
    assert desk.json("meters", "import", a_file(row(2, **home)))["applied"] == 1


def test_good_rows_are_brought_in_when_asked_for(desk: Desk):
    file = a_file(row(1), row(2, krn="x"), row(3))
    told = desk.json("meters", "import", file, "--skip-bad", code=1)
    assert (told["applied"], told["refused"], told["refused_file"]) == (2, 1, "meters.refused.csv")
    assert desk.meters() == sorted([a_drn(1), a_drn(3)])
    (refused,) = csv.DictReader(Path("meters.refused.csv").read_text().splitlines())
    assert refused["drn"] == a_drn(2)
    # What was written out is not written over.
    desk.run("meters", "import", a_file(row(4), row(5, krn="x")), "--skip-bad", code=1)
    assert desk.meters() == sorted([a_drn(1), a_drn(3)])


def test_a_check_changes_nothing(desk: Desk):
    assert desk.json("meters", "import", a_file(row(1)), "--check")["applied"] == 0
    assert desk.meters() == []


def test_a_missing_file_is_told_as_such(desk: Desk):
    desk.run("meters", "import", "nowhere.csv", code=1)


@pytest.mark.timeout(180)
def test_ten_thousand_rows_are_brought_in(desk: Desk):
    file = a_file(*(row(number) for number in range(1, 10_001)))
    told = desk.json("meters", "import", file)
    assert told == {
        "rows": 10_000,
        "applied": 10_000,
        "refused": 0,
        "faults": [],
        "refused_file": None,
    }
    assert len(desk.meters()) == 10_000
