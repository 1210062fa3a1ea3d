"""The keeper of the processes: starts them again when they die, and lets them die and hang.

A process is killed at a step of its own: at any await of any of its tasks.
"""

import asyncio
import random
from collections.abc import Callable

from tests.city.processes import Process, Surroundings
from tests.city.site import HostClock, Kind
from tests.city.trace import EVERYBODY

# From the first steps of a start to some minutes of work.
FIRST_STEPS, LAST_STEPS = 20, 30_000
DOWN_S = 15.0
HANG_S = 120.0
CALM_DOWN_S = 1.0


class Keeper:
    """Keeps one process of each role. `apart`: REST and work are two processes, else one."""

    def __init__(
        self, around: Surroundings, clock: HostClock, *, changed: Callable[[], None]
    ) -> None:
        self._around = around
        self._site = around.site
        self._clock = clock
        self._changed = changed
        self._luck = around.site.plan.luck("keeper")
        self._numbers = 0
        self.apart = self._luck.random() < 0.5
        self.all: list[Process] = []
        self._second = around.site.plan.luck("second")

    @property
    def api(self) -> Process | None:
        """A process that answers REST."""
        running = [one for one in self.all if one.answers and not one.life.dead]
        return running[-1] if running else None

    @property
    def worked(self) -> bool:
        """Somebody tends and serves the buses."""
        return any(one.works and one.life.running for one in self.all)

    async def keep(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self.apart:
                group.create_task(self._keep("api", works=False, answers=True))
                group.create_task(self._keep("work", works=True, answers=False))
            else:
                group.create_task(self._keep("one", works=True, answers=True))
            group.create_task(self._hang())
            group.create_task(self._intrude())
            group.create_task(self._stop())

    def calm(self) -> None:
        """From now on nobody dies; who hangs goes on, and a second worker ends."""
        for process in self.all:
            process.life.dies_after = None
            process.life.thaw()
            if process.life.name.startswith("second"):
                process.life.kill()
        self._changed()

    async def bury(self) -> None:
        """At the end of all."""
        for process in self.all:
            await process.life.bury()

    async def _keep(self, role: str, *, works: bool, answers: bool) -> None:
        while True:
            process = self._start(role, works=works, answers=answers)
            await asyncio.wait([process.life.died])
            self._site.trace.tell(
                EVERYBODY, f"{process.life.name} is dead after {process.life.steps} steps"
            )
            self._changed()
            calm = self._site.calm
            await asyncio.sleep(CALM_DOWN_S if calm else self._luck.random() ** 2 * DOWN_S)

    def _start(self, role: str, *, works: bool, answers: bool) -> Process:
        self._numbers += 1
        name = f"{role}-{self._numbers}"
        process = Process(self._around, name, self._clock, works=works, answers=answers)
        if self._site.has(Kind.KILL):
            process.life.dies_after = _some_steps(self._luck)
            self._site.trace.faults[Kind.KILL] += 1
        self.all.append(process)
        process.start()
        self._site.trace.tell(EVERYBODY, f"{name} starts")
        self._changed()
        return process

    async def _hang(self) -> None:
        """Now and then one hangs, and comes back."""
        luck = self._site.plan.luck("hang")
        while self._site.has(Kind.HANG):
            await asyncio.sleep(luck.expovariate(1 / 80))
            alive = [one for one in self.all if one.life.running]
            if not alive or not self._site.has(Kind.HANG):
                continue
            process, for_s = luck.choice(alive), luck.random() ** 2 * HANG_S
            self._site.trace.fault(
                Kind.HANG, EVERYBODY, f"{process.life.name} hangs for {for_s:.0f} s"
            )
            process.freeze()
            self._changed()
            await asyncio.sleep(for_s)
            process.life.thaw()
            self._site.trace.tell(EVERYBODY, f"{process.life.name} goes on")
            self._changed()

    async def _intrude(self) -> None:
        """Now and then somebody starts a second worker, and ends it when he sees."""
        luck = self._second
        while self._site.has(Kind.SECOND):
            await asyncio.sleep(luck.expovariate(1 / 100))
            if not self._site.has(Kind.SECOND):
                return
            self._site.trace.fault(Kind.SECOND, EVERYBODY, "a second worker is started")
            process = self._start("second", works=True, answers=False)
            await asyncio.sleep(luck.random() * 60)
            process.life.kill()
            self._changed()

    async def _stop(self) -> None:
        """Now and then an operator starts a worker anew, properly."""
        luck = self._site.plan.luck("stop")
        while self._site.has(Kind.KILL):
            await asyncio.sleep(luck.expovariate(1 / 150))
            workers = [one for one in self.all if one.works and one.life.running]
            if workers and self._site.has(Kind.KILL):
                self._site.trace.tell(EVERYBODY, f"{workers[-1].life.name} is told to end")
                workers[-1].stop()


def _some_steps(luck: random.Random) -> int:
    """Early deaths as often as late ones."""
    span = LAST_STEPS / FIRST_STEPS
    return int(FIRST_STEPS * float(span ** luck.random()))
