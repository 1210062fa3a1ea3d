"""Server processes: a start that fails says why, and an end leaves nothing behind."""

import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.servers.process import (
    HOST,
    ServerFailed,
    ServerProcess,
    answers,
    run_tool,
)


def python_server(port: int, log: Path) -> ServerProcess:
    command = [sys.executable, "-m", "http.server", "--bind", HOST, str(port)]
    return ServerProcess(command, port=port, log=log)


def test_a_free_port_can_be_taken(free_port: int):
    with socket.create_server((HOST, free_port)):
        assert answers(free_port)
    assert not answers(free_port)


def test_a_started_server_answers_until_it_is_stopped(free_port: int, tmp_path: Path):
    server = python_server(free_port, tmp_path / "log")
    server.start()
    assert server.is_running()
    assert answers(free_port)
    server.stop(signal=signal.SIGTERM)
    assert not server.is_running()
    assert not answers(free_port)


def test_a_server_that_ends_at_once_tells_its_last_words(free_port: int, tmp_path: Path):
    command = [sys.executable, "-c", "raise SystemExit('no licence for meters')"]
    server = ServerProcess(command, port=free_port, log=tmp_path / "log")
    with pytest.raises(ServerFailed, match="no licence for meters"):
        server.start()


def test_a_tool_that_fails_tells_its_output():
    with pytest.raises(ServerFailed, match="returned 3:\nwhy"):
        run_tool([sys.executable, "-c", "print('why'); raise SystemExit(3)"])


def test_no_test_leaves_this_machine():
    with socket.socket() as probe, pytest.raises(RuntimeError, match="stay on loopback"):
        probe.connect(("192.0.2.1", 9))
