"""A server process on loopback: started, waited for, ended; and the ports it may take."""

import pwd
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
# A head-end that nobody has compiled yet takes its time on a busy machine.
START_TIMEOUT_S = 45.0
TOOL_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
LOG_TAIL_BYTES = 4000


class ServerMissing(Exception):
    """A server that the tests need is not installed; the text says how to get it."""


class ServerFailed(Exception):
    """A server or its tool did not do what it was started for; the text holds what it printed."""


def free_port() -> int:
    """Return a TCP port of loopback that nobody held a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Say whether somebody accepts connections on this port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


@dataclass(frozen=True)
class Account:
    """The system account that a process runs under; None keeps our own."""

    name: str | None = None

    @property
    def gid(self) -> int | None:
        return None if self.name is None else pwd.getpwnam(self.name).pw_gid

    @property
    def extra_groups(self) -> list[int] | None:
        return None if self.name is None else []


class ServerProcess:
    """One child process that is ready once its port answers. `environment` None keeps our own."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        log: Path,
        account: Account | None = None,
        folder: Path = Path("/"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self._command = command
        self._log = log
        self._account = account or Account()
        self._folder = folder
        self._environment = environment
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None, "not running"
        return self._child.pid

    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start the process and wait until its port answers; ServerFailed when it never does."""
        assert not self.is_running(), "started twice"
        assert not answers(self.port), f"port {self.port} is taken"
        with self._log.open("ab") as output:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment,
                user=self._account.name,
                group=self._account.gid,
                extra_groups=self._account.extra_groups,
                start_new_session=True,  # a Ctrl-C at the terminal is for the tests alone
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(self.port):
            if not self.is_running() or time.monotonic() > deadline:
                self.kill()
                raise ServerFailed(f"{self._command[0]} did not start:\n{self.log_tail()}")
            time.sleep(0.01)

    def stop(self, *, signal: int) -> int | None:
        """Ask the process to end in its own way, and end it ourselves if it does not.

        Returns its exit code; None when it was not running, or did not end by itself.
        """
        if self._child is None:
            return None
        self._child.send_signal(signal)
        try:
            code = self._child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        self._child = None
        return code

    def kill(self) -> None:
        """End the process without a farewell, as a power cut would."""
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        self._child = None

    def send_signal(self, signal: int) -> None:
        """Send a signal, for instance SIGSTOP for a server that hangs and SIGCONT to wake it."""
        assert self._child is not None, "not running"
        self._child.send_signal(signal)

    def log_tail(self) -> str:
        return self._log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


def run_tool(command: Sequence[str], *, account: Account | None = None) -> None:
    """Run a command to its end; ServerFailed with its output when it does not return 0."""
    account = account or Account()
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=TOOL_TIMEOUT_S,
        cwd="/",
        user=account.name,
        group=account.gid,
        extra_groups=account.extra_groups,
    )
    if done.returncode != 0:
        raise ServerFailed(f"{command[0]} returned {done.returncode}:\n{done.stdout}{done.stderr}")
