"""An event loop whose clock jumps to the next timer: virtual weeks in real seconds.

Only for in-memory transports and stores: a thread or a real socket would be jumped over.
"""

import asyncio
import selectors
from collections.abc import Callable
from contextvars import Context
from typing import Any

# asyncio runs timers that are due within a nanosecond: whoever waits for less comes again and again
# at the same moment.
LEAST_S = 2e-9


def later_than(now: float, when: float) -> float:
    """The moment of a timer: at once, or so much later that time goes on."""
    return when if when <= now else max(when, now + LEAST_S)


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: a wait of so many seconds moves the clock on by as many."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("every task waits and no timer is set: nothing would ever happen")
        if not ready and timeout is not None:
            self.now += max(0.0, timeout)
        return ready


class JumpingEventLoop(asyncio.SelectorEventLoop):
    """Use it by marking a test `virtual_time`, or through `asyncio.Runner(loop_factory=...)`."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def call_at(  # type: ignore[override] # the same, with fewer type variables
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        later = later_than(self.time(), when)
        return super().call_at(later, callback, *args, context=context)
