"""Receivers told by real HTTP: good ones, and all the bad ones that hold nobody up."""

import asyncio
import socket
import tracemalloc
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest

from adapters.backoffice.addresses import ReceiverRules
from adapters.backoffice.receivers import HttpReceivers, retry_after
from headend.receivers import Message
from tests.servers.receiver import (
    a_receiver,
    answers,
    babbles,
    drips,
    drips_body,
    floods,
    floods_head,
    hangs,
    hangs_up,
)

NEW, OLD = bytes(range(32)), bytes(range(32, 64))
LOOPBACK = ReceiverRules(networks=(ip_network("127.0.0.0/8"),))
TIMEOUT_S = 0.6
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def text(secret):
    return "whsec_" + b64encode(secret).decode()


def a_message(url, **fields):
    message = Message(
        url=url,
        id="msg_1",
        at=datetime.now(UTC),
        body='{"specversion":"1.0","data":{"reference":"Müller"}}'.encode(),
        secrets=(NEW,),
    )
    return replace(message, **fields)


@pytest.fixture
async def receivers():
    receivers = HttpReceivers(LOOPBACK, timeout_s=TIMEOUT_S)
    yield receivers
    await receivers.aclose()


async def test_a_message_is_signed_as_the_stock_library_wants_it(receivers):
    async with a_receiver() as receiver:
        reply = await receivers.tell(a_message(receiver.url, secrets=(NEW, OLD)))
    assert (reply.taken, reply.status) == (True, 204)
    (received,) = receiver.received
    for secret in (NEW, OLD):
        assert received.verified(text(secret))["data"] == {"reference": "Müller"}
    with pytest.raises(Exception, match="No matching signature"):
        received.verified(text(bytes(32)))
    tampered = replace(received, body=received.body.replace(b"1.0", b"1.1"))
    with pytest.raises(Exception, match="No matching signature"):
        tampered.verified(text(NEW))
    assert received.path == "/events"
    assert received.headers["webhook-id"] == "msg_1"
    assert received.headers["content-type"] == "application/cloudevents+json"
    assert received.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize(
    ("behaviour", "status", "detail"),
    [
        (hangs, None, "no answer within 0.6 s"),
        (drips, None, "no answer within 0.6 s"),
        (babbles, None, "it cannot be told (RemoteProtocolError)"),
        (hangs_up, None, "it cannot be told"),
        (floods_head, None, "it cannot be told"),
        (answers(500), 500, "answered 500"),
        (answers(302, Location="http://127.0.0.1:1/"), 302, "redirects are not followed"),
        (floods(500), 500, "answered 500"),
    ],
    ids=["hangs", "drips", "babbles", "hangs up", "head", "500", "redirects", "megabytes"],
)
async def test_a_bad_receiver_ends_in_a_reply(receivers, behaviour, status, detail):
    async with a_receiver(behaviour) as receiver:
        reply = await receivers.tell(a_message(receiver.url))
    assert not reply.taken
    assert reply.status == status
    assert detail in reply.detail
    assert len(receiver.received) == 1


@pytest.mark.parametrize("behaviour", [drips_body, floods(200)], ids=["drips", "megabytes"])
async def test_what_comes_after_a_success_is_not_waited_for(receivers, behaviour):
    async with a_receiver(behaviour) as receiver:
        tracemalloc.start()
        reply = await receivers.tell(a_message(receiver.url))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert reply.taken
    assert peak < 20_000_000


async def test_nobody_there_is_a_reply(receivers, free_port):
    reply = await receivers.tell(a_message(f"http://127.0.0.1:{free_port}/secret-path"))
    assert (reply.status, reply.detail) == (None, "the connection is refused")


async def test_a_name_that_is_none_is_a_reply(receivers, monkeypatch):
    def fails(*_args, **_kwargs):
        raise socket.gaierror(8, "not known")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    reply = await receivers.tell(a_message("https://nowhere.example/secret-path"))
    assert (reply.status, reply.detail) == (None, "its name does not resolve")


async def test_a_public_name_with_a_private_address_is_not_told(monkeypatch):
    """The address is judged when it is connected to, not when the webhook was made."""
    async with a_receiver() as receiver:
        place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: [place])
        url = f"http://rebound.example:{receiver.port}/"
        strict = HttpReceivers(ReceiverRules(plain_http=True), timeout_s=TIMEOUT_S)
        strict.check(url)
        reply = await strict.tell(a_message(url))
        await strict.aclose()
        assert (reply.status, receiver.connections) == (None, 0)
        assert "not public" in reply.detail
        lenient = HttpReceivers(
            ReceiverRules(networks=LOOPBACK.networks, plain_http=True), timeout_s=TIMEOUT_S
        )
        assert (await lenient.tell(a_message(url))).taken
        await lenient.aclose()
    assert receiver.received[0].headers["host"] == f"rebound.example:{receiver.port}"


async def test_the_next_address_is_tried_where_nobody_listens(receivers, monkeypatch):
    async with a_receiver() as receiver:
        places = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
            for address in ("127.0.0.9", "127.0.0.1")
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: places)
        both = HttpReceivers(
            ReceiverRules(networks=LOOPBACK.networks, plain_http=True), timeout_s=TIMEOUT_S
        )
        reply = await both.tell(a_message(f"http://two.example:{receiver.port}/"))
        await both.aclose()
    assert reply.taken


@pytest.mark.parametrize("status", [429, 503])
async def test_a_receiver_may_ask_to_come_later(receivers, status):
    async with a_receiver(answers(status, Retry_After="120")) as receiver:
        reply = await receivers.tell(a_message(receiver.url))
    assert reply.retry_after == timedelta(seconds=120)


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("0", 0),
        ("120", 120),
        ("9" * 50, 999_999_999),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60),
        ("Sun, 01 Mar 2020 12:01:00 GMT", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Sun, 01 Mar 2026 12:01:00", None),
    ],
)
def test_retry_after_is_read_or_left(header, wait_s):
    wanted = None if wait_s is None else timedelta(seconds=wait_s)
    assert retry_after({"Retry-After": header}, NOW) == wanted


async def test_cancelling_leaves_no_connection(receivers):
    async with a_receiver(hangs) as receiver:
        telling = asyncio.create_task(receivers.tell(a_message(receiver.url)))
        while not receiver.received:
            await asyncio.sleep(0.01)
        telling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await telling
