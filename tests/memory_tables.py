"""Tables in memory with ordered indexes, and transactions that keep their changes to themselves.

A change lives in its transaction until the commit writes it down, so that a rollback is nothing
and a reader sees only what was committed. No threads, no sockets, no chance.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Hashable, Iterator
from heapq import merge
from itertools import count, islice
from operator import itemgetter
from typing import Any, Generic, TypeAlias, TypeVar

FIRST, SECOND = itemgetter(0), itemgetter(1)
K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
# Where a row stands in an index: its group, and its place in it (unique, sortable); or nowhere.
Place: TypeAlias = "tuple[Hashable, tuple[Any, ...]] | None"
Placing: TypeAlias = "Callable[[Any], Place]"


class Table(Generic[K, R]):
    """Committed rows by key, and in the order of each index."""

    def __init__(self, **indexes: Placing) -> None:
        self.rows: dict[K, R] = {}
        self.indexes = indexes
        self.count = count(1).__next__
        self._places: dict[str, dict[Hashable, list[tuple[tuple[Any, ...], K]]]] = {
            name: {} for name in indexes
        }

    def group(self, index: str, group: Hashable) -> list[tuple[tuple[Any, ...], K]]:
        """Places and keys of one group, in order."""
        return self._places[index].get(group, [])

    def put(self, key: K, row: R | None) -> None:
        """Write a row, or none in its place."""
        before = self.rows.pop(key, None)
        if row is not None:
            self.rows[key] = row
        for name, placing in self.indexes.items():
            old = None if before is None else placing(before)
            new = None if row is None else placing(row)
            if old != new:
                self._move(name, key, old, new)

    def _move(self, name: str, key: K, old: Place, new: Place) -> None:
        groups = self._places[name]
        if old is not None:
            entries = groups[old[0]]
            del entries[bisect_left(entries, (old[1], key))]
        if new is not None:
            insort(groups.setdefault(new[0], []), (new[1], key))


class View(Generic[K, R]):
    """A table as one transaction sees it: committed rows under its own changes."""

    def __init__(self, table: Table[K, R], *, reads_only: bool = False) -> None:
        self._table = table
        self._reads_only = reads_only
        self._changes: dict[K, R | None] = {}

    def get(self, key: K) -> R | None:
        if key in self._changes:
            return self._changes[key]
        return self._table.rows.get(key)

    def put(self, key: K, row: R | None) -> None:
        assert not self._reads_only, "look is for reading only"
        self._changes[key] = row

    def next_number(self) -> int:
        """A number that no row of this table has as its key."""
        return self._table.count()

    def walk(
        self,
        index: str,
        group: Hashable,
        *,
        newest_first: bool = False,
        beyond: tuple[Any, ...] | None = None,
    ) -> Iterator[R]:
        """The rows of a group in order, either way, strictly beyond a place if one is given."""
        committed = self._committed(index, group, newest_first, beyond)
        rows, changes = self._table.rows, self._changes
        if not changes:
            return map(rows.__getitem__, map(SECOND, committed))
        changed = self._changed(index, group, newest_first, beyond)
        untouched = ((place, rows[key]) for place, key in committed if key not in changes)
        if not changed:
            return map(SECOND, untouched)
        return map(SECOND, merge(untouched, changed, key=FIRST, reverse=newest_first))

    def first(self, index: str, group: Hashable) -> R | None:
        return next(self.walk(index, group), None)

    def write_down(self) -> None:
        """Commit."""
        for key, row in self._changes.items():
            self._table.put(key, row)
        self._changes.clear()

    def _committed(
        self, index: str, group: Hashable, newest_first: bool, beyond: tuple[Any, ...] | None
    ) -> Iterator[tuple[tuple[Any, ...], K]]:
        entries = self._table.group(index, group)
        if beyond is None:
            return reversed(entries) if newest_first else iter(entries)
        places = _Places(entries)
        if newest_first:
            return islice(reversed(entries), len(entries) - bisect_left(places, beyond), None)
        return islice(entries, bisect_right(places, beyond), None)

    def _changed(
        self, index: str, group: Hashable, newest_first: bool, beyond: tuple[Any, ...] | None
    ) -> list[tuple[tuple[Any, ...], R]]:
        placing = self._table.indexes[index]
        found = []
        for row in self._changes.values():
            place = None if row is None else placing(row)
            if place is None or row is None or place[0] != group:
                continue
            if beyond is None or (place[1] < beyond if newest_first else place[1] > beyond):
                found.append((place[1], row))
        return sorted(found, key=FIRST, reverse=newest_first)


class _Places:
    """The places of a group as bisect wants them."""

    def __init__(self, entries: list[tuple[tuple[Any, ...], Any]]) -> None:
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, at: int) -> tuple[Any, ...]:
        return self._entries[at][0]
