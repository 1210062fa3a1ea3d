"""The loop of the city: time that jumps, and processes that stop between any two of their steps.

A process is a `Life`: whatever runs in its context. Each step of its tasks passes through here, so
it can be killed (nothing of it ever runs again, no `finally` either) or frozen at any await, as a
real one by SIGKILL and SIGSTOP. Same seed, same steps: no wall clock, no addresses, no real files.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from enum import Enum, auto
from itertools import count
from typing import Any

from tests.loops import later_than

# Whose steps these are; nobody's are the world's.
LIFE: ContextVar["Life"] = ContextVar("LIFE")
MANY_TASKS = 500
# So many rounds of the loop at one moment of its time, and nothing will ever end them.
ROUNDS_AT_ONCE = 1_000_000


class Killed(BaseException):
    """The process is dead: nothing that it still tries has any effect."""


class TimeStands(Exception):
    """Something goes round without ever waiting."""


class Being(Enum):
    """How a process is; one that is buried is only let end."""

    RUNNING = auto()
    FROZEN = auto()
    DEAD = auto()
    BURIED = auto()


class _Blind(selectors.SelectSelector):
    """Sees no file; a wait of so many seconds moves the clock on by as many."""

    now = 0.0
    rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("every task waits and no timer is set: nothing would ever happen")
        self.rounds = 0 if timeout > 0 else self.rounds + 1
        if self.rounds > ROUNDS_AT_ONCE:
            raise TimeStands(f"at {self.now} s")
        self.now += max(0.0, timeout)
        return []


class CityTask(asyncio.Task[Any]):
    """A task whose place in a set is the same in every run."""

    def __init__(self, coro: Coroutine[Any, Any, Any], number: int, **more: Any) -> None:
        self.number = number
        super().__init__(coro, **more)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class CityLoop(asyncio.SelectorEventLoop):
    """One city's time. `world` is the context of everything that is no process."""

    def __init__(self) -> None:
        self._blind = _Blind()
        self._numbers = count(1)
        super().__init__(self._blind)
        self.world = copy_context()
        self.set_task_factory(self._numbered)

    def time(self) -> float:
        return self._blind.now

    def call_soon(  # type: ignore[override] # the same, with fewer type variables
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        life = LIFE.get(None) if context is None else context.get(LIFE)
        if life is None:
            return super().call_soon(callback, *args, context=context)
        entry = _Entry(callback, args, context or copy_context())
        entry.handle = super().call_soon(life.step, entry, context=entry.context)
        return entry.handle

    def call_at(  # type: ignore[override] # the same, with fewer type variables
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        when = later_than(self.time(), when)
        life = LIFE.get(None) if context is None else context.get(LIFE)
        if life is None:
            return super().call_at(when, callback, *args, context=context)
        entry = _Entry(callback, args, context or copy_context())
        timer = super().call_at(when, life.step, entry, context=entry.context)
        entry.handle = timer
        return timer

    def later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> None:
        """Let the world do something, whoever caused it and whatever becomes of them."""
        self.call_at(self.time() + delay_s, callback, *args, context=self.world)

    def replay(self, life: "Life", entry: "_Entry") -> None:
        """Let a step that was kept have its turn."""
        super().call_soon(life.step, entry, context=entry.context)

    def _numbered(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        context: Context | None = None,
    ) -> CityTask:
        life = LIFE.get(None) if context is None else context.get(LIFE)
        assert asyncio.iscoroutine(coro)
        task = CityTask(coro, next(self._numbers), loop=loop, context=context)
        if life is not None:
            life.took(task)
        return task


class _Entry:
    """One step that waits for its turn."""

    __slots__ = ("args", "callback", "context", "handle", "kept")

    def __init__(self, callback: Callable[..., object], args: Any, context: Context) -> None:
        self.callback, self.args, self.context = callback, args, context
        self.handle: asyncio.Handle | None = None
        self.kept = False

    def run(self) -> None:
        """Do it, unless it was cancelled while it was kept."""
        if not (self.kept and self.handle is not None and self.handle.cancelled()):
            self.callback(*self.args)


class Life:
    """One process as the loop runs it. `died` is done once it is dead, for whoever waits for it.

    `dies_after`: so many more steps and it is killed; None: it is not.
    """

    def __init__(self, loop: CityLoop, name: str) -> None:
        self.name = name
        self.being = Being.RUNNING
        self.steps = 0
        self.dies_after: int | None = None
        self.died: asyncio.Future[None] = loop.create_future()
        self.tasks: dict[int, CityTask] = {}
        self.context = loop.world.copy()
        self.context.run(LIFE.set, self)
        self._loop = loop
        self._held: list[_Entry] = []
        self._tidy_at = MANY_TASKS
        self._partings: list[Callable[[], None]] = []

    @property
    def running(self) -> bool:
        return self.being is Being.RUNNING

    @property
    def dead(self) -> bool:
        return self.being in (Being.DEAD, Being.BURIED)

    def require(self) -> None:
        """Raise Killed where a dead process would still touch the world."""
        if self.dead:
            raise Killed

    def at_death(self, parting: Callable[[], None]) -> None:
        """What the world does when it is dead: connections break, locks are given back."""
        self._partings.append(parting)

    def run(self, coro: Coroutine[Any, Any, Any]) -> CityTask:
        """Start a task in this process."""
        task = self._loop.create_task(coro, context=self.context.copy())
        assert isinstance(task, CityTask)
        return task

    def took(self, task: CityTask) -> None:
        """A task of it has begun."""
        self.tasks[task.number] = task
        if len(self.tasks) > self._tidy_at:
            self.tidy()
            self._tidy_at = MANY_TASKS + 2 * len(self.tasks)

    def step(self, entry: _Entry) -> None:
        """One step of one task, or of a callback: run, kept for later, or never run."""
        match self.being:
            case Being.RUNNING:
                self.steps += 1
                if self.steps == self.dies_after:
                    self._held.append(entry)
                    self.kill()
                else:
                    entry.run()
            case Being.FROZEN | Being.DEAD:
                self._held.append(entry)  # of the dead, too: nobody shall collect it midway
            case Being.BURIED:
                entry.run()

    def kill(self) -> None:
        """SIGKILL, now. Tasks stay as they are, and nothing of them runs again."""
        if self.dead:
            return
        self.being = Being.DEAD
        self.tidy()
        for parting in self._partings:
            self._loop.world.copy().run(parting)
        if not self.died.done():
            self.died.set_result(None)

    def freeze(self) -> None:
        """SIGSTOP: it neither runs nor knows that time passes."""
        if self.running:
            self.being = Being.FROZEN

    def thaw(self) -> None:
        """SIGCONT: everything that became due meanwhile happens at once, in order."""
        if self.being is not Being.FROZEN:
            return
        self.being = Being.RUNNING
        self._replay()

    def tidy(self) -> None:
        """Forget tasks that have ended."""
        self.tasks = {one.number: one for one in self.tasks.values() if not one.done()}

    async def bury(self) -> None:
        """At the end of all: let what stood still end, without effect."""
        self.kill()
        self.being = Being.BURIED
        self._replay()
        for _ in range(20):
            self.tidy()
            if not self.tasks:
                return
            for task in self.tasks.values():
                task.cancel()
            await asyncio.wait(self.tasks.values(), timeout=60)

    def _replay(self) -> None:
        held, self._held = self._held, []
        for entry in held:
            entry.kept = True
            self._loop.replay(self, entry)
