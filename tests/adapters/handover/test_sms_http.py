"""A short message reaches a real HTTP server as set, or NotSent says so in time."""

import asyncio
import json
import logging
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.handover.message import Message, load_templates
from adapters.handover.sms_http import SmsGateway, SmsGatewaySettings
from headend.errors import Misconfigured, NotSent
from headend.usage_points import Contact, ContactKind
from tests.adapters.handover.conftest import (
    DIGITS,
    GROUPS,
    PHONE,
    a_note,
    answer,
    web_server,
)

MESSAGE = load_templates().compose(a_note())
BODY = {"to": "{to}", "message": "{text}"}
OK = answer("200 OK", b'{"status":"queued"}')
SECRET = "s3cr3t-key"


def gateway(server_url="http://127.0.0.1:9", **changed):
    given: dict[str, Any] = {"url": f"{server_url}/send", "json": BODY, "timeout_s": 5.0} | changed
    return SmsGateway(SmsGatewaySettings(**given))


async def give(server, message=MESSAGE, contact=PHONE, **changed):
    messenger = gateway(server.url, **changed)
    try:
        await messenger.send(message, contact)
    finally:
        await messenger.aclose()


async def test_a_json_body_is_filled_in():
    body = {"from": "CITY", "messages": [{"to": ["{msisdn}"], "text": "{text}"}], "ref": "{id}"}
    async with web_server(OK) as server:
        await give(server, json=body | {"flash": False, "ttl": 60, "x": None})
    [(head, sent)] = server.requests
    assert head.startswith("POST /send HTTP/1.1\r\n")
    assert json.loads(sent) == {
        "from": "CITY",
        "messages": [{"to": ["254712345678"], "text": MESSAGE.text}],
        "ref": MESSAGE.id,
        "flash": False,
        "ttl": 60,
        "x": None,
    }


async def test_a_form_and_headers_are_filled_in():
    async with web_server(OK) as server:
        await give(
            server, json=None, form={"To": "{to}", "Body": "{text}"},
            headers={"X-Api-Key": SECRET, "Idempotency-Key": "{id}"}, user="u", password="p",
        )  # fmt: skip
    [(head, sent)] = server.requests
    assert parse_qs(sent.decode()) == {"To": ["+254712345678"], "Body": [MESSAGE.text]}
    assert f"X-Api-Key: {SECRET}\r\n".lower() in head.lower()
    assert f"Idempotency-Key: {MESSAGE.id}\r\n".lower() in head.lower()
    assert "authorization: basic dtpw\r\n" in head.lower()


async def test_an_address_is_filled_in_and_quoted():
    async with web_server(OK) as server:
        await give(
            server,
            url=f"{server.url}/s/{{msisdn}}?key=k&to={{to}}&m={{text}}",
            method="GET",
            json=None,
        )
    [(head, sent)] = server.requests
    target = urlsplit(head.split(" ")[1])
    assert target.path == "/s/254712345678"
    assert parse_qs(target.query) == {"key": ["k"], "to": ["+254712345678"], "m": [MESSAGE.text]}
    assert sent == b""


async def test_a_message_that_speaks_in_placeholders_is_left_alone():
    message = Message("1", "", 'Ref {to} {id} "quoted" & #1')
    async with web_server(OK) as server:
        await give(server, message)
        await give(server, message, url=f"{server.url}/?to={{to}}&m={{text}}", json=None)
    assert json.loads(server.requests[0][1])["message"] == 'Ref {to} {id} "quoted" & #1'
    query = urlsplit(server.requests[1][0].split(" ")[1]).query
    assert parse_qs(query)["m"] == ['Ref {to} {id} "quoted" & #1']


async def test_a_message_goes_out_in_the_alphabet_of_sms():
    async with web_server(OK) as server:
        await give(server, load_templates().compose(a_note(language="pt")))
    assert json.loads(server.requests[0][1])["message"].split("\n")[1] == f"Codigo {GROUPS}"


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted", "204 No Content"])
async def test_two_hundreds_are_given(status):
    async with web_server(answer(status)) as server:
        await give(server)


@pytest.mark.parametrize(
    "status", ["302 Found", "400 Bad", "401 No", "404 No", "429 Slow", "500 Oops", "503 Later"]
)
async def test_all_else_is_not_sent_and_says_the_status_only(status):
    body = f"{GROUPS} {PHONE.address} {SECRET}".encode()
    async with web_server(answer(status, body)) as server:
        with pytest.raises(NotSent, match=f"answered {status[:3]}") as caught:
            await give(server, headers={"X-Api-Key": SECRET})
    assert not any(word in repr(caught.value) for word in (GROUPS, PHONE.address, SECRET))


async def test_a_redirect_is_not_followed():
    async with web_server(OK) as elsewhere:
        moved = answer("307 Moved", b"", f"Location: {elsewhere.url}/send")
        async with web_server(moved) as server:
            with pytest.raises(NotSent, match="answered 307"):
                await give(server)
    assert len(server.requests) == 1
    assert elsewhere.requests == []


