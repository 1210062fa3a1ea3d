"""Makes sure that the servers of the tests are on this machine: `python -m tests.install_servers`.

On Debian and its kin, run as root, it installs what is missing. Everywhere else it says what to
install and fails, so that no test is ever skipped for want of a server.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tests.servers import mosquitto, postgres
from tests.servers.process import ServerMissing

APT_TIMEOUT_S = 300


@dataclass(frozen=True)
class Requirement:
    """One server: where it is found, and the Debian package that brings it."""

    package: str
    find: Callable[[], object]

    def complaint(self) -> str | None:
        """Return None where the server is installed, else how to get it."""
        try:
            self.find()
        except ServerMissing as missing:
            return str(missing)
        return None


def find_openssl() -> None:
    """Look for the command that makes a trial's certificates; ServerMissing without it."""
    if shutil.which("openssl") is None:
        raise ServerMissing("openssl is missing. Debian, Ubuntu: apt-get install openssl")


REQUIREMENTS = (
    Requirement("openssl", find_openssl),
    Requirement("mosquitto", mosquitto.find_program),
    Requirement("postgresql", postgres.find_binaries),
)


def install(packages: list[str]) -> None:
    """Install Debian packages; needs root. CalledProcessError when apt-get fails."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages],
    ):
        print(" ".join(command), flush=True)
        subprocess.run(
            command, check=True, env=environment, timeout=APT_TIMEOUT_S, stdout=subprocess.DEVNULL
        )


def main(requirements: tuple[Requirement, ...] = REQUIREMENTS) -> int:
    """Install what is missing, or say how; return the exit code."""
    missing = [wanted for wanted in requirements if wanted.complaint()]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        install([wanted.package for wanted in missing])
    complaints = [text for wanted in requirements if (text := wanted.complaint())]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
