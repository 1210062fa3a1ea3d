"""Turns: who has a line now. The agenda decides, one transaction at a time."""

import asyncio
from collections import deque
from collections.abc import Collection

from headend.agenda import Agenda, Urgency


class Turns:
    """At most `depth` have the line at once; the others wait in the order of the agenda.

    `wanted_s` is the time in which somebody had it or wanted it.
    """

    def __init__(self) -> None:
        self.depth = 1
        self._agenda = Agenda()
        self._taken = 0
        self._waiting: dict[Urgency, deque[asyncio.Future[None]]] = {
            urgency: deque() for urgency in Urgency
        }
        self._wanted_s = 0.0
        self._wanted_since = 0.0

    @property
    def taken(self) -> int:
        """How many have the line now."""
        return self._taken

    @property
    def wanted(self) -> bool:
        """Somebody waits for a turn."""
        return bool(self._who_waits())

    def wanted_s(self, *, now: float) -> float:
        return self._wanted_s + (now - self._wanted_since if self._taken else 0.0)

    async def take(self, urgency: Urgency) -> None:
        """Wait for a turn; who has it must `release` it. Who waits may be cancelled."""
        loop = asyncio.get_running_loop()
        if self._taken < self.depth and not self.wanted:
            self._give(urgency, ())
            return
        turn = loop.create_future()
        self._waiting[urgency].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # it was given in the same moment
            raise

    def release(self) -> None:
        """Give the line on."""
        self._taken -= 1
        self._give_on()
        if not self._taken:
            self._wanted_s += asyncio.get_running_loop().time() - self._wanted_since

    def deepen(self, depth: int) -> None:
        """Let so many have the line at once from now on."""
        self.depth = depth
        self._give_on()

    def _give_on(self) -> None:
        while self._taken < self.depth and (waiting := self._who_waits()):
            urgency = self._agenda.choose(waiting)
            turn = self._waiting[urgency].popleft()
            self._give(urgency, self._who_waits())
            turn.set_result(None)

    def _who_waits(self) -> Collection[Urgency]:
        for queue in self._waiting.values():
            # Who was cancelled has left, though he may not know yet.
            while queue and queue[0].done():
                queue.popleft()
        return [urgency for urgency, queue in self._waiting.items() if queue]

    def _give(self, urgency: Urgency, waiting: Collection[Urgency]) -> None:
        if not self._taken:
            now = asyncio.get_running_loop().time()
            self._wanted_since = now
        self._taken += 1
        self._agenda = self._agenda.took(urgency, waiting)
