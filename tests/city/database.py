"""The database as processes reach it: over a network, one writer at a time, and not always there.

What a transaction has written counts from its commit on; a commit may be lost on the way there or
on the way back, which the process cannot tell apart (StoreDown). Whoever dies or hangs with a
transaction open loses it.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from headend.errors import StoreDown
from tests.city.lives import CityLoop, Life
from tests.memory_store import MemoryStore, MemoryTransaction
from tests.memory_tables import Table

# The server ends a transaction whose client hangs (adapters/store/engine.py).
IDLE_IN_TRANSACTION_S = 30.0
REFUSED_S = 0.2

# Table, key, row before, row after.
Change: TypeAlias = "tuple[str, Any, Any, Any]"
Committed: TypeAlias = "Callable[[Life, Sequence[Change]], None]"
WATCHED = ("deliveries", "recharges", "tokens", "outbox")


@dataclass
class Mischief:
    """What the database does to its clients; chances are of one commit."""

    down: bool = False
    slow_s: float = 0.0
    loses_answer: float = 0.0
    fails: float = 0.0


class Database(MemoryStore):
    """Everything that was committed. `mischief` is set from outside while it runs."""

    def __init__(
        self,
        loop: CityLoop,
        luck: random.Random,
        *,
        told: Callable[[str, str], None],
        committed: Committed,
    ) -> None:
        super().__init__()
        self.loop = loop
        self.luck = luck
        self.mischief = Mischief()
        self.turn = Turn(loop)
        self.told = told
        self._committed = committed

    @property
    def tables(self) -> Mapping[str, Table[Any, Any]]:
        """What is committed."""
        return self._tables

    def client(self, life: Life) -> "Client":
        """The store as one process sees it."""
        life.at_death(lambda: self.turn.drop(life))
        return Client(self, life)

    def hangs(self, life: Life) -> None:
        """A process hangs; if it does so with a transaction open, that will be lost."""

        def lost() -> None:
            if not life.running:
                self.turn.drop(life)

        self.loop.later(IDLE_IN_TRANSACTION_S, lost)

    def write(self, tx: "Watched", life: Life) -> None:
        """The commit has reached the database."""
        if "outbox" in tx.__dict__:
            tx.outbox.write_down()
        changes = [
            (name, key, view._table.rows.get(key), row)
            for name, view in tx.named()
            for key, row in view._changes.items()
        ]
        tx.write_down()
        self._committed(life, changes)


class Turn:
    """Who writes: one transaction, the others wait in order."""

    def __init__(self, loop: CityLoop) -> None:
        self.holder: Hold | None = None
        self._loop = loop
        self._waiting: deque[tuple[Hold, asyncio.Future[None]]] = deque()

    async def take(self, life: Life) -> "Hold":
        """Wait for one's turn."""
        hold = Hold(life)
        if self.holder is None:
            self.holder = hold
            return hold
        place = (hold, self._loop.create_future())
        self._waiting.append(place)
        try:
            await place[1]
        except BaseException:
            if self.holder is hold:
                self.give_back(hold)
            elif place in self._waiting:
                self._waiting.remove(place)
            raise
        return hold

    def give_back(self, hold: "Hold") -> None:
        """Let the next one write; harmless when it is lost already."""
        if self.holder is not hold:
            return
        self.holder = None
        while self._waiting:
            following, place = self._waiting.popleft()
            if not place.done():
                self.holder = following
                place.set_result(None)
                return

    def drop(self, life: Life) -> None:
        """The connection of a process is gone: so are its transaction and its place.

        One that only hung hears of it once it goes on; one without an answer would wait for ever.
        """
        gone = [place for hold, place in self._waiting if hold.life is life and not place.done()]
        self._waiting = deque(place for place in self._waiting if place[0].life is not life)
        for place in gone if not life.dead else ():
            place.set_exception(StoreDown("the server has ended the transaction"))
        if self.holder is not None and self.holder.life is life:
            self.give_back(self.holder)


@dataclass(eq=False)
class Hold:
    """One transaction's turn."""

    life: Life


class Client:
    """Satisfies `headend.store.Store` for one process."""

    def __init__(self, database: Database, life: Life) -> None:
        self._database = database
        self._life = life

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[MemoryTransaction]:
        """A transaction that writes."""
        database, life = self._database, self._life
        await self._travel(takes=0.3)
        hold = await database.turn.take(life)
        try:
            life.require()
            tx = Watched(database.tables)
            yield tx
            await self._commit(tx, hold)
        finally:
            database.turn.give_back(hold)
        await self._travel(takes=0.5, answers=False)

    @asynccontextmanager
    async def look(self) -> AsyncIterator[MemoryTransaction]:
        """A transaction that reads."""
        await self._travel()
        yield Watched(self._database.tables, reads_only=True)
        self._life.require()

    async def _commit(self, tx: "Watched", hold: Hold) -> None:
        database, mischief = self._database, self._database.mischief
        self._life.require()
        await self._travel(takes=1.0)
        if database.turn.holder is not hold:
            raise StoreDown("the server has ended the transaction")
        luck = database.luck.random()
        if luck < mischief.fails:
            database.told("commit_failed", "a commit was lost on its way to the database")
            raise StoreDown("the connection broke")
        database.write(tx, self._life)
        if luck < mischief.fails + mischief.loses_answer:
            database.turn.give_back(hold)
            database.told("commit_lost", "a commit is done, its answer was lost")
            await asyncio.sleep(REFUSED_S)
            raise StoreDown("the connection broke")

    async def _travel(self, *, takes: float = 0.05, answers: bool = True) -> None:
        """The way there, or back; mostly it takes no time, which spares ours."""
        self._life.require()
        database = self._database
        if database.mischief.down and answers:
            await asyncio.sleep(REFUSED_S)
            raise StoreDown("cannot reach the database")
        slow_s = database.mischief.slow_s
        if slow_s or database.luck.random() < takes:
            await asyncio.sleep(0.001 + slow_s * database.luck.random())
            self._life.require()


class Watched(MemoryTransaction):
    """A transaction whose changes can be told apart by table."""

    def __init__(self, tables: Mapping[str, Table[Any, Any]], *, reads_only: bool = False) -> None:
        super().__init__(tables, reads_only=reads_only)
        self._by_name: dict[str, Any] = {}

    def named(self) -> "list[tuple[str, Any]]":
        return [(name, self._by_name[name]) for name in WATCHED if name in self._by_name]

    def _view(self, name: str) -> Any:
        view = super()._view(name)
        self._by_name[name] = view
        return view
