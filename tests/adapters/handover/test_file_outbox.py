"""Messages in a folder: whole, private, once, bounded."""

import json
import stat

import pytest

from adapters.handover.file_outbox import FileOutbox
from adapters.handover.message import Message, load_templates
from headend.errors import NotSent
from headend.usage_points import Contact, ContactKind
from tests.adapters.handover.conftest import DIGITS, MAILBOX, PHONE, a_note

TEMPLATES = load_templates()
MESSAGE = TEMPLATES.compose(a_note())


async def test_a_file_holds_the_message(tmp_path):
    folder = tmp_path / "new" / "outbox"
    await FileOutbox(folder).send(MESSAGE, PHONE)
    [file] = folder.iterdir()
    assert json.loads(file.read_text("utf-8")) == {
        "id": MESSAGE.id,
        "kind": "sms",
        "to": "+254712345678",
        "subject": "Token for meter 0000000000000",
        "text": MESSAGE.text,
    }


async def test_folder_and_files_are_private(tmp_path):
    folder = tmp_path / "outbox"
    await FileOutbox(folder).send(MESSAGE, PHONE)
    [file] = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_names_show_neither_digits_nor_addresses(tmp_path):
    await FileOutbox(tmp_path).send(MESSAGE, MAILBOX)
    [file] = tmp_path.iterdir()
    assert file.name.startswith(f"{MESSAGE.id}-email-")
    assert "amina" not in file.name
    assert DIGITS[:4] not in file.name


async def test_giving_twice_makes_one_file(tmp_path):
    outbox = FileOutbox(tmp_path, limit=1)
    await outbox.send(MESSAGE, PHONE)
    await outbox.send(MESSAGE, PHONE)
    assert len(list(tmp_path.iterdir())) == 1


async def test_each_person_and_each_message_has_a_file(tmp_path):
    outbox = FileOutbox(tmp_path)
    other = Contact(ContactKind.SMS, "+254712345679")
    for message in (MESSAGE, TEMPLATES.compose(a_note(taken=True))):
        for contact in (PHONE, other, MAILBOX):
            await outbox.send(message, contact)
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize("ident", ["../../escape", "/etc/escape", "..", ".", "a\x00b", "x" * 40])
async def test_no_id_leads_out_of_the_folder(tmp_path, ident):
    folder = tmp_path / "outbox"
    await FileOutbox(folder).send(Message(ident, "", "text"), PHONE)
    assert [path.name for path in tmp_path.iterdir()] == ["outbox"]
    [file] = folder.iterdir()
    assert not file.name.startswith(".")


async def test_a_folder_nobody_empties_is_full(tmp_path):
    outbox = FileOutbox(tmp_path, limit=2)
    for number in range(2):
        await outbox.send(Message(str(number), "", "text"), PHONE)
    with pytest.raises(NotSent, match="holds 2 files; empty it"):
        await outbox.send(Message("2", "", "text"), PHONE)
    assert len(list(tmp_path.iterdir())) == 2


async def test_a_folder_that_cannot_be_is_not_sent(tmp_path):
    (tmp_path / "outbox").write_text("a file")
    with pytest.raises(NotSent, match="cannot be written"):
        await FileOutbox(tmp_path / "outbox").send(MESSAGE, PHONE)


async def test_nothing_half_written_stays(tmp_path):
    folder = tmp_path / "outbox"
    with pytest.raises(NotSent):
        await FileOutbox(folder).send(Message("x" * 300, "", "text"), PHONE)  # too long a name
    assert list(folder.iterdir()) == []
