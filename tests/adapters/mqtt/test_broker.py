"""The link: acknowledged after the commit, nothing lost when lines break, bounded, clear errors."""

import asyncio
import contextlib
import itertools
import logging

import pytest

from adapters.mqtt.broker import RETRY_MAX_S, pause_s
from adapters.mqtt.counts import DROPPED, PAUSES
from headend.errors import Misconfigured, NoAnswer, NotSent
from headend.ports import Notice
from tests.adapters.mqtt.gateway import done, gateway_at, reading, topic
from tests.adapters.mqtt.headend_side import (
    HeadEnd,
    RealClock,
    a_head_end,
    a_meter,
    a_token,
    impatient,
    running,
)
from tests.conftest import StartMosquitto
from tests.servers.mosquitto import Mosquitto
from tests.servers.process import free_port

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


def url_of(broker: Mosquitto, version: str = "5") -> str:
    return f"mqtt://127.0.0.1:{broker.port}?version={version}"


async def say_readings(port: int, numbers: range, *, version: str = "3.1.1") -> None:
    async with gateway_at(port, version=version) as gateway:
        for number in numbers:
            await gateway.say(topic("reading/basic"), reading(number))


@VERSIONS
async def test_what_was_not_acknowledged_comes_again(mosquitto: Mosquitto, version: str):
    first = a_head_end(url_of(mosquitto, version))
    async with running(first, taking=False):
        await say_readings(mosquitto.port, range(15))
        taking = asyncio.create_task(first.take(commit=lambda _: None))
        await first.until(lambda: len(first.reports) == 15)
        taking.cancel()
        await asyncio.wait([taking])
    second = a_head_end(url_of(mosquitto, version))
    async with running(second):
        await second.until(lambda: second.values() == set(range(15)))


@VERSIONS
async def test_what_was_acknowledged_does_not_come_again(mosquitto: Mosquitto, version: str):
    first = a_head_end(url_of(mosquitto, version))
    async with running(first):
        await say_readings(mosquitto.port, range(15))
        await first.until(lambda: len(first.reports) == 15)
        await asyncio.sleep(0.2)
    second = a_head_end(url_of(mosquitto, version))
    async with running(second):
        await say_readings(mosquitto.port, range(100, 101))
        await second.until(lambda: second.values() >= {100})
        assert second.values() == {100}


async def test_what_came_while_we_were_away_waits_for_us(mosquitto: Mosquitto):
    async with running(a_head_end(url_of(mosquitto))):
        pass
    await say_readings(mosquitto.port, range(50))
    back = a_head_end(url_of(mosquitto))
    async with running(back):
        await back.until(lambda: back.values() == set(range(50)))


@VERSIONS
async def test_a_full_queue_loses_nothing(mosquitto: Mosquitto, version: str):
    """Forty times more than fits comes before anybody takes a notice."""
    pauses = PAUSES._value.get()
    headend = a_head_end(url_of(mosquitto, version), queue_limit=10)
    async with running(headend, taking=False):
        async with gateway_at(mosquitto.port) as gateway:
            said = [gateway.say(topic("reading/basic"), reading(n), qos=n % 2) for n in range(400)]
            await asyncio.gather(*said)
        await headend.until(lambda: PAUSES._value.get() > pauses)
        await asyncio.sleep(0.2)
        assert headend.link.waiting < 2 * 10
        taking = asyncio.create_task(slowly(headend))
        await headend.until(lambda: headend.values() >= set(range(1, 400, 2)))
        taking.cancel()
        await asyncio.wait([taking])


@VERSIONS
async def test_more_comes_again_than_the_queue_holds(mosquitto: Mosquitto, version: str):
    """A broker repeats all that was under way at once, whatever window we ask for."""
    first = a_head_end(url_of(mosquitto, version))
    async with running(first, taking=False):
        taking = asyncio.create_task(first.take(commit=lambda _: None))
        await say_readings(mosquitto.port, range(20))
        await first.until(lambda: len(first.reports) == 20)
        taking.cancel()
        await asyncio.wait([taking])
    second = a_head_end(url_of(mosquitto, version), queue_limit=4)
    tasks = [asyncio.create_task(second.driver.run()), asyncio.create_task(slowly(second))]
    await second.until(lambda: second.values() == set(range(20)))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def slowly(headend: HeadEnd) -> None:
    async for batch in headend.driver.notices():
        await asyncio.sleep(0.01)
        for notice in batch:
            headend.reports.append(notice.report)
            notice.done()


async def test_a_broker_killed_in_the_middle_loses_nothing(start_mosquitto: StartMosquitto):
    broker = start_mosquitto(persistence=True)
    headend = a_head_end(url_of(broker))
    async with running(headend):
        await say_readings(broker.port, range(30))
        await headend.until(lambda: len(headend.reports) == 30)
        broker.stop()
        await headend.until(lambda: not headend.link.connected)
        async with headend.driver.open(a_meter()) as session:
            with pytest.raises(NotSent):
                await session.enter_token(a_token(), attempt=0)
        broker.start()
        async with asyncio.timeout(20):
            await headend.link.wait_connected()
        await say_readings(broker.port, range(30, 60))
        await headend.until(lambda: headend.values() == set(range(60)))


