"""Callers of the bench: they post recharges over HTTP and see when the meter has confirmed each.

A confirmation is seen in the database, by one statement for all every 15 ms, so that asking costs
the head-end nothing; times to it are that much too long at most.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

import httpx2
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.store.engine import open_engines
from adapters.store.tables import recharges
from headend.recharges import UNLIT_STATES, RechargeState
from tests.servers.headend import HeadEndProcess

LOOK_S = 0.015
CONFIRMED_WITHIN_S = 30.0
REQUEST_TIMEOUT_S = 30.0
CONFIRMED = sorted(UNLIT_STATES | {RechargeState.LIT})


@dataclass(slots=True)
class Times:
    """Seconds from each post to its answer and to the confirmation, and of the whole run.

    `late` counts those that were not confirmed while callers waited.
    """

    answered_s: list[float] = field(default_factory=list)
    confirmed_s: list[float] = field(default_factory=list)
    late: int = 0
    elapsed_s: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.confirmed_s) / self.elapsed_s


class Callers:
    """Sell to the meters in turn; at most one recharge a meter is under way.

    `until` are the states that a recharge counts as confirmed in, `name` begins its id.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        connection: AsyncConnection,
        drns: Sequence[str],
        *,
        until: Sequence[str] = CONFIRMED,
        name: str = "bench",
    ) -> None:
        self._client = client
        self._connection = connection
        self._drns = drns
        self._until = until
        self._name = name.strip().lower()
        self._numbers = count()
        self._awaited: dict[str, asyncio.Future[None]] = {}

    async def closed(self, callers: int, seconds: float) -> Times:
        """So many callers, each with its next recharge as soon as its last is confirmed."""
        times, began = Times(), time.perf_counter()

        async def call() -> None:
            while time.perf_counter() - began < seconds:
                await self._recharge(times)

        async with asyncio.TaskGroup() as group:
            group.create_task(self._recharge(times))  # one at least, however short the run
            for _ in range(min(callers, len(self._drns))):
                group.create_task(call())
        times.elapsed_s = time.perf_counter() - began
        return times

    async def paced(self, per_second: float, seconds: float) -> Times:
        """A recharge every so often, whatever became of those before."""
        times, began = Times(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(max(1, int(per_second * seconds))):
                await asyncio.sleep(began + number / per_second - time.perf_counter())
                if len(self._awaited) < len(self._drns):
                    group.create_task(self._recharge(times))
        times.elapsed_s = time.perf_counter() - began
        return times

    async def _recharge(self, times: Times) -> None:
        number = next(self._numbers)
        name = f"{self._name}-{self._client.base_url.port}-{number}"
        order = {
            "id": name,
            "meter": self._drns[number % len(self._drns)],
            "amount": {"kind": "units", "value": "10", "unit": "kWh"},
            "reference": f"receipt {number}",
        }
        confirmed = self._awaited[name] = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        answer = await self._client.post("/v1/recharges", json=order)
        times.answered_s.append(time.perf_counter() - began)
        assert answer.status_code == 201, answer.text
        try:
            async with asyncio.timeout(CONFIRMED_WITHIN_S):
                await confirmed
        except TimeoutError:
            del self._awaited[name]
            times.late += 1
            return
        del self._awaited[name]
        times.confirmed_s.append(time.perf_counter() - began)

    async def watch(self) -> None:
        """See who is confirmed, until cancelled."""
        ident, created_at = recharges.c.id, recharges.c.created_at
        while True:
            if self._awaited:
                # No recharge is older than callers wait for it.
                since = datetime.now(UTC) - timedelta(seconds=CONFIRMED_WITHIN_S)
                newest = created_at.desc()
                told = select(ident).where(recharges.c.state.in_(self._until), created_at > since)
                rows = await self._connection.execute(
                    told.order_by(newest).limit(2 * len(self._drns))
                )
                for name in rows.scalars():
                    awaited = self._awaited.get(name)
                    if awaited is not None and not awaited.done():
                        awaited.set_result(None)
                await self._connection.rollback()
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def callers_of(
    head_end: HeadEndProcess,
    drns: Sequence[str],
    *,
    until: Sequence[str] = CONFIRMED,
    name: str = "bench",
) -> AsyncIterator[Callers]:
    """Callers with open connections; see `Callers`."""
    engines = open_engines(head_end.database_url)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=len(drns))
    client = httpx2.AsyncClient(
        base_url=head_end.url,
        headers=dict(head_end.headers),
        timeout=REQUEST_TIMEOUT_S,
        limits=limits,
    )
    try:
        async with client, engines.reader.connect() as connection:
            callers = Callers(client, connection, drns, until=until, name=name)
            watching = asyncio.create_task(callers.watch())
            try:
                yield callers
            finally:
                watching.cancel()
                await asyncio.wait([watching])
    finally:
        await engines.aclose()
