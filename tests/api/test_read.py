"""`headend read`: directly on a line, on a line of a head-end, and through that head-end."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from api.cli import app
from headend.api_keys import Scope
from headend.meters import BusName
from tests.adapters.modbus.test_strangers import a_modelled, an_sdm630, an_stsm
from tests.api.dialect_stations import DLT645_ADDRESS, READ_OUT_ADDRESS, one_of_each
from tests.api.field_lines import WatchedWires, a_field_line
from tests.api.office import DRN, OTHER_DRN, Office, a_meter_body
from tests.api.running import a_running_head_end


@pytest.fixture(scope="module")
def wires() -> Iterator[WatchedWires]:
    single = a_modelled("eastron-sdm120")
    units = (1, an_stsm(drn=DRN, load=460)), (2, an_sdm630()), (3, a_modelled("abb-b23"))
    with a_field_line(*units, (4, single)) as line:
        yield line


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["read", *words])
    return result.exit_code, result.stdout, result.stderr


def told(*words: str) -> Mapping[str, Any]:
    code, out, error = read(*words, "--json")
    assert code == 0, error
    # A head-end in another thread may log into what is captured.
    found: Mapping[str, Any] = json.JSONDecoder().raw_decode(out, out.index("{\n"))[0]
    return found


def test_an_unknown_meter_is_read_directly(wires: WatchedWires):
    found = told("--line", wires.url, "--unit", "2", "--model", "eastron-sdm630")
    values = {one["type"]: one["value"] for one in found["readings"]}
    assert (values["energy_import_wh"], values["voltage_l3_mv"]) == (1_234_500, 230_000)
    assert (found["model"], found["refused"], found["outage_s"]) == ("eastron-sdm630", [], None)
    code, text, _ = read("--line", wires.url, "--unit", "2", "--model", "eastron-sdm630")
    assert code == 0
    assert "1234.500" in text
    assert "kWh" in text


def test_a_model_is_named_by_its_probe_where_it_has_one(wires: WatchedWires):
    assert told("--line", wires.url, "--unit", "1")["drn"] == DRN
    assert told("--line", wires.url, "--unit", "3")["model"] == "abb-b23"
    assert told("--line", wires.url, "--unit", "2")["model"] == "eastron-sdm630"
    code, _, error = read("--line", wires.url, "--unit", "4")
    assert (code, "eastron-sdm230" in error, "--model" in error) == (1, True, True)


def test_a_wrong_model_is_noticed(wires: WatchedWires):
    code, out, error = read("--line", wires.url, "--unit", "2", "--model", "stsm")
    assert (code, out) == (1, "")
    assert "what answers is no STSM" in error


@pytest.mark.parametrize(
    ("address", "model", "power_w"),
    [(DLT645_ADDRESS, "dlt645-2007", 460), (READ_OUT_ADDRESS, "iec62056-21", 417)],
)
def test_a_meter_of_another_dialect_is_read_directly(address: str, model: str, power_w: int):
    with a_field_line((2, an_sdm630()), others=one_of_each, baud=9600) as line:
        found = told("--line", line.url, "--unit", address, "--model", model)
        values = {one["type"]: one["value"] for one in found["readings"]}
        assert (values["power_w"], values["voltage_l1_mv"]) == (power_w, 230_000)
        assert (found["model"], found["outage_s"]) == (model, None)
        code, out, error = read("--line", line.url, "--unit", "99", "--model", model)
        assert (code, out, "no reply" in error) == (1, "", True)
        # Its neighbour of Modbus as before.
        assert told("--line", line.url, "--unit", "2", "--model", "eastron-sdm630")["readings"]


def test_what_is_wrong_is_told(wires: WatchedWires):
    for words, problem in (
        (("--line", wires.url, "--unit", "9", "--timeout", "0.1"), "no reply"),
        (("--line", wires.url, "--unit", "0"), "1 to 247"),
        (("--line", wires.url, "--unit", "2", "--model", "acme"), "no model is called acme"),
        (("--line", "rs485", "--unit", "2"), "no line called rs485"),
        (("--line", "serial:///no/such/port", "--unit", "2"), "plugged in"),
        (("--line", "gopher://x", "--unit", "2"), "names no transport"),
    ):
        code, out, error = read(*words)
        assert (code, out) == (1, "")
        assert problem in error
    assert read("--line", wires.url)[0] == 2
    assert read(DRN)[0] == 2


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, wires: WatchedWires
) -> Iterator[tuple[Path, str, str]]:
    """A head-end that serves the line, the folder with its settings, and its URL and key."""
    folder = tmp_path_factory.mktemp("served")
    bus = {"line-1": {"url": wires.url}}
    (folder / "headend.toml").write_text(
        f'database_url = "sqlite:///{folder}/headend.db"\n[buses.line-1]\nurl = "{wires.url}"\n'
    )
    with a_running_head_end(folder, role="all", buses=bus, poll_interval_s=86_400) as (url, key):
        yield folder / "headend.toml", url, key


def test_a_line_of_a_head_end_is_borrowed_and_given_back(served: tuple[Path, str, str]):
    file, url, key = served
    for _ in range(2):
        found = told("--line", "line-1", "--unit", "1", "--config", str(file))
        assert (found["drn"], found["outage_s"] > 0) == (DRN, True)
    # It goes on with its work on that line.
    headers = {"Authorization": f"Bearer {key}"}
    patch = httpx2.get(f"{url}/v1/meters/{DRN}", headers=headers)
    changed = httpx2.patch(
        f"{url}/v1/meters/{DRN}",
        json={"route": {"bus": "line-1", "address": "1"}},
        headers=headers | {"If-Match": patch.headers["ETag"]},
    )
    assert changed.status_code == 200, changed.text
    through = told(DRN, "--url", url, "--key", key)
    values = {one["type"]: one["value"] for one in through["readings"]}
    assert (values["credit_left_milli"], values["power_w"]) == (100_000, 460)


def test_its_address_is_known_as_the_line_of_the_settings(
    served: tuple[Path, str, str], wires: WatchedWires
):
    found = told("--line", wires.url, "--unit", "1", "--config", str(served[0]))
    assert found["outage_s"] > 0


def test_a_network_line_that_nobody_is_known_to_serve_is_not_touched(tmp_path: Path):
    file = tmp_path / "headend.toml"
    file.write_text(
        f'database_url = "sqlite:///{tmp_path}/x.db"\n[buses.gw]\nurl = "tcp://127.0.0.1:9"\n'
    )
    words = "--line", "gw", "--unit", "1", "--model", "stsm", "--config", str(file)
    code, _, error = read(*words)
    assert (code, "--unserved" in error) == (1, True)


async def test_a_reading_is_ordered_by_those_who_may(office: Office):
    caller = await office.caller()
    await caller.post("/v1/meters", json=a_meter_body())
    answer = await caller.post(f"/v1/meters/{DRN}/readings")
    assert answer.status_code == 202
    assert answer.json().keys() == {"asked_at"}
    async with office.head_end.store.look() as tx:
        due_at = await tx.polls.next_due(BusName("line-1"))
    assert due_at is not None
    assert due_at.isoformat() <= answer.json()["asked_at"].replace("Z", "+00:00")
    reader = await office.caller(Scope.READ)
    assert (await reader.post(f"/v1/meters/{DRN}/readings")).status_code == 403
    unknown = await caller.post(f"/v1/meters/{OTHER_DRN}/readings")
    assert unknown.json()["type"] == "urn:headend:problem:unknown-meter"
    await caller.post("/v1/meters", json=a_meter_body(OTHER_DRN, route=None))
    nowhere = await caller.post(f"/v1/meters/{OTHER_DRN}/readings")
    assert nowhere.json()["type"] == "urn:headend:problem:command-unsupported"
