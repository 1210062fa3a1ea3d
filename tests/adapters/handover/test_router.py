"""Everybody is told by the first messenger that can; nobody told is NotSent."""

import json

import pytest
from structlog.testing import capture_logs

from adapters.handover.email import EmailMessenger, SmtpSecurity, SmtpSettings
from adapters.handover.file_outbox import FileOutbox
from adapters.handover.message import load_templates
from adapters.handover.providers import Provider
from adapters.handover.router import MAX_CONTACTS, Router
from adapters.handover.sms_http import SmsGateway, SmsGatewaySettings
from headend.errors import NotSent
from headend.ports import Handover
from headend.usage_points import Contact, ContactKind
from tests.adapters.handover.conftest import (
    DIGITS,
    GROUPS,
    MAILBOX,
    PHONE,
    StoppedClock,
    a_note,
    answer,
    mail_server,
    web_server,
)

TEMPLATES = load_templates()


def sms(server):
    body = {"to": "{to}", "text": "{text}"}
    gateway = SmsGateway(SmsGatewaySettings(url=f"{server.url}/", json=body, timeout_s=5.0))
    return Provider("sms", gateway)


def outbox(folder):
    return Provider("outbox", FileOutbox(folder))


def post(port):
    settings = SmtpSettings(
        host="127.0.0.1", port=port, sender="t@utility.example", security=SmtpSecurity.NONE,
        timeout_s=5.0,
    )  # fmt: skip
    return Provider("mail", EmailMessenger(settings, StoppedClock()))


def texts(folder):
    return [json.loads(file.read_text("utf-8"))["text"] for file in folder.iterdir()]


def test_it_is_a_handover():
    router: Handover = Router({}, TEMPLATES)
    assert router is not None


async def test_each_kind_has_its_messenger():
    async with web_server(answer("202 Accepted")) as web, mail_server() as mail:
        router = Router(
            {ContactKind.SMS: [sms(web)], ContactKind.EMAIL: [post(mail.port)]}, TEMPLATES
        )
        await router.give(a_note(contacts=(PHONE, MAILBOX)))
        await router.aclose()
    assert json.loads(web.requests[0][1])["to"] == PHONE.address
    assert mail.letters[0].rcpt_tos == [MAILBOX.address]


async def test_the_second_messenger_is_asked_when_the_first_fails(tmp_path):
    async with web_server(answer("500 Oops")) as web:
        router = Router({ContactKind.SMS: [sms(web), outbox(tmp_path)]}, TEMPLATES)
        await router.give(a_note())
        await router.aclose()
    assert len(web.requests) == 1
    [text] = texts(tmp_path)
    assert GROUPS in text


async def test_the_second_messenger_rests_when_the_first_gives(tmp_path):
    async with web_server(answer("200 OK")) as web:
        router = Router({ContactKind.SMS: [sms(web), outbox(tmp_path)]}, TEMPLATES)
        await router.give(a_note())
        await router.aclose()
    assert list(tmp_path.iterdir()) == []


async def test_one_told_of_many_is_enough(tmp_path, free_port):
    router = Router(
        {ContactKind.SMS: [outbox(tmp_path)], ContactKind.EMAIL: [post(free_port)]}, TEMPLATES
    )
    await router.give(a_note(contacts=(MAILBOX, PHONE)))
    assert len(texts(tmp_path)) == 1


async def test_nobody_told_is_not_sent(free_port):
    router = Router({ContactKind.EMAIL: [post(free_port)]}, TEMPLATES)
    with pytest.raises(NotSent, match="nobody could be told"):
        await router.give(a_note(contacts=(MAILBOX, PHONE)))
    with pytest.raises(NotSent, match="nobody to tell"):
        await router.give(a_note(contacts=()))


async def test_one_wrong_address_does_not_keep_others_from_being_told():
    async with web_server(answer("200 OK")) as web:
        router = Router({ContactKind.SMS: [sms(web)]}, TEMPLATES)
        await router.give(a_note(contacts=(Contact(ContactKind.SMS, "0712"), PHONE)))
        await router.aclose()
    assert len(web.requests) == 1


async def test_a_list_of_people_is_bounded(tmp_path):
    people = tuple(Contact(ContactKind.SMS, f"+25471234{index:04}") for index in range(50))
    await Router({ContactKind.SMS: [outbox(tmp_path)]}, TEMPLATES).give(a_note(contacts=people))
    assert len(texts(tmp_path)) == MAX_CONTACTS


async def test_the_language_of_the_note_is_spoken(tmp_path):
    router = Router({ContactKind.SMS: [outbox(tmp_path)]}, TEMPLATES)
    await router.give(a_note(language="sw-KE", taken=True, digits=()))
    assert "Huhitaji kuingiza tokeni yoyote." in texts(tmp_path)[0]


async def test_logs_show_no_digits_and_no_whole_address(tmp_path, free_port):
    router = Router(
        {ContactKind.SMS: [outbox(tmp_path)], ContactKind.EMAIL: [post(free_port)]}, TEMPLATES
    )
    with capture_logs() as logs:
        await router.give(a_note(contacts=(PHONE, MAILBOX)))
    told = repr(logs)
    assert {entry["event"] for entry in logs} == {"message given", "message not given"}
    assert "…78" in told
    for secret in (PHONE.address, MAILBOX.address, "amina", DIGITS, GROUPS):
        assert secret not in told