async def test_a_two_hundred_that_does_not_mean_it_is_not_sent():
    async with web_server(OK) as server:
        await give(server, answer_contains='"queued"')
        with pytest.raises(NotSent, match="lacks what its setting asks for"):
            await give(server, answer_contains='"accepted"')


async def test_a_gateway_that_hangs_is_left_in_time():
    async def hang(writer):
        await asyncio.sleep(30)

    async with web_server(hang) as server:
        started = time.monotonic()
        with pytest.raises(NotSent, match="Time"):
            await give(server, timeout_s=0.3)
    assert time.monotonic() - started < 3


async def test_a_gateway_that_drips_is_left_in_time():
    async def drip(writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(100):
            writer.write(f"X-{number}: y\r\n".encode())
            await writer.drain()
            await asyncio.sleep(0.1)

    async with web_server(drip) as server:
        started = time.monotonic()
        with pytest.raises(NotSent):
            await give(server, timeout_s=0.5)
    assert time.monotonic() - started < 3


async def test_megabytes_are_not_read():
    counted = 0

    async def flood(writer):
        nonlocal counted
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(bytes(64 * 1024))
            await writer.drain()
            counted += 64 * 1024

    async with web_server(flood) as server:
        await give(server)
        with pytest.raises(NotSent, match="lacks"):
            await give(server, answer_contains="never there")
    assert counted < 32 * 1024 * 1024  # what the sockets of the kernel swallow


@pytest.mark.parametrize("nonsense", [b"", b"SMTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_nonsense_is_not_sent(nonsense):
    async def say(writer):
        writer.write(nonsense)
        await writer.drain()

    async with web_server(say) as server:
        with pytest.raises(NotSent, match="no use of the SMS gateway"):
            await give(server)


async def test_nobody_there_is_not_sent(free_port):
    messenger = gateway(f"http://127.0.0.1:{free_port}")
    with pytest.raises(NotSent, match="ConnectError"):
        await messenger.send(MESSAGE, PHONE)
    await messenger.aclose()


async def test_tls_is_checked(certificate):
    async with web_server(OK, tls=certificate.server_context) as server:
        url = f"https://127.0.0.1:{server.port}/send"
        with pytest.raises(NotSent):
            await give(server, url=url)
        await give(server, url=url, ca_file=certificate.file)
    assert len(server.requests) == 1


@pytest.mark.parametrize("number", ["0712345678", "+254712345678&to=+1", "+254\r\nX: y"])
async def test_a_wrong_number_reaches_no_wire(number):
    async with web_server(OK) as server:
        with pytest.raises(NotSent, match="a phone number is") as caught:
            await give(server, contact=Contact(ContactKind.SMS, number))
    assert server.requests == []
    assert number not in str(caught.value)


async def test_an_id_cannot_bend_headers():
    message = Message("1\r\nX-Evil: 1", "", "text")
    async with web_server(OK) as server:
        await give(server, message, headers={"Idempotency-Key": "{id}"})
    assert "\r\nx-evil" not in server.requests[0][0].lower()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"url": "gateway.example/send"}, "https://"),
        ({"url": "ftp://gateway.example/send"}, "https://"),
        ({"url": "https:///send"}, "https://"),
        ({"url": "https://[/send"}, "url"),
        ({"url": "https://gateway.example:port/send"}, "url"),
        ({"url": "https://{to}.example/send"}, "https://"),
        ({"url": f"http://gateway.example/send?key={SECRET}"}, "anybody reads"),
        ({"method": "DELETE"}, "GET, POST, PUT"),
        ({"form": {"a": "b"}}, "not both"),
        ({"user": "u"}, "come together"),
        ({"json": {"to": "{to}"}}, "must hold {text}"),
        ({"json": {"text": "{text}"}}, "{to} or {msisdn}"),
        ({"json": {"to": "{number}", "text": "{text}"}}, "{to} or {msisdn}"),
        ({"headers": {"X-Text": "{text}"}}, "{id} only"),
        ({"timeout_s": -1}, "timeout_s"),
        ({"ca_file": "/nowhere/ca.pem"}, "ca_file"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(changed, told):
    with pytest.raises(Misconfigured, match=told) as caught:
        gateway(**changed)
    assert SECRET not in str(caught.value)


async def test_plain_http_may_be_allowed():
    await gateway(url="http://10.0.0.9/send", plain_http=True).aclose()


def test_settings_print_no_secret():
    settings = SmsGatewaySettings(
        url=f"https://g.example/?key={SECRET}1", headers={"X": f"{SECRET}2"},
        json={"key": f"{SECRET}3"}, form={"key": f"{SECRET}4"}, user="u", password=f"{SECRET}5",
    )  # fmt: skip
    assert SECRET not in repr(settings)


async def test_no_log_of_any_library_shows_digits_numbers_or_keys(caplog):
    caplog.set_level(logging.DEBUG)
    async with web_server(OK) as server:
        await give(
            server, url=f"{server.url}/?key={SECRET}&to={{to}}&m={{text}}", method="GET", json=None,
            user="u", password=SECRET,
        )  # fmt: skip
    assert not any(word in caplog.text for word in (SECRET, "254712345678", DIGITS[:4]))
