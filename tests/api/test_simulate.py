"""Simulated meters for partners: what is told leads to them, and what is typed acts on them."""

import json
import signal
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusIOException
from typer.testing import CliRunner, Result

from adapters.vault.key_import import check_key, read_keys_file
from api.cli import app
from api.commands.meters_file import read_meters
from api.settings import ModbusBus, Settings
from headend.meters import TenantId

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "api.cli", "simulate")
TENANT = TenantId("main")
IDENTITY = 0xD000
TOML = """
tenant = "main"
contact_sms = "+1555{serial}"

[[lines]]
name = "feeder-1"
meters = 2
energy_meters = 1

[[lines]]
name = "feeder-2"
way = "rtu_over_tcp"

[[lines]]
name = "feeder-3"
way = "terminal"
dlt645_meters = 1
iec62056_21_meters = 1

[[gateways]]
name = "gw-9"
"""


@pytest.fixture
def description(tmp_path: Path) -> Path:
    file = tmp_path / "fleet.toml"
    file.write_text(TOML)
    return file


@contextmanager
def simulated(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    command = (*COMMAND, *map(str, arguments))
    pipe = subprocess.PIPE
    running = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        with running:
            yield running
    finally:
        running.kill()


def heard(running: subprocess.Popen[str]) -> dict[str, Any]:
    assert running.stdout is not None
    found: dict[str, Any] = json.loads(running.stdout.readline())
    return found


def said(running: subprocess.Popen[str], line: str) -> dict[str, Any]:
    assert running.stdin is not None
    print(line, file=running.stdin, flush=True)
    return heard(running)


def refused(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)])


def test_a_partner_reaches_the_meters_and_sets_their_faults(description: Path, tmp_path: Path):
    meters, keys = tmp_path / "meters.csv", tmp_path / "keys.toml"

    with simulated(description, "--csv", meters, "--keys", keys, "--json") as running:
        told = heard(running)
        port = int(told["buses"]["feeder-1"].rpartition(":")[2])
        drn = told["meters"][0]["drn"]
        assert identity_at(port) == b"STSM"
        assert said(running, f"silent {drn} on") == {"ok": True, "meter": drn, "done": "silent on"}
        assert identity_at(port) is None
        assert said(running, f"show {drn}")["faults"] == ["silent"]
        assert said(running, "dance")["ok"] is False
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=20) == 0
        assert running.stderr is not None
        assert running.stderr.read() == ""

    settings = Settings.model_validate(tomllib.loads(told["settings"]))
    assert isinstance(feeder := settings.buses["feeder-2"], ModbusBus)
    assert feeder.framing == "rtu"
    assert set(settings.buses) == {"feeder-1", "feeder-2", "feeder-3", "broker"}
    assert read_meters(meters.read_bytes(), tenant=TENANT, now=datetime.now(UTC)).faults == []
    (key,) = read_keys_file(keys)
    assert check_key(TENANT, key)[0].sgc == told["meters"][0]["sgc"]
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600


def identity_at(port: int) -> bytes | None:
    """The first two registers of unit 1, or None when it is silent."""
    with ModbusTcpClient("127.0.0.1", port=port, timeout=0.5, retries=0) as client:
        try:
            answer = client.read_holding_registers(IDENTITY, count=2, device_id=1)
        except ModbusIOException:
            return None
        return b"".join(word.to_bytes(2) for word in answer.registers)


def test_without_its_standard_input_it_goes_on():
    with simulated("--demo-fleet", "--json") as running:
        told = heard(running)
        assert running.stdin is not None
        running.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(timeout=1)
        running.terminate()
        assert running.wait(timeout=20) == 0

    assert Settings.model_validate(tomllib.loads(told["settings"])).embedded_broker == 1883
    assert {meter["service"] for meter in told["meters"]} == {"electricity", "water"}


def test_people_are_told_what_to_put_into_the_settings(description: Path):
    with simulated(description) as running:
        assert running.stdout is not None
        lines = iter(running.stdout.readline, "")
        told = [line.strip() for line in takewhile(lambda line: "Ctrl-C ends" not in line, lines)]
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=20) == 0
    assert "[buses.feeder-1]" in told
    assert 'framing = "rtu"' in told
    assert "# [buses.feeder-3.dlt645]" in told


def test_a_model_can_be_tried_without_hardware():
    with simulated("--model", "eastron-sdm120", "--meters", "2", "--json") as running:
        told = heard(running)
        port = int(told["buses"]["modbus-tcp"].rpartition(":")[2])
        with ModbusTcpClient("127.0.0.1", port=port, timeout=2) as client:
            answer = client.read_input_registers(0x46, count=2, device_id=2)
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=20) == 0
    assert answer.registers == [0x4248, 0]  # 50 Hz
    assert [(m["profile"], m["address"], m["keypad"]) for m in told["meters"]] == [
        ("eastron-sdm120", "1", "none"),
        ("eastron-sdm120", "2", "none"),
    ]


def test_a_model_that_is_not_known_is_refused():
    ran = refused("--model", "acme-m1")
    assert ran.exit_code == 1
    assert "no model that is only read is called 'acme-m1': abb-b21" in ran.stderr
    assert refused("--model", "abb-b21", "--listen", "somewhere").exit_code == 2


def test_one_fleet_has_to_be_named(description: Path):
    assert refused().exit_code == 2
    assert refused(description, "--demo-fleet").exit_code == 2
    assert refused("--model", "abb-b21", "--demo-fleet").exit_code == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tenant =", "fleet.toml"),
        ("[[lines]]\nname = 'a'\nway = 'carrier pigeon'", "carrier pigeon"),
        ("[[lines]]\nname = 'a'\nway = 'serial'\ndevice = '/dev/no-such-port'", "no-such-port"),
    ],
    ids=["no TOML", "no such way", "no such device"],
)
def test_a_fleet_that_cannot_run_is_refused_in_a_sentence(description: Path, text: str, told: str):
    description.write_text(text)
    ran = refused(description)
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert told in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_a_list_that_cannot_be_written_is_refused(description: Path, tmp_path: Path):
    ran = refused(description, "--csv", tmp_path / "nowhere" / "meters.csv")
    assert ran.exit_code == 1
    assert "meters.csv: No such file or directory" in ran.stderr
