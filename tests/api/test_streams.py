"""The stream and the list of events, from a head-end that serves on a real port."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from adapters.store.migrate import migrate
from api.streams import Streams
from headend.api_keys import Scope
from headend.outbox import StreamFilter
from tests.api.office import DRN, OTHER_DRN, RIVAL, TENANT, slug
from tests.api.serving_office import Running, a_running_head_end

LONG_AGO = timedelta(days=40)


@dataclass
class Message:
    """One server-sent event."""

    id: str | None = None
    event: str | None = None
    data: Any = None


@pytest.fixture(params=["sqlite", "postgres"])
async def running(request, tmp_path) -> AsyncIterator[Running]:
    more = {}
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        await migrate(url)
        more["database_url"] = url
    async with a_running_head_end(tmp_path, **more) as running:
        yield running


async def messages(response: httpx2.Response) -> AsyncIterator[Message]:
    """What an EventSource would see, heartbeats too (without data)."""
    message = Message()
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        match name:
            case "id":
                message.id = value
            case "event":
                message.event = value
            case "data":
                message.data = json.loads(value)
            case "" if not line:
                yield message
                message = Message()


async def next_of(heard: AsyncIterator[Message], *, within_s: float = 15) -> Message:
    """The next message with data."""
    async with asyncio.timeout(within_s):
        async for message in heard:
            if message.data is not None:
                return message
    raise AssertionError("the stream ended")


async def test_a_stream_tells_what_happens_and_resumes_where_it_broke_off(running):
    async with running.client() as client:
        async with client.stream("GET", "/v1/events/stream") as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            heard = messages(response)
            await running.say(DRN, OTHER_DRN)
            first = await next_of(heard)
            assert first.data["subject"] == DRN
            assert first.data["type"] == "headend.recharge.lit.v1"
        await running.say(DRN)
        await running.ordered(3)
        headers = {"Last-Event-ID": first.id or ""}
        async with client.stream("GET", "/v1/events/stream", headers=headers) as response:
            heard = messages(response)
            rest = [await next_of(heard), await next_of(heard)]
            assert [one.data["subject"] for one in rest] == [OTHER_DRN, DRN]
            await running.say(DRN)
            assert (await next_of(heard)).data["sequence"] == "000000000003"
        page = (await client.get("/v1/events")).json()
        assert page["items"][0] == first.data
        assert [one["id"] for one in page["items"]] == [
            f"{DRN}-1",
            f"{OTHER_DRN}-1",
            f"{DRN}-2",
            f"{DRN}-3",
        ]


async def test_a_stream_is_filtered_and_of_one_tenant(running):
    path = f"/v1/events/stream?meter={OTHER_DRN}&type=headend.recharge.*"
    async with running.client() as client, client.stream("GET", path) as response:
        heard = messages(response)
        await running.say(DRN)
        await running.say(OTHER_DRN, tenant=RIVAL)
        await running.say(OTHER_DRN)
        message = await next_of(heard)
    assert (message.data["subject"], message.data["source"]) == (OTHER_DRN, "urn:headend:city")


async def test_a_list_is_paged_to_its_end_and_goes_on_there(running):
    async with running.client() as client:
        empty = (await client.get("/v1/events")).json()
        assert empty == {"items": [], "after": 0, "more": False}
        await running.say(*[DRN] * 5, *[OTHER_DRN] * 2)
        await running.say(DRN, tenant=RIVAL)
        await running.ordered(8)
        seen, after, more = [], 0, True
        while more:
            page = (await client.get(f"/v1/events?after={after}&limit=3")).json()
            seen += [one["id"] for one in page["items"]]
            after, more = page["after"], page["more"]
        assert seen == [f"{DRN}-{n}" for n in range(1, 6)] + [f"{OTHER_DRN}-{n}" for n in (1, 2)]
        assert (await client.get(f"/v1/events?after={after}")).json()["items"] == []
        one = (await client.get(f"/v1/events?meter={OTHER_DRN}&limit=1")).json()
        assert [event["id"] for event in one["items"]] == [f"{OTHER_DRN}-1"]


async def test_a_cursor_of_long_ago_is_told_to_be_gone(running):
    long_ago = running.office.head_end.clock.now() - LONG_AGO
    await running.say(DRN, DRN, at=long_ago)
    await running.say(DRN)
    await running.ordered(3)
    await running.prune()
    async with running.client() as client:
        for path in ("/v1/events?after=1", "/v1/events/stream?after=1", "/v1/events?after=99"):
            answer = await client.get(path)
            assert (answer.status_code, slug(answer)) == (410, "cursor-gone"), path
        kept = (await client.get("/v1/events")).json()
        assert [one["sequence"] for one in kept["items"]] == ["000000000003"]
        headers = {"Last-Event-ID": "2"}
        async with client.stream("GET", "/v1/events/stream", headers=headers) as response:
            assert (await next_of(messages(response))).id == "3"
        for wrong in ("/v1/events?type=headend.none.v1", "/v1/events/stream?meter=123"):
            assert (await client.get(wrong)).status_code == 422
        answer = await client.get("/v1/events/stream", headers={"Last-Event-ID": "abc"})
        assert (answer.status_code, slug(answer)) == (422, "invalid-request")


async def test_a_heartbeat_moves_a_filtered_reader_on(tmp_path):
    async with a_running_head_end(tmp_path) as running:
        running.office.head_end.streams._heartbeat_s = 0.2
        path = f"/v1/events/stream?meter={OTHER_DRN}"
        async with running.client() as client, client.stream("GET", path) as response:
            heard = messages(response)
            await running.say(DRN)
            async with asyncio.timeout(15):
                async for message in heard:
                    assert message.data is None
                    if message.id == "1":
                        break


async def test_streams_are_bounded_and_a_reader_that_left_makes_room(tmp_path):
    async with a_running_head_end(tmp_path) as running:
        running.office.head_end.streams._shares._most = 2
        async with running.client() as client:
            async with (
                client.stream("GET", "/v1/events/stream") as one,
                client.stream("GET", "/v1/events/stream") as two,
            ):
                heard = [messages(one), messages(two)]
                for each in heard:
                    await anext(each)
                refused = await client.get("/v1/events/stream")
                assert (refused.status_code, slug(refused)) == (503, "too-busy")
                metrics = (await client.get("/metrics")).text
                assert "headend_event_streams 2.0" in metrics
            async with asyncio.timeout(15):
                while running.office.head_end.streams.open:
                    await asyncio.sleep(0.02)
            async with client.stream("GET", "/v1/events/stream") as three:
                assert three.status_code == 200


async def test_a_key_has_so_many_streams_and_leaves_room_for_others(tmp_path, monkeypatch):
    monkeypatch.setattr("api.streams.MOST_OF_KEY", 2)
    async with a_running_head_end(tmp_path) as running:
        other = await running.office.key(Scope.READ)
        async with (
            running.client() as client,
            running.client(other) as guest,
            AsyncExitStack() as s,
        ):
            opened = [client.stream("GET", "/v1/events/stream") for _ in range(5)]
            answers = await asyncio.gather(*(s.enter_async_context(one) for one in opened))
            refused = [one for one in answers if one.status_code != 200]
            assert len(refused) == 3  # although all came at one moment
            for one in refused:
                await one.aread()
            assert {(one.status_code, slug(one)) for one in refused} == {(429, "too-many-at-once")}
            assert int(refused[0].headers["Retry-After"]) < 60
            welcome = await s.enter_async_context(guest.stream("GET", "/v1/events/stream"))
            assert welcome.status_code == 200
        streams = running.office.head_end.streams
        async with asyncio.timeout(15):
            while streams.open:
                await asyncio.sleep(0.02)
        never_begun = streams.read(TENANT, 0, StreamFilter(), key="anybody")
        counts = [streams.open]
        del never_begun
        counts.append(streams.open)
        assert counts == [1, 0]


async def test_a_stop_ends_streams_at_once(tmp_path):
    async with (
        a_running_head_end(tmp_path) as running,
        running.client() as client,
        client.stream("GET", "/v1/events/stream") as stream,
    ):
        heard = messages(stream)
        await anext(heard)
        running.stop.set()
        async with asyncio.timeout(8):
            assert [message async for message in heard if message.data] == []


async def test_a_reader_that_fell_behind_is_told_to_begin_anew(tmp_path):
    async with a_running_head_end(tmp_path) as running:
        head_end = running.office.head_end
        long_ago = head_end.clock.now() - LONG_AGO
        await running.say(DRN, DRN, at=long_ago)
        await running.ordered(2)
        frames = head_end.streams.read(TENANT, 0, StreamFilter(), key="anybody")
        assert b"id: 0" in await anext(frames)
        await running.prune()
        told = [frame async for frame in frames]
    assert len(told) == 1
    assert told[0].startswith(b"event: reset\n")


async def test_a_reader_that_takes_nothing_is_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr("api.limits.STALLED_S", 1.0)
    async with a_running_head_end(tmp_path) as running:
        host, port = running.url.removeprefix("http://").split(":")
        for _ in range(30):
            await running.say(*[DRN] * 100)
        await running.ordered(3000)
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        request = (
            "GET /v1/events/stream?after=0 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {running.key}\r\n\r\n"
        )
        writer.write(request.encode())
        await writer.drain()
        await reader.readline()
        streams_: Streams = running.office.head_end.streams
        async with asyncio.timeout(20):
            while not streams_.open:
                await asyncio.sleep(0.02)
            while streams_.open:
                await asyncio.sleep(0.05)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def test_a_stream_ends_when_its_key_is_revoked(tmp_path):
    async with a_running_head_end(tmp_path) as running:
        office = running.office
        streams = Streams(
            office.head_end.store, office.head_end.streams._ordered, source="urn:x", heartbeat_s=0.1
        )
        text = await office.key(Scope.READ)
        ident = text.split("_")[1]
        frames = streams.read(TENANT, 0, StreamFilter(), key=ident)
        async with asyncio.timeout(20):
            assert b"open" in await anext(frames)
            assert b"alive" in await anext(frames)
            async with office.head_end.store.begin() as tx:
                assert await tx.api_keys.revoke(ident, office.head_end.clock.now())
            async for _ in frames:
                pass
        assert streams.open == 0