async def test_garbage_does_not_stop_the_line(mosquitto: Mosquitto):
    dropped = DROPPED.labels("json")._value.get()
    rubbish = (b"{", b"[" * 30_000, bytes(range(256)), b"x" * 100_000, b"", b"null")
    tails = ("state", "birth", "reading/basic", "event/0304", "res/1", "no/such")
    async with (
        running(a_head_end(url_of(mosquitto), queue_limit=10)) as headend,
        gateway_at(mosquitto.port) as gateway,
    ):
        for payload, tail in itertools.product(rubbish, tails):
            await gateway.say(topic(tail), payload)
            await gateway.say(topic(tail), payload, retain=True)
        await gateway.say(topic("reading/basic"), reading(1))
        await headend.until(lambda: headend.values() == {1})
    assert DROPPED.labels("json")._value.get() > dropped
    async with running(a_head_end(url_of(mosquitto))) as again:  # and nothing of it comes again
        await say_readings(mosquitto.port, range(2, 3))
        await again.until(lambda: again.values() == {2})
        assert len(again.reports) == 1


async def test_a_late_done_on_a_dead_connection_is_harmless(start_mosquitto: StartMosquitto):
    broker = start_mosquitto(persistence=True)
    headend = a_head_end(url_of(broker))
    held: list[Notice] = []
    async with running(headend, taking=False):
        taking = asyncio.create_task(headend.take(commit=held.append))
        await say_readings(broker.port, range(5))
        await headend.until(lambda: len(held) == 5)
        broker.stop()
        await headend.until(lambda: not headend.link.connected)
        for notice in held:
            notice.done()
        broker.start()
        await headend.until(lambda: len(held) == 10)
        for notice in held:
            notice.done()
        await say_readings(broker.port, range(5, 6))
        await headend.until(lambda: headend.values() == set(range(6)))
        taking.cancel()
        await asyncio.wait([taking])


async def test_acknowledgements_go_in_the_order_of_arrival(mosquitto: Mosquitto):
    """The first message is kept back: those after it are not acknowledged before it either."""
    first = a_head_end(url_of(mosquitto))
    held: list[Notice] = []

    def keep_the_first(notice: Notice) -> None:
        held.append(notice)
        if len(held) > 1:
            notice.done()

    async with running(first, taking=False):
        taking = asyncio.create_task(first.take(commit=keep_the_first))
        await say_readings(mosquitto.port, range(10))
        await first.until(lambda: len(held) == 10)
        taking.cancel()
        await asyncio.wait([taking])
    second = a_head_end(url_of(mosquitto))
    async with running(second):
        await second.until(lambda: second.values() == set(range(10)))


async def test_a_gap_of_the_taker_is_asked_for_again(mosquitto: Mosquitto):
    headend = a_head_end(url_of(mosquitto))
    async with running(headend, taking=False):
        await say_readings(mosquitto.port, range(5))
        notices = headend.driver.notices()
        held = [notice async for batch in first_of(notices, 1) for notice in batch]
        assert held
        await notices.aclose()  # type: ignore[attr-defined]
        taking = asyncio.create_task(headend.take())
        await headend.until(lambda: headend.values() == set(range(5)))
        taking.cancel()
        await asyncio.wait([taking])


async def first_of(notices, count: int):
    for _ in range(count):
        yield await anext(notices)


async def test_a_frozen_broker_leaves_a_token_in_doubt(mosquitto: Mosquitto, monkeypatch):
    monkeypatch.setattr("adapters.mqtt.client.PUBLISH_TIMEOUT_S", 0.5)
    headend = a_head_end(url_of(mosquitto), profiles=impatient())
    async with running(headend):
        mosquitto.freeze()
        async with headend.driver.open(a_meter()) as session:
            with pytest.raises(NoAnswer, match="did not acknowledge"):
                await session.enter_token(a_token(), attempt=0)
        mosquitto.thaw()


async def test_a_command_nobody_is_subscribed_to_was_not_sent(mosquitto: Mosquitto):
    """MQTT 5 brokers tell; on 3.1.1 the silence has to be waited for."""
    async with (
        running(a_head_end(url_of(mosquitto), profiles=impatient())) as headend,
        headend.driver.open(a_meter()) as session,
    ):
        with pytest.raises(NotSent, match="no session"):
            await session.enter_token(a_token(), attempt=0)


async def test_many_commands_at_once(mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture):
    async with gateway_at(mosquitto.port) as gateway:
        gateway.script = lambda command: [done(command)]
        async with running(a_head_end(url_of(mosquitto))) as headend:

            async def set_clock() -> None:
                async with headend.driver.open(a_meter()) as session:
                    await session.set_clock(RealClock().now())

            with caplog.at_level(logging.WARNING):
                await asyncio.gather(*(set_clock() for _ in range(200)))
    assert len(gateway.commands) == 200
    assert [record for record in caplog.records if record.name.startswith("adapters")] == []


