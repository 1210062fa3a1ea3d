"""Turns: who has a line now. The agenda decides, one transaction at a time."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Generic, TypeAlias, TypeVar

from headend.agenda import Agenda, Urgency

W = TypeVar("W")
# Whether one may have the line now, beside those that have it.
MayJoin: TypeAlias = Callable[[W, Sequence[W]], bool]


def _anybody(_: object, __: object) -> bool:
    return True


class Turns(Generic[W]):
    """At most `depth` have the line at once; the others wait in the order of the agenda.

    Whoever's turn it is may have to wait until others are done (`may_join`). It holds no turn
    meanwhile, and nobody whose turn comes later begins before it, but whoever is more urgent; so it
    waits for those that have the line already, and for no others. Nobody at all keeps nobody out.
    """

    def __init__(self, may_join: MayJoin[W] = _anybody) -> None:
        self.depth = 1
        self._may_join = may_join
        self._agenda = Agenda()
        self._having: list[W] = []
        self._waiting: dict[Urgency, deque[tuple[W, asyncio.Future[None]]]] = {
            urgency: deque() for urgency in Urgency
        }
        self._wanted_s = 0.0
        self._wanted_since = 0.0

    @property
    def taken(self) -> int:
        """How many have the line now."""
        return len(self._having)

    @property
    def wanted(self) -> bool:
        """Somebody waits for a turn."""
        return bool(self._who_waits())

    def wanted_s(self, *, now: float) -> float:
        """The time in which somebody had it or wanted it."""
        return self._wanted_s + (now - self._wanted_since if self._having else 0.0)

    async def take(self, who: W, urgency: Urgency) -> None:
        """Wait for a turn; who has it must `release` it. Who waits may be cancelled."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting[urgency].append((who, turn))
        self._give_on()
        if turn.done():
            return
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(who)  # it was given in the same moment
            else:
                # Others may have waited for nobody but this one.
                turn.cancel()
                self._give_on()
            raise

    def release(self, who: W) -> None:
        """Give the line on."""
        self._having.remove(who)
        self._give_on()
        if not self._having:
            self._wanted_s += asyncio.get_running_loop().time() - self._wanted_since

    def deepen(self, depth: int) -> None:
        """Let so many have the line at once from now on."""
        self.depth = depth
        self._give_on()

    def _give_on(self) -> None:
        while len(self._having) < self.depth and (waiting := self._who_waits()):
            urgency = self._agenda.choose(waiting)
            who, turn = self._waiting[urgency][0]
            if self._having and not self._may_join(who, self._having):
                return
            self._waiting[urgency].popleft()
            self._agenda = self._agenda.took(urgency, self._who_waits())
            if not self._having:
                self._wanted_since = asyncio.get_running_loop().time()
            self._having.append(who)
            turn.set_result(None)

    def _who_waits(self) -> Collection[Urgency]:
        for queue in self._waiting.values():
            # Who was cancelled has left, though he may not know yet.
            while queue and queue[0][1].done():
                queue.popleft()
        return [urgency for urgency, queue in self._waiting.items() if queue]
