"""`headend discover`: on a pseudo-terminal, beside a head-end that serves the line, and stopped."""

import json
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.clock import WallClock
from api.cli import app
from api.commands.meters_file import read_meters
from headend.meters import TenantId
from tests.adapters.modbus.test_strangers import a_modelled, an_sdm630, an_stsm
from tests.api.dialect_stations import (
    DLT645_ADDRESS,
    READ_OUT_ADDRESS,
    a_dlt645_meter,
    a_read_out_meter,
    one_of_each,
)
from tests.api.field_lines import WatchedWires, a_field_line
from tests.api.office import DRN
from tests.api.running import a_running_head_end


@pytest.fixture(scope="module")
def wires() -> Iterator[WatchedWires]:
    units = (1, an_stsm(drn=DRN)), (2, an_sdm630()), (3, a_modelled("abb-b23"))
    with a_field_line(*units) as line:
        yield line


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def discover(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["discover", *words])
    return result.exit_code, result.stdout, result.stderr


def told(*words: str) -> Mapping[str, Any]:
    code, out, error = discover(*words, "--json")
    assert code == 0, error
    found: Mapping[str, Any] = json.JSONDecoder().raw_decode(out, out.index("{\n"))[0]
    return found


def test_who_is_there_is_named_and_written_for_the_import(wires: WatchedWires, tmp_path: Path):
    wires.sent.clear()
    found = told(wires.url, "--units", "1-4", "--timeout", "0.3", "--out", "found.csv")
    assert [(int(one["address"]), one["what"]) for one in found["found"]] == [
        (1, "named"),
        (2, "named"),
        (3, "named"),
    ]
    assert found["ended"]
    assert 0 not in {frame[0] for frame in wires.sent}
    text = (tmp_path / "found.csv").read_text()
    first, second, third = text.splitlines()[1:]
    assert first.startswith(f"{DRN},electricity,stsm,201457,1,1,2,11,,,1")
    assert "eastron-sdm630" in second
    assert third.split(",")[2] == "abb-b23"
    # Completed by a person, it is a file that can be imported.
    done = text.splitlines()[0] + "\n" + first.replace(",11,,,1", ",11,meter,line-1,1") + "\n"
    read = read_meters(done.encode(), tenant=TenantId("main"), now=WallClock().now())
    assert (read.faults, len(read.sound())) == ([], 1)


def test_its_speed_changes_on_an_idle_line_only(wires: WatchedWires):
    code, _, error = discover(wires.url, "--units", "1", "--baud", "9600")
    assert (code, "--idle" in error) == (2, True)
    words = "--units", "1", "--idle", "--baud", "9600", "--baud", "115200", "--timeout", "0.3"
    found = told(wires.url, *words)
    # At the wrong speed meters hear noise, and noise is what is heard of them.
    assert [one["baud"] for one in found["found"]] == [115200]
    code, _, error = discover("tcp://127.0.0.1:9", "--idle", "--baud", "9600")
    assert (code, "serial ports" in error) == (1, True)


def test_what_is_wrong_is_told(wires: WatchedWires, tmp_path: Path):
    assert discover(wires.url, "--units", "0-3")[0] == 2
    (tmp_path / "there.csv").touch()
    assert discover(wires.url, "--out", "there.csv")[0] == 2
    code, _, error = discover("serial:///no/such/port")
    assert (code, "cannot be opened" in error) == (1, True)
    assert discover("rs485")[0] == 1


def test_a_line_of_a_head_end_is_borrowed_and_the_outage_told(wires: WatchedWires, tmp_path: Path):
    file = tmp_path / "headend.toml"
    file.write_text(
        f'database_url = "sqlite:///{tmp_path}/headend.db"\n[buses.line-1]\nurl = "{wires.url}"\n'
    )
    bus = {"line-1": {"url": wires.url}}
    with a_running_head_end(tmp_path, role="all", buses=bus):
        found = told("line-1", "--units", "1-2", "--config", str(file))
        assert [int(one["address"]) for one in found["found"]] == [1, 2]
        assert found["outage_s"] > 0
        code, _, error = discover("line-1", "--units", "1", "--config", str(file))
        assert code == 0
        assert "the line was ours for" in error


@pytest.mark.parametrize("key", ["q", "Ctrl-C"])
def test_the_stop_key_ends_it_with_what_was_found(wires: WatchedWires, tmp_path: Path, key: str):
    keyboard, terminal = os.openpty()
    before = termios.tcgetattr(terminal)
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "discover", wires.url, "--units", "1-247", "--json"],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("unit 3"):
            break
    if key == "q":
        os.write(keyboard, b"q")
    else:
        process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    found = json.loads(out)
    assert process.returncode == 0
    assert [int(one["address"]) for one in found["found"]] == [1, 2, 3]
    assert not found["ended"]
    assert termios.tcgetattr(terminal) == before
    os.close(keyboard)
    os.close(terminal)


def test_the_one_meter_of_a_line_is_found_by_its_dialect(tmp_path: Path):
    with a_field_line(others=a_dlt645_meter, baud=9600) as line:
        words = "--point-to-point", "dlt645", "--out", "found.csv"
        (found,) = told(line.url, *words)["found"]
        assert (found["address"], found["models"]) == (DLT645_ADDRESS, "dlt645-2007")
        assert f",{DLT645_ADDRESS}," in (tmp_path / "found.csv").read_text()
        # Who speaks another dialect says nothing.
        assert told(line.url, "--point-to-point", "iec62056-21")["found"] == []
    with a_field_line(others=a_read_out_meter, baud=9600) as line:
        words = "--point-to-point", "dlt645", "--point-to-point", "iec62056-21"
        (found,) = told(line.url, *words)["found"]
        assert (found["address"], found["models"]) == (READ_OUT_ADDRESS, "iec62056-21")
        assert "SIM SIMULATED" in found["told"]


def test_nobody_is_asked_as_if_alone_unless_a_person_says_so(wires: WatchedWires):
    with a_field_line(others=one_of_each, baud=9600) as line:
        assert told(line.url, "--units", "1-2", "--timeout", "0.1")["found"] == []
        assert {frame[0] for frame in line.sent} == {1, 2}
    code, _, error = discover("tcp://127.0.0.1:9", "--point-to-point", "dlt645")
    assert (code, "speaks Modbus alone" in error) == (1, True)
    assert discover(wires.url, "--point-to-point", "modbus")[0] == 2
