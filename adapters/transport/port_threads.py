"""Threads in which serial ports are opened and closed, each of which may hang.

A driver of a USB adapter that does not answer holds up whoever asks it, without a bound. So every
port has a thread of its own, which does one thing at a time: what hangs there holds up neither
other ports nor the end of the process, and nothing more is begun for that port until it is over.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class PortThreads:
    """At most one thread a port, whatever is asked; ports are known by their paths."""

    def __init__(self) -> None:
        self._busy: set[str] = set()

    async def call(self, path: str, act: Callable[[], T], *, unwanted: Callable[[T], None]) -> T:
        """What `act` returns or raises; OSError while something earlier hangs there.

        What it returns when nobody waits for it any more goes to `unwanted`, in that thread.
        """
        if path in self._busy:
            raise OSError(f"{path}: it still hangs since it was opened or closed last")
        done: Future[T] = Future()
        self._start(path, lambda: self._do(path, act, done, unwanted))
        return await asyncio.wrap_future(done)

    def close(self, path: str, act: Callable[[], None], *, within_s: float) -> None:
        """Return when `act` is done, or after so long."""

        def work() -> None:
            try:
                act()
            finally:
                self._busy.discard(path)

        self._start(path, work).join(within_s)

    def _do(
        self, path: str, act: Callable[[], T], done: Future[T], unwanted: Callable[[T], None]
    ) -> None:
        try:
            made = act()
        except OSError as exc:
            self._failed(path, done, exc)
            return
        except BaseException as exc:
            self._failed(path, done, exc)
            raise
        if done.set_running_or_notify_cancel():
            self._busy.discard(path)
            done.set_result(made)
            return
        try:
            unwanted(made)
        finally:
            self._busy.discard(path)

    def _failed(self, path: str, done: Future[T], exc: BaseException) -> None:
        self._busy.discard(path)
        if done.set_running_or_notify_cancel():
            done.set_exception(exc)

    def _start(self, path: str, work: Callable[[], None]) -> threading.Thread:
        self._busy.add(path)
        thread = threading.Thread(target=work, name=f"port {path}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._busy.discard(path)
            raise OSError(f"no thread for {path}: {error}") from error
        return thread
