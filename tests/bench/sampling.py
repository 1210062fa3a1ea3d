"""The head-end under a sampler: `python -m tests.bench.sampling FILE serve --config ...`.

From SIGUSR1 to SIGUSR2 it looks every few milliseconds of processor time at what the process is
doing, and counts its transactions and statements; then the file holds both as JSON.
"""

import asyncio
import json
import signal
import sys
import threading
from collections import Counter
from collections.abc import Coroutine, Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import greenlet  # type: ignore[import-untyped]  # published without types
from sqlalchemy import Engine, event

from api.cli import app

EVERY_S = 0.003
ROOT = f"{Path(__file__).parent.parent.parent}/"
SITE = "/site-packages/"
SQL, REST, MQTT = "SQL", "REST", "MQTT"
VAULT, RULES, LOGS, LOOP = "vault", "rules", "logs", "event loop"
# Ours by the beginning of the path, libraries by the name of their package.
OURS = {
    "adapters/store/": SQL,
    "adapters/mqtt/": MQTT,
    "adapters/vault/": VAULT,
    "protocols/sts/": VAULT,
    "headend/": RULES,
    "api/logs.py": LOGS,
    "api/masking.py": LOGS,
    "api/": REST,
}
LIBRARIES = {
    **dict.fromkeys(("sqlalchemy", "aiosqlite", "asyncpg"), SQL),
    **dict.fromkeys(
        ("fastapi", "starlette", "pydantic", "uvicorn", "httptools", "anyio", "prometheus_client"),
        REST,
    ),
    **dict.fromkeys(("paho", "aiomqtt", "msgspec"), MQTT),
    **dict.fromkeys(("Crypto", "cryptography"), VAULT),
    "structlog": LOGS,
}
# Beneath a turn of the loop is only what started the process.
TURN = "_run_once"
# Who asked for SQL: the first of these further out.
ASKERS = {
    "headend/bus.py": "bus",
    "headend/intake.py": "intake",
    "headend/recharge_desk.py": "recharge desk",
    "headend/tending.py": "tending",
    "adapters/vault/": "vault",
    "api/": "REST answers",
}


T = TypeVar("T")
Task: TypeAlias = asyncio.Task[Any]


class Sampler:
    """Counts samples by room, and what the database is asked."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rooms: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._parents: WeakKeyDictionary[Task, Task] = WeakKeyDictionary()
        self._running = False

    def install(self) -> None:
        """Wait for the signals; count what the database is asked."""
        signal.signal(signal.SIGUSR1, self._start)
        signal.signal(signal.SIGUSR2, self._stop)
        signal.signal(signal.SIGPROF, self._sample)
        event.listen(Engine, "begin", lambda _: self._count("transactions"))
        event.listen(Engine, "commit", lambda _: self._count("commits"))
        event.listen(Engine, "before_cursor_execute", lambda *_: self._count("statements"))

    def _count(self, what: str) -> None:
        if self._running:
            self._asked[what] += 1

    def _start(self, number: int, frame: FrameType | None) -> None:
        self._running = True
        asyncio.get_running_loop().set_task_factory(self._new_task)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._running = False
        asyncio.get_running_loop().set_task_factory(None)
        told = {"rooms": self._rooms, "asked": self._asked}
        whole = self._file.with_suffix(".part")
        whole.write_text(json.dumps(told))
        whole.rename(self._file)

    def _new_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, T] | Generator[Any, None, T],
        /,
        **more: Any,
    ) -> asyncio.Task[T]:
        """A task that remembers who made it: statements run in tasks of their own."""
        assert isinstance(coroutine, Coroutine)
        task = asyncio.Task(coroutine, loop=loop, **more)
        if (maker := asyncio.current_task(loop)) is not None:
            self._parents[task] = maker
        return task

    def _sample(self, number: int, frame: FrameType | None) -> None:
        self._rooms[self._room(frame)] += 1

    def _room(self, frame: FrameType | None) -> str:
        """Where this stack works: the innermost room, and for SQL also who asked."""
        names = list(_running_names(frame))
        room = next((room for name in names if (room := _room_of(name))), None)
        if room is None:
            return f"{SQL}, its thread" if _sql_thread_works() else LOOP
        if room != SQL:
            return room
        return f"{SQL}, {self._asker(names)}"

    def _asker(self, names: list[str]) -> str:
        task = asyncio.current_task()
        while True:
            for name in names:
                for path, who in ASKERS.items():
                    if name.startswith(path):
                        return who
            task = self._parents.get(task) if task is not None else None
            if task is None:
                return "somebody"
            names = list(_waiting_names(task))


def _running_names(frame: FrameType | None) -> Iterator[str]:
    """Files from the innermost out to the loop, through the greenlets that run SQLAlchemy."""
    here: greenlet.greenlet | None = greenlet.getcurrent()
    while True:
        while frame is not None:
            if frame.f_code.co_name == TURN:
                return
            yield _short(frame.f_code.co_filename)
            frame = frame.f_back
        here = here.parent if here is not None else None
        if here is None:
            return
        frame = here.gr_frame


def _waiting_names(task: Task) -> Iterator[str]:
    """Files of the coroutines of a task that waits, from the innermost out."""
    chain: list[str] = []
    coroutine: object = task.get_coro()
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        chain.append(_short(frame.f_code.co_filename))
        coroutine = getattr(coroutine, "cr_await", None)
    yield from reversed(chain)


def _short(path: str) -> str:
    return path.removeprefix(ROOT) if SITE not in path else path.rpartition(SITE)[2]


def _room_of(name: str) -> str | None:
    library = LIBRARIES.get(name.partition("/")[0])
    return library or next((room for path, room in OURS.items() if name.startswith(path)), None)


def _sql_thread_works() -> bool:
    """A thread of the database runs a statement, or waits for the disk."""
    main = threading.main_thread().ident
    others = (frame for ident, frame in sys._current_frames().items() if ident != main)
    return any(frame.f_code.co_filename.endswith("sqlite_connection.py") for frame in others)


if __name__ == "__main__":
    Sampler(Path(sys.argv[1])).install()
    app(sys.argv[2:])
