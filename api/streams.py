"""Streams: the outbox as server-sent events, to as many readers at once as this process can bear.

A stream reads pages by cursor, so it holds at most one page, however slow its reader; and it looks
again when the outbox was put in order in this process, else every second.
"""

import asyncio
import json
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta

from fastapi.sse import format_sse_event

from api.problems import TooBusy
from api.shares import Shares
from headend.cloud_events import cloud_event
from headend.errors import StoreDown
from headend.meters import TenantId
from headend.outbox import Announced, Bell, Span, StreamFilter
from headend.store import Store
from headend.webhook_refusals import CursorGone

MOST_STREAMS = 50
MOST_OF_KEY = 5
PAGE = 100
LOOK_EVERY = timedelta(seconds=1)
HEARTBEAT_S = 15.0
RETRY_MS = 2000


class Streams:
    """The open streams of this process."""

    def __init__(
        self,
        store: Store,
        ordered: Bell,
        *,
        source: str,
        most: int = MOST_STREAMS,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._store = store
        self._ordered = ordered
        self._source = source
        self._shares = Shares(
            "streams", most=most, most_of_key=MOST_OF_KEY, instead="page through /v1/events instead"
        )
        self._heartbeat_s = heartbeat_s
        self._ended = False

    @property
    def open(self) -> int:
        """How many streams are open in this process."""
        return self._shares.held

    def end(self) -> None:
        """Let every stream end now, and no new one begin: the process stops."""
        self._ended = True
        self._ordered.ring()

    async def start_at(self, cursor: int | None) -> int:
        """Where a stream begins that resumes after `cursor`, or now. Raises CursorGone."""
        async with self._store.look() as tx:
            span = await tx.outbox.span()
        if cursor is None:
            return span.newest
        require_kept(cursor, span)
        return cursor

    def read(
        self, tenant: TenantId, cursor: int, where: StreamFilter, *, key: str
    ) -> AsyncIterator[bytes]:
        """The frames of one stream; raises TooBusy or TooManyOfKey when there are too many.

        It ends within a heartbeat after its API key was revoked.
        """
        if self._ended:
            raise TooBusy("this process stops; come back in a moment")
        give_back = self._shares.take(key)
        frames = self._frames(tenant, cursor, where, key, give_back=give_back)
        # A reader that left before the first frame never begins it.
        weakref.finalize(frames, give_back).atexit = False
        return frames

    async def _frames(
        self,
        tenant: TenantId,
        cursor: int,
        where: StreamFilter,
        key: str,
        *,
        give_back: Callable[[], None],
    ) -> AsyncIterator[bytes]:
        with ExitStack() as held:
            held.callback(give_back)
            clock = asyncio.get_running_loop().time
            yield format_sse_event(retry=RETRY_MS, comment="open", id=str(cursor))
            told_s = allowed_s = clock()
            while not self._ended:
                try:
                    if clock() - allowed_s >= self._heartbeat_s:
                        if await self._revoked(key):
                            return
                        allowed_s = clock()
                    page, span = await self._page(tenant, cursor, where)
                except StoreDown:
                    return  # the reader comes back, and goes on where it was
                if cursor < span.pruned:
                    yield _reset()
                    return
                for one in page:
                    yield self._frame(one)
                    told_s = clock()
                # What the filter left out is done with: a resume need not go back before it.
                cursor = scanned_to(cursor, page, span, full=len(page) == PAGE)
                if len(page) < PAGE:
                    await self._ordered.wait(LOOK_EVERY)
                if clock() - told_s >= self._heartbeat_s:
                    yield format_sse_event(comment="alive", id=str(cursor))
                    told_s = clock()

    async def _revoked(self, key: str) -> bool:
        async with self._store.look() as tx:
            found = await tx.api_keys.find(key)
        return found is None or found.revoked_at is not None

    async def _page(
        self, tenant: TenantId, cursor: int, where: StreamFilter
    ) -> tuple[list[Announced], Span]:
        """What is up to `span` is in the page, for it is read later."""
        async with self._store.look() as tx:
            span = await tx.outbox.span()
            if span.newest <= cursor:
                return [], span
            return list(await tx.outbox.after(tenant, cursor, where, limit=PAGE)), span

    def _frame(self, one: Announced) -> bytes:
        text = json.dumps(cloud_event(one, self._source), ensure_ascii=False)
        return format_sse_event(id=str(one.cursor), data_str=text)


def scanned_to(cursor: int, page: Sequence[Announced], span: Span, *, full: bool) -> int:
    """Up to where a reader has seen everything; `span` was read before the page."""
    last = page[-1].cursor if page else cursor
    return last if full else max(last, span.newest)


def require_kept(cursor: int, span: Span) -> None:
    """Raises CursorGone when what follows a cursor may have been pruned, or was never here."""
    if cursor < span.pruned:
        raise CursorGone(
            "events after it are kept no longer: read the resources again, then go on without it",
            field="after",
        )
    if cursor > span.newest:
        raise CursorGone("it is of another database: read the resources again", field="after")


def _reset() -> bytes:
    """Told to a reader that fell behind what is kept."""
    told = {"detail": "events were missed: read the resources again, then open a new stream"}
    return format_sse_event(event="reset", data_str=json.dumps(told))
