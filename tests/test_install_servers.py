"""Installing the servers of the tests: what is missing is installed, or named with a failure."""

import os
import shlex
from pathlib import Path

import pytest

from tests import install_servers
from tests.install_servers import Requirement
from tests.servers.process import ServerMissing


@pytest.fixture
def broker(tmp_path: Path) -> Requirement:
    """A broker that is there once its package was installed."""

    def find() -> None:
        if not (tmp_path / "brokerd").exists():
            raise ServerMissing("Install brokerd: apt-get install brokerd")

    return Requirement("brokerd", find)


@pytest.fixture
def apt_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that keeps its command lines and installs by touching a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "apt-get"
    calls = tmp_path / "calls"
    quoted = shlex.quote(str(tmp_path))
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {quoted}/calls\n'
        f'[ "$1" = install ] && for name; do :; done && : > {quoted}/"$name"\nexit 0\n'
    )
    program.chmod(0o755)
    monkeypatch.setitem(os.environ, "PATH", f"{folder}:{os.environ['PATH']}")
    return calls


def test_what_is_there_is_left_alone(broker: Requirement, apt_get: Path, tmp_path: Path):
    (tmp_path / "brokerd").touch()
    assert install_servers.main((broker,)) == 0
    assert not apt_get.exists()


def test_root_on_debian_gets_what_is_missing(
    broker: Requirement, apt_get: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert install_servers.main((broker,)) == 0
    assert apt_get.read_text().splitlines() == [
        "update -qq",
        "install -qq -y --no-install-recommends brokerd",
    ]


def test_others_are_told_what_to_install(
    broker: Requirement,
    apt_get: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert install_servers.main((broker,)) == 1
    assert "apt-get install brokerd" in capsys.readouterr().err
    assert not apt_get.exists()
