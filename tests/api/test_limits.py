"""Bounds on requests: time, number; and writes that outlive a request that was cut."""

import asyncio

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from api import limits
from api.limits import RequestLimits
from api.writes import Writes
from tests.api.office import slug


class Slow:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.cut = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cut += 1
            raise
        await PlainTextResponse("done")(scope, receive, send)


def client(app: RequestLimits) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://x")


async def test_an_answer_that_takes_too_long_is_cut():
    slow = Slow()
    async with client(RequestLimits(slow, timeout_s=0.02)) as caller:
        answer = await caller.get("/")
    assert answer.status_code == 503
    assert slug(answer) == "too-slow"
    assert answer.headers["Retry-After"]
    assert slow.cut == 1


async def test_too_many_requests_at_once_are_turned_away(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "AT_ONCE", 2)
    slow = Slow()
    async with client(RequestLimits(slow)) as caller:
        inside = [asyncio.create_task(caller.get("/")) for _ in range(2)]
        await asyncio.sleep(0.02)
        answer = await caller.get("/")
        assert answer.status_code == 503
        assert slug(answer) == "too-busy"
        slow.go.set()
        assert [(await one).text for one in inside] == ["done", "done"]
        assert (await caller.get("/")).text == "done"


async def test_a_write_goes_on_when_its_request_is_gone():
    writes, done = Writes(), asyncio.Event()
    go = asyncio.Event()

    async def work() -> int:
        await go.wait()
        done.set()
        return 7

    asking = asyncio.create_task(writes.finish(work()))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    assert writes.running == 1
    go.set()
    await writes.settle()
    assert done.is_set()
    assert writes.running == 0


async def test_a_write_tells_its_result_or_its_error():
    async def good() -> int:
        return 7

    async def bad() -> int:
        raise LookupError("no")

    writes = Writes()
    assert await writes.finish(good()) == 7
    with pytest.raises(LookupError):
        await writes.finish(bad())


async def test_the_end_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.writes.SETTLE_S", 0.02)
    writes = Writes()
    asking = asyncio.create_task(writes.finish(asyncio.sleep(3600)))
    await asyncio.sleep(0)
    await writes.settle()
    assert writes.running == 0
    with pytest.raises(asyncio.CancelledError):
        await asking
