"""Pages: a cursor is the sort key of the last item, so that inserts move nothing.

The sort key of a listing ends in something unique. On the wire it is base64 of a JSON list, with
times as microseconds; callers are told nothing of that.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar

from sqlalchemy import Column, ColumnElement, Table, literal, select, tuple_

from adapters.store.columns import microseconds_of, moment_of
from adapters.store.statements import SqlRow, Statements
from headend.pages import Cursor, Page
from headend.refusals import MalformedOrder

T = TypeVar("T")
Key: TypeAlias = "tuple[datetime | int | str, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[T]):
    """How one noun is listed: its sort key in the table and in the record, both in one order.

    `kinds` are the types of the parts of the key.
    """

    table: Table
    columns: tuple[Column[object], ...]
    kinds: tuple[type, ...]
    key: Callable[[T], Key]
    record: Callable[[SqlRow], T]
    newest_first: bool = False

    async def page(self, run: Statements, cursor: Cursor, *where: ColumnElement[bool]) -> Page[T]:
        """One page of the rows for which everything holds; raises MalformedOrder."""
        statement = select(self.table).where(*where)
        if cursor.after is not None:
            statement = statement.where(self._beyond(read_cursor(cursor.after, self.kinds)))
        order = [column.desc() if self.newest_first else column for column in self.columns]
        rows = await run.rows(statement.order_by(*order).limit(cursor.limit + 1), {})
        items = [self.record(row) for row in rows[: cursor.limit]]
        more = len(rows) > cursor.limit
        return Page(items, write_cursor(self.key(items[-1])) if more else None)

    def _beyond(self, key: Key) -> ColumnElement[bool]:
        here = tuple_(*self.columns)
        there = tuple_(
            *(literal(part, column.type) for part, column in zip(key, self.columns, strict=True))
        )
        return here < there if self.newest_first else here > there


def write_cursor(key: Key) -> str:
    """The opaque text of a sort key."""
    plain = [microseconds_of(part) if isinstance(part, datetime) else part for part in key]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def read_cursor(text: str, kinds: Sequence[type]) -> Key:
    """The sort key again; `kinds` are the types of its parts. Raises MalformedOrder."""
    try:
        padded = text + "=" * (-len(text) % 4)
        plain = json.loads(base64.b64decode(padded, altchars="-_", validate=True))
        return _typed(plain, kinds)
    except (binascii.Error, ValueError, TypeError, OverflowError) as error:
        raise MalformedOrder(
            "this cursor cannot be read: take `next` of the page before", field="cursor"
        ) from error


def _typed(plain: object, kinds: Sequence[type]) -> Key:
    if not isinstance(plain, list) or len(plain) != len(kinds):
        raise ValueError("another listing's cursor")
    return tuple(_part(part, kind) for part, kind in zip(plain, kinds, strict=True))


def _part(part: object, kind: type) -> datetime | int | str:
    if kind is datetime and type(part) is int:
        return moment_of(part)
    if type(part) is not kind or not isinstance(part, int | str):
        raise ValueError("another listing's cursor")
    return part
