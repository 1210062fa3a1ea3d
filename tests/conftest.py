"""What every test may ask for: real servers and lines, virtual time, and no way off this machine.

A test marked `virtual_time` runs on an event loop whose clock jumps (tests/loops.py); it may use
no thread and no socket. All servers start on free ports and are gone when the session ends.
"""

import asyncio
import ipaddress
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import pytest

from tests.loops import JumpingEventLoop
from tests.servers import process
from tests.servers.mosquitto import Login, Mosquitto
from tests.servers.postgres import PostgresServer
from tests.servers.serial_line import SerialLine

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual_time: the event loop's clock jumps; no real IO")
    sys.addaudithook(stay_on_this_machine)


def stay_on_this_machine(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse every connection that would leave loopback, from whatever library."""
    if event not in ("socket.connect", "socket.sendto"):
        return
    match arguments[1]:
        case (str(host), int(), *_) if host != "localhost":
            if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
                raise RuntimeError(f"a test reached for {host}: tests stay on loopback")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    if item.get_closest_marker("virtual_time"):
        return {"virtual": JumpingEventLoop}
    return {"real": asyncio.new_event_loop}


@pytest.fixture
def free_port() -> int:
    """A TCP port of loopback that nobody holds."""
    return process.free_port()


@pytest.fixture
def pty_pair() -> Iterator[SerialLine]:
    """A serial line: `left` and `right` are the paths of its two ports."""
    with SerialLine() as line:
        yield line


class CreateDatabase(Protocol):
    """Creates a fresh database and returns its URL; `like` names the URL to copy from."""

    def __call__(self, *, like: str | None = None) -> str: ...


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's PostgreSQL, with no database that a test could use."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def postgres_database(postgres_server: PostgresServer) -> Iterator[CreateDatabase]:
    """A factory of fresh databases (SQLAlchemy URLs for asyncpg), dropped with the module.

    A schema that is slow to build is built once and copied: `postgres_database(like=url)`.
    """
    names: list[str] = []

    def create(*, like: str | None = None) -> str:
        template = "template1" if like is None else like.rpartition("/")[2]
        names.append(postgres_server.create(template=template))
        return postgres_server.url(names[-1])

    yield create
    for name in reversed(names):
        postgres_server.drop(name)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database that only this test has."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


class StartMosquitto(Protocol):
    """Starts one more broker."""

    def __call__(self, *, login: Login | None = None, persistence: bool = False) -> Mosquitto: ...


@pytest.fixture
def start_mosquitto() -> Iterator[StartMosquitto]:
    """A factory of running brokers, for a test that needs several or an unusual one."""
    brokers: list[Mosquitto] = []

    def start(*, login: Login | None = None, persistence: bool = False) -> Mosquitto:
        brokers.append(Mosquitto(login=login, persistence=persistence))
        brokers[-1].start()
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.remove()


@pytest.fixture
def mosquitto(start_mosquitto: StartMosquitto) -> Mosquitto:
    """A running broker that lets everybody in and forgets everything when it stops."""
    return start_mosquitto()


@pytest.fixture
def mosquitto_with_password(start_mosquitto: StartMosquitto) -> Mosquitto:
    """A running broker that lets in its `login` only."""
    return start_mosquitto(login=Login(username="headend", password="for tests only"))
