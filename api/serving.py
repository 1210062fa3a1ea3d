"""Serving: everything of one process in one task group, from start to a clean end.

A stop (SIGTERM, SIGINT) first ends REST, then the buses, which give back their leases; what cannot
end in time is cut, and read back from the meters later. A programming error ends the process.
"""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog
import uvicorn

from api.app import create_app
from api.head_end import HeadEnd, Work
from api.settings import Role, Settings, SettingsRefused

GRACE_S = 10
BACKLOG = 512
SIGNALS = (signal.SIGTERM, signal.SIGINT)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """A server that leaves the signals to us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    head_end: HeadEnd, settings: Settings, *, stop: asyncio.Event | None = None
) -> None:
    """Run until `stop` is set or a signal comes. Raises SettingsRefused when the port is taken."""
    stopping = stop or asyncio.Event()
    door = _door(settings) if settings.role is not Role.WORK else None
    with end_signals(stopping):
        log.info("serving", role=settings.role, works=[work.name for work in head_end.works])
        async with asyncio.TaskGroup() as group:
            works = [group.create_task(_run(work), name=work.name) for work in head_end.works]
            if door is not None:
                await _answer(group, head_end, door, stopping)
            await stopping.wait()
            log.info("stopping")
            for work in works:
                work.cancel()
    log.info("stopped")


async def _answer(
    group: asyncio.TaskGroup, head_end: HeadEnd, door: socket.socket, stopping: asyncio.Event
) -> None:
    """Start REST as a task of the group; it ends before the buses do."""
    server = _Server(
        uvicorn.Config(
            create_app(head_end),
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            timeout_graceful_shutdown=GRACE_S,
            lifespan="on",
        )
    )
    answering = group.create_task(_until(stopping, server, door), name="rest")
    host, port = door.getsockname()[:2]
    log.info("rest answers", host=host, port=port, docs=f"http://{host}:{port}/docs")
    await stopping.wait()
    head_end.streams.end()
    server.should_exit = True
    await answering


async def _until(stopping: asyncio.Event, server: uvicorn.Server, door: socket.socket) -> None:
    await server.serve(sockets=[door])
    if not stopping.is_set():
        raise RuntimeError("REST ended by itself")


def _door(settings: Settings) -> socket.socket:
    """The listening socket; bound by us, so that a taken port is told as what it is."""
    host, port = settings.listen.host, settings.listen.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsRefused(
            f"listen: {host}:{port} cannot be used ({error.strerror});"
            " set another listen.port, or end what holds it"
        ) from None


async def _run(work: Work) -> None:
    await work.run()
    raise RuntimeError(f"{work.name} ended by itself")


@contextmanager
def end_signals(stopping: asyncio.Event) -> Iterator[None]:
    """Let the signals that end a process set the event instead."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        with suppress(ValueError, RuntimeError):  # not in the main thread: the caller stops us
            loop.add_signal_handler(number, stopping.set)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
