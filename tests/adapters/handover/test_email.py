"""Mail reaches a real SMTP server, whole and secret, or NotSent says so in time."""

import asyncio
import email
import email.policy
import logging
import time
from email.message import EmailMessage
from typing import Any

import pytest

from adapters.handover.email import EmailMessenger, SmtpSecurity, SmtpSettings
from adapters.handover.message import load_templates
from headend.errors import Misconfigured, NotSent
from headend.usage_points import Contact, ContactKind
from tests.adapters.handover.conftest import (
    GROUPS,
    MAILBOX,
    NOW,
    PASSWORD,
    USER,
    StoppedClock,
    a_note,
    mail_server,
)

MESSAGE = load_templates().compose(a_note())


def settings(**changed):
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "sender": "tokens@utility.example",
        "sender_name": "City Power",
        "security": SmtpSecurity.NONE,
        "timeout_s": 5.0,
    } | changed
    return SmtpSettings(**given)


def messenger(**changed):
    return EmailMessenger(settings(**changed), StoppedClock())


def letter_of(envelope) -> EmailMessage:
    letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert isinstance(letter, EmailMessage)
    return letter


async def test_a_letter_arrives_whole():
    async with mail_server() as server:
        await messenger(port=server.port).send(MESSAGE, MAILBOX)
    [envelope] = server.letters
    assert envelope.mail_from == "tokens@utility.example"
    assert envelope.rcpt_tos == [MAILBOX.address]
    letter = letter_of(envelope)
    assert letter["From"] == "City Power <tokens@utility.example>"
    assert letter["To"] == MAILBOX.address
    assert letter["Subject"] == "Token for meter 0000000000000"
    assert letter["Date"].datetime == NOW
    assert letter["Message-ID"] == f"<{MESSAGE.id}@utility.example>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter.get_content().splitlines() == MESSAGE.text.splitlines()


async def test_letters_keep_their_accents():
    message = load_templates().compose(a_note(language="fr", taken=True))
    async with mail_server() as server:
        await messenger(port=server.port).send(message, MAILBOX)
    letter = letter_of(server.letters[0])
    assert letter["Subject"] == "Le compteur 0000000000000 est rechargé"
    assert "Votre crédit est sur le compteur." in letter.get_content()


async def test_starttls_and_login(certificate):
    async with mail_server(starttls=certificate.server_context) as server:
        post = messenger(
            port=server.port, security=SmtpSecurity.STARTTLS, ca_file=certificate.file,
            user=USER, password=PASSWORD,
        )  # fmt: skip
        await post.send(MESSAGE, MAILBOX)
    assert len(server.letters) == 1
    assert server.logged_in


async def test_tls_from_the_first_byte(certificate):
    async with mail_server(tls=certificate.server_context) as server:
        post = messenger(
            port=server.port, security=SmtpSecurity.TLS, ca_file=certificate.file,
            user=USER, password=PASSWORD,
        )  # fmt: skip
        await post.send(MESSAGE, MAILBOX)
    assert len(server.letters) == 1
    assert server.logged_in


async def test_a_certificate_nobody_vouches_for_is_refused(certificate):
    async with mail_server(starttls=certificate.server_context) as server:
        post = messenger(port=server.port, security=SmtpSecurity.STARTTLS)
        with pytest.raises(NotSent):
            await post.send(MESSAGE, MAILBOX)
    assert server.letters == []


async def test_a_server_without_starttls_gets_nothing():
    async with mail_server() as server:
        post = messenger(port=server.port, security=SmtpSecurity.STARTTLS)
        with pytest.raises(NotSent):
            await post.send(MESSAGE, MAILBOX)
    assert server.letters == []


async def test_a_wrong_password_is_told_by_code_only(certificate):
    async with mail_server(starttls=certificate.server_context) as server:
        post = messenger(
            port=server.port, security=SmtpSecurity.STARTTLS, ca_file=certificate.file,
            user=USER, password="wrong horse",
        )  # fmt: skip
        with pytest.raises(NotSent, match="answered 535") as caught:
            await post.send(MESSAGE, MAILBOX)
    assert "horse" not in f"{caught.value!r} {post!r}"
    assert server.letters == []


