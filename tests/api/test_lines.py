"""Lines over REST and the command line: what a field engineer sees of a line while it works."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from adapters.transport.address import SerialAddress
from api.cli import app
from headend.api_keys import Scope
from headend.errors import NoAnswer
from headend.meters import BusName
from protocols.modbus import stsm
from protocols.modbus.blocks import Span
from tests.adapters.frames import replay
from tests.api.office import PROBLEM, Caller, Office
from tests.api.running import a_running_head_end
from tests.bench.rs485_lines import a_line

DIGITS = "55556666777788889999"


@pytest.fixture
async def line() -> AsyncIterator[ModbusLine]:
    """A line on which unit 1 was read, unit 2 is dead, and unit 3 was sent a token."""
    async with a_line(SerialAddress(path="-", baud=115200), dead=[2]) as wires:
        line = ModbusLine(f"serial://{wires.serve_terminal()}?baud=115200", timeout_s=0.5)
        await line.read(1, Table.INPUT, Span(0x46, 2))
        for _ in range(2):
            with suppress(NoAnswer):
                await line.read(2, Table.INPUT, Span(0x46, 2))
        token, shown = (
            stsm.token_entry(7, digits, origin=stsm.Origin.HEADEND) for digits in (DIGITS, "0" * 20)
        )
        with pytest.raises(Exception, match="exception 1"):
            await line.write(3, stsm.TOKEN_ENTRY.start, token, shown=shown)
        yield line
        await line.aclose()


@pytest.fixture
async def engineer(office: Office, line: ModbusLine) -> Caller:
    watched = Office(office.settings, replace(office.head_end, lines={BusName("rs485"): line.way}))
    return await watched.caller(Scope.LINES)


async def test_a_line_tells_who_answers_and_who_rests(engineer: Caller):
    told = (await engineer.get("/v1/lines/rs485")).json()
    assert (told["name"], told["connected"], told["connections"]) == ("rs485", True, 1)
    assert 0 < told["efficiency"] <= 1
    first, dead, third = told["stations"]
    assert (first["station"], first["replies"], first["rests_ms"]) == ("modbus 1", 1, None)
    assert first["delay_ms"] > 0
    assert (dead["silences"], dead["delay_ms"]) == (2, None)
    assert dead["rests_ms"] is not None
    assert third["replies"] == 1
    listed = (await engineer.get("/v1/lines")).json()
    assert [one["name"] for one in listed["items"]] == ["rs485"]


async def test_what_was_said_can_be_read_and_no_digit_is_in_it(engineer: Caller, tmp_path: Path):
    answer = await engineer.get("/v1/lines/rs485/frames")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "55 55 66 66" not in answer.text
    assert "secret digits replaced" in answer.text
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    assert [replay._parsed(line)[0] for line in lines] == [">", "<"] * 4
    one = await engineer.get("/v1/lines/rs485/frames", params={"station": "modbus 1"})
    assert one.text.count("\n>") == 1


async def test_a_recording_replays(engineer: Caller, tmp_path: Path):
    answer = await engineer.get("/v1/lines/rs485/frames", params={"station": "modbus 1"})
    (tmp_path / "recorded.frames").write_text(answer.text)
    played = replay.Replay(str(tmp_path / "recorded"))
    line = ModbusLine("tcp://replay:1", opener=played.open)
    assert await line.read(1, Table.INPUT, Span(0x46, 2)) == (0x4248, 0)  # 50 Hz
    assert played.finished


async def test_an_unknown_line_is_a_problem(engineer: Caller):
    for path in ("/v1/lines/other", "/v1/lines/other/frames"):
        answer = await engineer.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)
        assert answer.json()["type"] == "urn:headend:problem:unknown-line"


async def test_watching_needs_its_scope(office: Office):
    reader = await office.caller(Scope.READ, Scope.METERS)
    for path in ("/v1/lines", "/v1/lines/rs485", "/v1/lines/rs485/frames"):
        assert (await reader.get(path)).status_code == 403


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with a_running_head_end(tmp_path_factory.mktemp("lines"), role="all") as served:
        yield served


def asked(served: tuple[str, str], *words: str) -> tuple[int, str]:
    url, key = served
    result = CliRunner().invoke(app, ["line", *words, "--url", url, "--key", key])
    return result.exit_code, result.stdout if result.exit_code == 0 else result.output


def test_the_command_shows_a_line_once(served: tuple[str, str]):
    code, text = asked(served, "line-1", "--once")
    assert code == 0
    assert "line-1  tcp://127.0.0.1:9  NOT CONNECTED" in text
    assert "not known on this kind of line" in text
    code, text = asked(served, "line-1", "--once", "--json")
    # The head-end in the other thread may log into what is captured.
    told, _ = json.JSONDecoder().raw_decode(text, text.index('{\n "name"'))
    assert (code, told["address"]) == (0, "tcp://127.0.0.1:9")


def test_the_command_keeps_what_was_said(served: tuple[str, str], tmp_path: Path):
    file = tmp_path / "line.frames"
    code, text = asked(served, "line-1", "--record", str(file))
    assert (code, "exchanges written to" in text) == (0, True)
    assert file.read_text().startswith("# tcp://127.0.0.1:9")
    code, text = asked(served, "line-1", "--record", str(tmp_path / "no" / "such" / "folder"))
    assert (code, "--record" in text) == (1, True)


def test_the_command_says_what_is_wrong(served: tuple[str, str]):
    code, text = asked(served, "line-9", "--once")
    assert (code, "no line called line-9" in text) == (1, True)
