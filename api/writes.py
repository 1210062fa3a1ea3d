"""Writes that outlive the request that asked for them: a caller that hangs up loses nothing."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import structlog

T = TypeVar("T")
# A commit takes milliseconds, a database that fails over some seconds.
SETTLE_S = 20.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Writes:
    """Owns the running writes; the request only awaits them."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()

    @property
    def running(self) -> int:
        """How many are under way."""
        return len(self._running)

    async def finish(self, work: Coroutine[object, None, T]) -> T:
        """The result of `work`, which goes on to its end even when this await is cancelled."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_tell_log)
            raise

    async def settle(self) -> None:
        """At shutdown: wait for what still runs, bounded; then it is cancelled and rolls back."""
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=SETTLE_S)
        for task in late:
            task.cancel()
        if late:
            log.warning("writes cut off at shutdown", count=len(late))
            await asyncio.wait(late)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._running.discard(task)


def _tell_log(task: asyncio.Task[object]) -> None:
    """The request is gone; an error must not go with it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("write of a gone request failed", error=str(error))
