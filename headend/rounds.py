"""Rounds: work is looked for every second, and each piece is done by itself, so many at once.

A piece that takes long holds up no other: a round brings as many as there is room for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from headend.errors import Stale, StoreDown

T = TypeVar("T")
LOOK_EVERY_S = 1.0
# After a round that found work there is probably more; with every hand full one will be free soon.
LOOK_SOON_S = 0.05


class Rounds(Generic[T]):
    """Finds pieces of work and does them, at most `at_once` of them.

    `find` claims up to so many, in a commit of its own; `act` does one. Where either meets Stale
    or StoreDown the claim lapses, and the piece is found again.
    """

    def __init__(
        self,
        find: Callable[[int], Awaitable[Sequence[T]]],
        act: Callable[[T], Awaitable[None]],
        *,
        at_once: int,
    ) -> None:
        self._find = find
        self._act = act
        self._free = at_once

    async def serve(self) -> None:
        """Go round until cancelled; a programming error ends it."""
        async with asyncio.TaskGroup() as group:
            while True:
                begun = await self._begin(group)
                soon = begun or self._free <= 0
                await asyncio.sleep(LOOK_SOON_S if soon else LOOK_EVERY_S)

    async def once(self) -> int:
        """One round to its end; how many pieces were found."""
        async with asyncio.TaskGroup() as group:
            return await self._begin(group)

    async def _begin(self, group: asyncio.TaskGroup) -> int:
        pieces: Sequence[T] = ()
        if self._free > 0:
            with suppress(Stale, StoreDown):
                pieces = await self._find(self._free)
        for piece in pieces:
            self._free -= 1
            group.create_task(self._one(piece))
        return len(pieces)

    async def _one(self, piece: T) -> None:
        try:
            with suppress(Stale, StoreDown):
                await self._act(piece)
        finally:
            self._free += 1
