"""The demonstration ends well, says so to machines, notices a lie, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from api.commands.demo import INTERRUPTED, show
from api.demonstration.stories import STORIES
from api.simulation import Fleet
from headend.recharges import RechargeState
from headend.supply import DarkCause

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "api.cli", "demo")
BRIEF = STORIES[:1]
MARK = "DEMO_TEST_MARK"
CREDITED = "lit", "dark"


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What every process of this test has in its environment; folders are made in tmp_path."""
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return str(tmp_path)


@pytest.fixture(autouse=True)
def nothing_left(mark: str, tmp_path: Path) -> Iterator[None]:
    yield
    assert processes_with(mark) == []
    assert list(tmp_path.iterdir()) == []


def processes_with(mark: str) -> list[str]:
    """Processes that began with the mark in their environment, which children inherit."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            environ = (folder / "environ").read_bytes() if folder.name.isdigit() else b""
        except OSError:
            continue  # ended meanwhile, or not ours
        if f"{MARK}={mark}".encode() in environ.split(b"\0"):
            found.append((folder / "cmdline").read_text())
    return found


def falsify(milli: int) -> Callable[[Fleet], None]:
    def change(fleet: Fleet) -> None:
        first = next(iter(fleet.meters.values()))
        first.circuit.account.credit_milli += milli

    return change


@pytest.mark.timeout(120)
def test_every_recharge_of_the_demonstration_agrees_with_its_meter(tmp_path: Path):
    real = tmp_path.parent / "real.db"
    environment = os.environ | {"HEADEND_DATABASE_URL": f"sqlite:///{real}"}

    command = [*COMMAND, "--json"]
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False
    )

    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["agree"] is True
    recharges = told["recharges"]
    assert [each["story"] for each in recharges] == [story.title for story in STORIES]
    assert [each["state"] for each in recharges] == [story.ends for story in STORIES]
    for each in recharges:
        sold = each["sold"] if each["state"] in CREDITED else "0"
        assert each["credited_by_headend"] == each["credited_by_meter"] == sold
        assert each["token"].startswith("*" * 16)
        assert len(each["token"]) == 20
    assert "customer is told: here are the digits" in ran.stderr
    assert not real.exists()


@pytest.mark.parametrize("milli", [-1, 25_600], ids=["a little missing", "credited twice"])
def test_a_falsified_register_fails_and_names_the_meter(
    milli: int, capsys: pytest.CaptureFixture[str]
):
    code = show(as_json=True, stories=BRIEF, before_check=falsify(milli))

    out, err = capsys.readouterr()
    (told,) = json.loads(out)["recharges"]
    assert code == 1
    assert told["agrees"] is False
    assert f"meter {told['meter']}: the head-end says 25.6, the register says" in err


def test_a_recharge_that_ends_otherwise_than_its_story_fails(capsys: pytest.CaptureFixture[str]):
    expects_darkness = replace(BRIEF[0], ends=RechargeState.DARK, cause=DarkCause.RELAY_FAULT)

    code = show(stories=[expects_darkness], patience_s=3)

    assert code == 1
    assert "it should have ended dark, it is lit" in capsys.readouterr().out


def test_what_goes_wrong_in_it_leaves_nothing_behind():
    def break_down(_fleet: Fleet) -> None:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        show(stories=BRIEF, before_check=break_down)


@pytest.mark.parametrize("moment", ["Starting", "posted"])
def test_ctrl_c_ends_it_at_any_moment(moment: str):
    with demo() as running:
        wait_for(running, moment)
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=20) == INTERRUPTED


def test_kept_running_it_can_be_called_until_ctrl_c():
    with demo(kept=True) as running:
        url = wait_for(running, "documentation").split()[-1]
        key = wait_for(running, "API key").split()[-1]
        recharges = url.replace("/docs", "/v1/recharges")
        found = httpx2.get(recharges, headers={"Authorization": f"Bearer {key}"}).json()
        assert [each["state"] for each in found["items"]] == ["lit"]
        assert httpx2.get(url).is_success
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=20) == 0


BRIEFLY = """
import sys
from api.commands.demo import show
from api.demonstration.stories import STORIES
sys.exit(show(keep=True, stories=STORIES[:1]))
"""


@contextmanager
def demo(*, kept: bool = False) -> Iterator[subprocess.Popen[str]]:
    command = (sys.executable, "-c", BRIEFLY) if kept else COMMAND
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        with running:
            yield running
    finally:
        running.kill()


def wait_for(running: subprocess.Popen[str], words: str) -> str:
    """The next line of standard output that holds the words."""
    assert running.stdout is not None
    return next(line for line in running.stdout if words in line)
