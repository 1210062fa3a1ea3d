"""The process as users start it: it serves, ends cleanly on a signal, and says what is wrong."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx2
import pytest

from adapters.store.migrate import migrate
from tests.api.office import DRN, SGC, VENDING_KEY, a_meter_body, a_recharge_body

ROOT = Path(__file__).parents[2]
START_S = 30.0
# Every process loads the whole head-end, and a story takes several.
pytestmark = pytest.mark.timeout(240)


def environment(**more: str) -> Mapping[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HEADEND_")}
    return plain | {"PYTHONPATH": str(ROOT)} | more


def start(folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "api.cli", *arguments],
        cwd=folder,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    process = start(folder, *arguments, **more)
    out, err = process.communicate(timeout=START_S)
    return process.returncode, out, err


def wait_until_it_answers(process: subprocess.Popen[str], port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"it ended: {process.communicate()[1]}")
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/health/ready", timeout=2).is_success:
                return
        except httpx2.HTTPError:
            time.sleep(0.05)
    pytest.fail("it never answered")


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        _, err = process.communicate(timeout=START_S)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"it did not end: {process.communicate()[1]}")
    return process.returncode, err


def test_from_nothing_to_a_sale_and_a_clean_end(tmp_path: Path, free_port: int):
    (tmp_path / "headend.toml").write_text(
        f"[listen]\nport = {free_port}\n[buses.line-1]\nurl = 'tcp://127.0.0.1:9'\n"
    )
    keys = tmp_path / "keys.toml"
    keys.touch(mode=0o600)
    keys.write_text(
        f"[[keys]]\nsgc = '{SGC}'\nkrn = 1\nbase_date = 2014\nken = 255\nmark = 'test'\n"
        f"key = '{VENDING_KEY}'\n"
    )
    scopes = [part for scope in ("recharge", "read", "meters") for part in ("--scope", scope)]
    code, key, err = run(tmp_path, "keys", "create", "--name", "till", *scopes)
    assert code == 0, err
    assert run(tmp_path, "vault", "import", "keys.toml")[0] == 0
    process = start(tmp_path, "serve")
    try:
        wait_until_it_answers(process, free_port)
        with httpx2.Client(
            base_url=f"http://127.0.0.1:{free_port}",
            headers={"Authorization": f"Bearer {key.strip()}"},
        ) as caller:
            assert caller.post("/v1/meters", json=a_meter_body()).status_code == 201
            sold = caller.post("/v1/recharges", json=a_recharge_body())
            assert sold.status_code == 201
            assert sold.json()["state"] == "issued"
        more = {"HEADEND_URL": f"http://127.0.0.1:{free_port}", "HEADEND_KEY": key.strip()}
        code, out, err = run(tmp_path, "recharge", DRN, "10", "--id", "second", **more)
        assert code == 0, err
        assert "issued" in out
        code, out, err = run(tmp_path, "recharges", "show", "second", "--json", **more)
        assert code == 0, err
        assert '"id": "second"' in out
        code, out, err = run(tmp_path, "recharge", "123", "10", **more)
        assert code == 1
        assert "11 or 13 digits" in err
    finally:
        process.send_signal(signal.SIGTERM)
        code, err = ended(process)
    assert code == 0, err
    assert '"event": "stopped"' in err
    assert VENDING_KEY not in err
    assert key.strip() not in err
    with sqlite3.connect(tmp_path / "var" / "headend.db") as database:
        leased = database.execute("select count(*) from deliveries where state = 'sending'")
        assert leased.fetchone() == (0,)
    assert (tmp_path / "var" / "master.key").stat().st_mode & 0o077 == 0


def test_ctrl_c_ends_it_cleanly_too(tmp_path: Path, free_port: int):
    process = start(tmp_path, "serve", HEADEND_LISTEN__PORT=str(free_port))
    try:
        wait_until_it_answers(process, free_port)
    finally:
        process.send_signal(signal.SIGINT)
        code, err = ended(process)
    assert code == 0, err
    assert '"event": "stopped"' in err


def test_a_taken_port_is_told_as_such(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        code, _, err = run(tmp_path, "serve", HEADEND_LISTEN__PORT=port)
    assert code == 1
    assert f"127.0.0.1:{port} cannot be used" in err
    assert "Traceback" not in err


def test_bad_settings_end_with_a_sentence(tmp_path: Path):
    (tmp_path / "headend.toml").write_text("prot = 1")
    code, _, err = run(tmp_path, "serve")
    assert code == 1
    assert "prot: unknown key" in err
    assert "Traceback" not in err


def test_a_bus_that_makes_no_sense_ends_with_a_sentence(tmp_path: Path):
    (tmp_path / "headend.toml").write_text("[buses.l1]\nurl = 'tcp://nowhere'")
    code, _, err = run(tmp_path, "serve")
    assert code == 1
    assert "buses.l1.url" in err
    assert "Traceback" not in err


def test_assertions_cannot_be_switched_off(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-O", "-m", "api.cli", "version"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=START_S,
    )
    assert done.returncode != 0
    assert "python -O" in done.stderr


def test_postgresql_wants_to_be_migrated_by_a_person(tmp_path: Path, postgres_url: str):
    more = {"HEADEND_DATABASE_URL": postgres_url}
    code, _, err = run(tmp_path, "keys", "list", **more)
    assert code == 1
    assert "headend migrate" in err
    assert run(tmp_path, "migrate", **more)[0] == 0
    code, out, _ = run(tmp_path, "migrate", "--json", **more)
    assert code == 0
    assert '"changed": false' in out
    assert run(tmp_path, "keys", "list", **more)[0] == 0


def test_a_database_that_is_away_is_told_as_such(tmp_path: Path, free_port: int):
    url = f"postgresql://me:hush@127.0.0.1:{free_port}/x"
    code, _, err = run(tmp_path, "keys", "list", HEADEND_DATABASE_URL=url)
    assert code == 3
    assert "hush" not in err
    assert "Traceback" not in err


def test_a_head_end_that_is_away_is_told_as_such(tmp_path: Path, free_port: int):
    more = {"HEADEND_URL": f"http://127.0.0.1:{free_port}", "HEADEND_KEY": "hk_x_y"}
    code, _, err = run(tmp_path, "recharge", DRN, "1", **more)
    assert code == 3
    assert "headend serve" in err


async def test_one_process_may_answer_while_another_works(tmp_path: Path, free_port: int):
    await migrate(f"sqlite:///{tmp_path}/headend.db")
    (tmp_path / "headend.toml").write_text(
        f"database_url = 'sqlite:///headend.db'\n[listen]\nport = {free_port}\n"
    )
    api = start(tmp_path, "serve", "--role", "api")
    work = start(tmp_path, "serve", "--role", "work")
    try:
        await asyncio.to_thread(wait_until_it_answers, api, free_port)
        assert work.stderr is not None
        assert '"event": "serving"' in await asyncio.to_thread(work.stderr.readline)
    finally:
        for process in (api, work):
            process.send_signal(signal.SIGTERM)
        codes = [ended(process)[0] for process in (api, work)]
    assert codes == [0, 0]