async def fault_of(headend: HeadEnd) -> Exception:
    """What a caller is told once the link has tried to connect."""
    link = asyncio.create_task(headend.driver.run())
    try:
        await headend.until(lambda: "yet" not in str(headend.link.fault))
        async with headend.driver.open(a_meter()) as session:
            with pytest.raises((NotSent, Misconfigured)) as caught:
                await session.enter_token(a_token(), attempt=0)
        return caught.value
    finally:
        link.cancel()
        await asyncio.wait([link])


@VERSIONS
async def test_a_wrong_password_is_our_fault(mosquitto_with_password: Mosquitto, version: str):
    broker = mosquitto_with_password
    url = f"mqtt://headend:wr0ng@127.0.0.1:{broker.port}?version={version}"
    error = await fault_of(a_head_end(url))
    assert isinstance(error, Misconfigured)
    assert "wr0ng" not in str(error)
    assert str(broker.port) in str(error)


async def test_the_right_password_connects(mosquitto_with_password: Mosquitto):
    broker = mosquitto_with_password
    assert broker.login is not None
    password = broker.login.password.replace(" ", "%20")
    url = f"mqtt://{broker.login.username}:{password}@127.0.0.1:{broker.port}"
    async with running(a_head_end(url)) as headend:
        assert headend.link.connected


async def test_a_broker_that_is_not_there_is_not_our_fault():
    error = await fault_of(a_head_end(f"mqtt://127.0.0.1:{free_port()}"))
    assert isinstance(error, NotSent)


CONNACK = b"\x20\x02\x00\x00"


@pytest.mark.parametrize(
    "noise",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00" * 64,
        b"\xff" * 64,
        b"",
        CONNACK + b"\x30\x02\x00\xff",  # a topic longer than its packet
        CONNACK + b"\x32\x05\x00\x03\xff\xfe\xfd",  # not UTF-8, no packet id
        CONNACK + b"\x90\x02\x00\x01",  # SUBACK without codes
        CONNACK + b"\x90\x03\x00\x01\x80" * 3,
        CONNACK + b"\x40\x01\x00",
        CONNACK + b"\xd0\x00" * 1000,
        CONNACK * 2,
        CONNACK + bytes(range(256)),
    ],
)
async def test_a_peer_that_is_no_broker_does_no_harm(noise: bytes, caplog, monkeypatch):
    monkeypatch.setattr("adapters.mqtt.client.CONNECT_TIMEOUT_S", 0.3)
    monkeypatch.setattr("adapters.mqtt.client.SUBSCRIBE_TIMEOUT_S", 0.3)
    peers = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal peers
        peers += 1
        await reader.read(100)
        writer.write(noise)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    headend = a_head_end(f"mqtt://127.0.0.1:{port}?version=3.1.1")
    link = asyncio.create_task(headend.driver.run())
    await headend.until(lambda: peers >= 2)  # it came again
    assert not headend.link.connected
    link.cancel()
    await asyncio.wait([link])
    server.close()
    assert link.cancelled()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def test_before_the_first_connection_nothing_is_sent(mosquitto: Mosquitto):
    headend = a_head_end(url_of(mosquitto))
    async with headend.driver.open(a_meter()) as session:
        with pytest.raises(NotSent):
            await session.enter_token(a_token(), attempt=0)


@pytest.mark.parametrize("when", [0.0, 0.001, 0.01, 0.05])
async def test_the_link_ends_clean_whenever_it_is_stopped(
    mosquitto: Mosquitto, when: float, caplog: pytest.LogCaptureFixture
):
    headend = a_head_end(url_of(mosquitto))
    link = asyncio.create_task(headend.driver.run())
    await asyncio.sleep(when)
    link.cancel()
    await asyncio.wait([link])
    assert link.cancelled()
    await asyncio.sleep(0.05)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert others == set()
    assert caplog.records == []


async def test_the_link_can_be_stopped_while_a_frozen_broker_keeps_it_waiting(
    mosquitto: Mosquitto,
):
    mosquitto.freeze()
    link = asyncio.create_task(a_head_end(url_of(mosquitto)).driver.run())
    await asyncio.sleep(0.2)
    link.cancel()
    async with asyncio.timeout(3):
        await asyncio.wait([link])
    assert asyncio.all_tasks() == {asyncio.current_task()}
    mosquitto.thaw()


def test_pauses_grow_to_a_limit_and_are_scattered():
    assert [pause_s(failures, spread=0.0) for failures in (1, 2, 3)] == [0.25, 0.5, 1.0]
    assert pause_s(10_000, spread=0.999) < RETRY_MAX_S
    assert pause_s(10_000, spread=0.5) > pause_s(10_000, spread=0.1)
