"""The outbox: what the back-office is told, written in the transaction that changes the state.

An announcement has a number in the sequence of its meter, gap-free and rising, which it gets as
its transaction commits; and later, once what was committed before it is certain, a cursor in the
one stream that webhooks and streams read. What may be said stands in `occurrences`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Protocol

from headend.meters import Drn, TenantId
from headend.occurrences import FAMILIES, Occurrence
from headend.recharges import Json

MAX_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One thing that happened. `drn` is None for what concerns no single meter.

    `data` has exactly the fields of its family, as JSON, and never digits or secrets.
    """

    tenant: TenantId
    drn: Drn | None
    occurrence: Occurrence
    at: datetime
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Announced:
    """An announcement in the stream. `sequence` counts those of its meter (or tenant) from 1."""

    cursor: int
    sequence: int
    announcement: Announcement

    @property
    def id(self) -> str:
        """Unique within the tenant, and the same however often it is told."""
        return f"{self.announcement.drn or 'tenant'}-{self.sequence}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFilter:
    """All that is given must hold; `types` as in `wanted`, `until` is excluded.

    `sequence` finds one of a meter, or of the tenant (`drn` None).
    """

    drn: Drn | None = None
    types: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """The last cursor given, and the last one that was pruned: what is not above it is gone."""

    newest: int
    pruned: int


class Outbox(Protocol):
    """What was announced. Cursors are given by one at a time, so that no reader skips a row."""

    def add(self, announcements: Sequence[Announcement]) -> None:
        """Kept until the transaction commits; then written together, with their sequences."""

    async def order(self, *, now: datetime, give_up_at: datetime, limit: int) -> int:
        """Give cursors to committed announcements, and post them to the webhooks that want them.

        Announcements of one meter keep their sequence. Posted at once, until `give_up_at`; how many
        got a cursor.
        """

    async def unordered(self) -> bool:
        """Whether an announcement waits for its cursor."""

    async def after(
        self, tenant: TenantId, cursor: int, where: StreamFilter, *, limit: int
    ) -> Sequence[Announced]:
        """Those with a higher cursor, in the order of the stream."""

    async def span(self) -> Span: ...

    async def prune(self, *, before: datetime, limit: int) -> int:
        """Remove announcements older than that, but none that is still to be posted or replayed."""


class TellsBackoffice(Protocol):
    """A transaction, as far as the outbox is concerned."""

    @property
    def outbox(self) -> Outbox: ...


async def announce(tx: TellsBackoffice, *announcements: Announcement) -> None:
    """Tell the back-office in the transaction that makes it true; with none it does nothing."""
    for one in announcements:
        fields = FAMILIES[one.occurrence.family].fields
        assert one.data.keys() == fields.keys(), f"{one.occurrence}: {one.data.keys()}"
    if announcements:
        tx.outbox.add(announcements)


def wanted(occurrence: Occurrence, types: Sequence[str]) -> bool:
    """Whether a filter lets it pass: empty, its type, or a family as `headend.recharge.*`."""
    if not types:
        return True
    family = occurrence.type.split(".")[:2]
    return occurrence.type in types or ".".join([*family, "*"]) in types


@cache
def known_types() -> frozenset[str]:
    """What a filter may name: every type, and every family."""
    types = {one.type for one in Occurrence}
    return frozenset(types | {f"headend.{family}.*" for family in FAMILIES})


class Bell:
    """Rings within this process when there may be something new; others look every second."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait now."""
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()

    async def wait(self, longest: timedelta) -> None:
        """Until it rings, or so long."""
        rung = self._rung
        try:
            async with asyncio.timeout(longest.total_seconds()):
                await rung.wait()
        except TimeoutError:
            pass
