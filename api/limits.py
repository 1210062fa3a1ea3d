"""Bounds on every request: size of its body, time to its answer, how many at once.

Pure ASGI: nothing here cancels a handler except the time limit, and money is written in tasks that
outlive their request (`writes`).
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import BodyTooLarge, TooBusy, TooSlow, UnsupportedMediaType, problem_answer

MAX_BODY_BYTES = 1024 * 1024
TIMEOUT_S = 30.0
AT_ONCE = 500
# Gateways send what they send, and their receipts are read as they come.
FORMS_TOO = "/receipts/"
# A file, whose route bounds it by itself while it reads.
READ_BY_THEIR_ROUTE = frozenset({"/v1/jobs"})
# A stream tells something every 15 s; a reader that takes nothing for so long is gone.
STALLED_S = 60.0


class RequestLimits:
    """ASGI middleware: at most so many requests at once, each within its time."""

    def __init__(self, app: ASGIApp, *, timeout_s: float = TIMEOUT_S) -> None:
        self._app = app
        self._timeout_s = timeout_s
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._running >= AT_ONCE:
            busy = TooBusy("too many requests are being answered; try again in a moment")
            await problem_answer(busy)(scope, receive, send)
            return
        self._running += 1
        try:
            await self._within_time(scope, receive, send)
        finally:
            self._running -= 1

    async def _within_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = streams = False

        async def sending(message: Message) -> None:
            nonlocal started, streams
            started = True
            streams = streams or _begins_stream(message)
            await send(message)
            if streams:  # it may go on as long as its reader takes what it sends
                limit.reschedule(asyncio.get_running_loop().time() + STALLED_S)

        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                await self._app(scope, receive, sending)
        except TimeoutError:
            if streams and limit.expired():
                return
            if not limit.expired() or started:
                raise
            slow = TooSlow("what was begun goes on; ask again with the same id")
            await problem_answer(slow)(scope, receive, send)


def _begins_stream(message: Message) -> bool:
    """Whether an answer is one of server-sent events."""
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in message.get("headers", ())
    )


class JsonBody:
    """ASGI middleware: a body is JSON and of bounded size, whatever its length header says."""

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in READ_BY_THEIR_ROUTE:
            await self._app(scope, receive, send)
            return
        body = await self._read(receive)
        if body is None:
            large = BodyTooLarge(f"a body has at most {self._max_bytes} bytes")
            await problem_answer(large)(scope, receive, send)
            return
        if body and not (_is_json(scope) or scope["path"].startswith(FORMS_TOO)):
            wrong = UnsupportedMediaType("send it with Content-Type: application/json")
            await problem_answer(wrong)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body, or None when it is too large; a caller that left sends no more."""
        parts = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return bytes(parts)
            parts += message.get("body", b"")
            if len(parts) > self._max_bytes:
                return None
            if not message.get("more_body", False):
                return bytes(parts)


def _is_json(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind = bytes(value).partition(b";")[0].strip().lower()
            return kind == b"application/json" or kind.endswith(b"+json")
    return False


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body once, then what really comes (the caller leaving)."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
