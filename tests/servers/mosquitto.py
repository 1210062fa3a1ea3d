"""A Mosquitto broker of its own for a test: on a free port, with or without password and memory.

It can be killed, frozen and started again on the same port, which is how broker faults are tested.
"""

import os
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.servers.process import HOST, ServerMissing, ServerProcess, free_port, run_tool

HOW_TO_INSTALL = (
    "Mosquitto is missing. Debian, Ubuntu: apt-get install mosquitto; macOS: brew install mosquitto"
)
SYSTEM_FOLDERS = (
    "/usr/sbin",
    "/usr/local/sbin",
    "/opt/homebrew/sbin",
)  # often not on a user's PATH


def find_program(name: str = "mosquitto") -> str:
    """Return the path of Mosquitto or one of its tools; ServerMissing when it is not installed."""
    places = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS])
    program = shutil.which(name, path=places)
    if program is None:
        raise ServerMissing(HOW_TO_INSTALL)
    return program


@dataclass(frozen=True)
class Login:
    """The one account that a broker lets in."""

    username: str
    password: str


class Mosquitto:
    """One broker. With `persistence` its sessions and queues outlive `stop` and `start`."""

    def __init__(self, *, login: Login | None = None, persistence: bool = False) -> None:
        self.host = HOST
        self.port = free_port()
        self.login = login
        self._folder = Path(tempfile.mkdtemp(prefix="headend-mosquitto-"))
        settings = self._folder / "mosquitto.conf"
        settings.write_text(self._settings(persistence=persistence))
        self._server = ServerProcess(
            [find_program(), "-c", str(settings)], port=self.port, log=self._folder / "log"
        )

    def is_running(self) -> bool:
        return self._server.is_running()

    def start(self) -> None:
        """Start the broker, again on its port, and wait until it answers."""
        self._server.start()

    def stop(self) -> None:
        """End the broker properly: with persistence it saves its sessions first."""
        self._server.stop(signal=signal.SIGTERM)

    def kill(self) -> None:
        """End the broker as a power cut would."""
        self._server.kill()

    def freeze(self) -> None:
        """Let the broker hang: its connections stay open and nothing answers."""
        self._server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Wake a frozen broker."""
        self._server.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """Return the end of what the broker printed."""
        return self._server.log_tail()

    def remove(self) -> None:
        """End the broker, frozen or not, and remove everything that it wrote."""
        self.kill()
        shutil.rmtree(self._folder)

    def _settings(self, *, persistence: bool) -> str:
        lines = [
            f"listener {self.port} {self.host}",
            f"allow_anonymous {'true' if self.login is None else 'false'}",
            f"persistence {'true' if persistence else 'false'}",
            f"persistence_location {self._folder}/",
            "max_queued_messages 0",  # the default of 1000 drops silently
            "log_type all",
            # Started by root, it would become `mosquitto` and lose sight of this folder.
            *(["user root"] if os.geteuid() == 0 else []),
        ]
        if self.login is not None:
            lines.append(f"password_file {self._password_file(self.login)}")
        return "\n".join(lines) + "\n"

    def _password_file(self, login: Login) -> Path:
        file = self._folder / "passwords"
        tool = find_program("mosquitto_passwd")
        run_tool([tool, "-b", "-c", str(file), login.username, login.password])
        return file