@pytest.mark.parametrize("field", ["answer", "rcpt_answer"])
async def test_a_refusal_is_told_without_the_servers_words(field):
    async with mail_server() as server:
        setattr(server, field, f"550 <{MAILBOX.address}> {GROUPS} unknown")
        with pytest.raises(NotSent, match="550") as caught:
            await messenger(port=server.port).send(MESSAGE, MAILBOX)
    assert MAILBOX.address not in str(caught.value)
    assert GROUPS not in str(caught.value)


async def test_nobody_there_is_not_sent(free_port):
    with pytest.raises(NotSent, match="no use of the mail server"):
        await messenger(port=free_port).send(MESSAGE, MAILBOX)


@pytest.mark.parametrize("greeting", [b"", b"220 mail.test\r\n", b"220-more\r\n" * 3])
async def test_a_silent_server_is_left_in_time(greeting):
    gone = asyncio.Event()

    async def silent(reader, writer):
        writer.write(greeting)
        await reader.read(-1)  # until the other side closes
        writer.close()
        gone.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        started = time.monotonic()
        with pytest.raises(NotSent):
            await messenger(port=port, timeout_s=0.3).send(MESSAGE, MAILBOX)
        assert time.monotonic() - started < 2
        await asyncio.wait_for(gone.wait(), 2)  # the connection is closed, not left


async def test_cancelling_closes_the_connection():
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def silent(reader, writer):
        arrived.set()
        await reader.read(-1)
        writer.close()
        gone.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        sending = asyncio.create_task(messenger(port=port).send(MESSAGE, MAILBOX))
        await arrived.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.wait_for(gone.wait(), 2)


async def test_a_bad_goodbye_takes_nothing_back():
    async def rude(reader, writer):
        for line in (b"220 hi", b"250 hi", b"250 ok", b"250 ok", b"354 go"):
            writer.write(line + b"\r\n")
            await reader.readline()
        while await reader.readline() != b".\r\n":
            pass
        writer.write(b"250 taken\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(rude, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await messenger(port=port).send(MESSAGE, MAILBOX)


@pytest.mark.parametrize(
    "address",
    ["a@example.org\r\nBcc: b@example.org", "a@example.org>\r\nRCPT TO:<b@example.org", "a b@c.d"],
)
async def test_an_address_cannot_bend_headers_or_commands(address):
    async with mail_server() as server:
        with pytest.raises(NotSent, match="no mail address"):
            await messenger(port=server.port).send(MESSAGE, Contact(ContactKind.EMAIL, address))
    assert server.letters == []


async def test_what_comes_from_the_order_cannot_bend_headers():
    note = a_note(reference="R-1\r\nBcc: b@example.org\r\n\r\nhello", id="x\r\nBcc: b@example.org")
    async with mail_server() as server:
        await messenger(port=server.port).send(load_templates().compose(note), MAILBOX)
    letter = letter_of(server.letters[0])
    assert letter["Bcc"] is None
    assert server.letters[0].rcpt_tos == [MAILBOX.address]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"host": ""}, "host"),
        ({"host": "mail..test"}, "host"),
        ({"sender": "City Power"}, "sender must be"),
        ({"sender_name": "City\r\nBcc: b@example.org"}, "sender_name"),
        ({"user": USER}, "come together"),
        ({"password": PASSWORD}, "come together"),
        ({"user": USER, "password": PASSWORD, "host": "mail.test"}, "needs security"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"security": SmtpSecurity.TLS, "ca_file": "/nowhere/ca.pem"}, "ca_file"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(changed, told):
    with pytest.raises(Misconfigured, match=told) as caught:
        messenger(**changed)
    assert PASSWORD not in str(caught.value)


def test_settings_do_not_print_the_password():
    assert PASSWORD not in repr(settings(user=USER, password=PASSWORD))


async def test_no_log_of_any_library_shows_digits_addresses_or_passwords(caplog, certificate):
    caplog.set_level(logging.DEBUG)
    async with mail_server(starttls=certificate.server_context) as server:
        post = messenger(
            port=server.port, security=SmtpSecurity.STARTTLS, ca_file=certificate.file,
            user=USER, password=PASSWORD,
        )  # fmt: skip
        await post.send(MESSAGE, MAILBOX)
    ours = [record for record in caplog.records if record.name != "mail.log"]  # the peer's own log
    told = " ".join(record.getMessage() for record in ours)
    assert not any(secret in told for secret in (GROUPS, MAILBOX.address, PASSWORD))
