"""The broker of the one-command demo: amqtt in a child process on loopback. MQTT 3.1.1 only.

For a head-end without an operator's broker; what waits in it is in memory and gone with it, and is
sent again from the database. A child, so that it cannot hold up the head-end's loop, and can be
bounded and replaced (demo_broker.py is what runs there). Everybody on this machine is let in under
any user name. The child ends when its parent does, however that happens.
"""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from adapters.mqtt.loopback import HOST, READY
from headend.errors import NotSent

USER = "local"
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
RESTART_PAUSE_S = 1.0
_ROOT = Path(__file__).parents[2]

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class EmbeddedBroker:
    """An `async with` block with a broker in it; it is started again should it die."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._child: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """For everybody who connects to it."""
        return f"mqtt://{USER}@{HOST}:{self.port}?version=3.1.1"

    @property
    def pid(self) -> int | None:
        """The child's process, if one runs now."""
        return None if self._child is None else self._child.pid

    async def __aenter__(self) -> Self:
        """Start it and wait until it listens; raises NotSent when it does not."""
        self._child = await self._start()
        self._watching = asyncio.create_task(self._watch(), name="embedded broker")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._watching is not None
        self._watching.cancel()
        await asyncio.wait([self._watching])
        if self._child is not None:
            await _stop(self._child)

    async def _watch(self) -> None:
        while True:
            assert self._child is not None
            code = await self._child.wait()
            log.error("embedded broker died", code=code, port=self.port)
            self._child = None
            while self._child is None:
                await asyncio.sleep(RESTART_PAUSE_S)
                with contextlib.suppress(NotSent):
                    self._child = await self._start()

    async def _start(self) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "adapters.mqtt.demo_broker",
            "--port",
            str(self.port),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            start_new_session=True,  # a Ctrl-C at the terminal is for the head-end, which stops it
        )
        assert child.stdout is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                said = await child.stdout.readline()
        except TimeoutError:
            said = b""
        except asyncio.CancelledError:
            await _stop(child)
            raise
        if said != READY:
            await _stop(child)
            raise NotSent(f"the embedded broker did not start on {HOST}:{self.port}")
        return child


async def _stop(child: asyncio.subprocess.Process) -> None:
    """End of its standard input is how the child is told; it is killed if it does not listen."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()
