"""Who waits for the result of which command. Decides nothing about what a result means."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from adapters.mqtt.messages import Result
from headend.errors import NoAnswer, NotSent
from headend.meters import Drn, TenantId

# Tenant, gateway, meter, command id: a result counts only from where the command went.
Place: TypeAlias = tuple[TenantId, str, Drn, str]


class Waiting:
    """The commands under way; as many as there are open sessions."""

    def __init__(self) -> None:
        self._awaited: dict[Place, Awaited] = {}

    @contextmanager
    def expect(self, place: Place) -> Iterator["Awaited"]:
        """Wait for a result within the block; raises NotSent when somebody already does."""
        if place in self._awaited:
            raise NotSent("the same command is under way already")
        self._awaited[place] = awaited = Awaited()
        try:
            yield awaited
        finally:
            del self._awaited[place]

    def hear(self, place: Place, result: Result) -> None:
        """Wake who waits; nobody waits for a late result."""
        awaited = self._awaited.get(place)
        if awaited is not None:
            awaited.hear(result)


class Awaited:
    """One result that is waited for."""

    def __init__(self) -> None:
        self._first = asyncio.Event()
        self._last: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def hear(self, result: Result) -> None:
        self._first.set()
        if result.state.last and not self._last.done():
            self._last.set_result(result)

    async def result(self, *, silence_s: float, answer_s: float) -> Result:
        """The last word on the command; raises NoAnswer when the first or the last stays away."""
        try:
            async with asyncio.timeout(answer_s):
                await self._first_word(silence_s)
                return await self._last
        except TimeoutError as exc:
            raise NoAnswer("the gateway has the command, but no result came") from exc

    async def _first_word(self, silence_s: float) -> None:
        try:
            async with asyncio.timeout(silence_s):
                await self._first.wait()
        except TimeoutError as exc:
            raise NoAnswer("the gateway did not answer") from exc
