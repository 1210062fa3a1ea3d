"""Messages into a folder, one JSON file each, for a program of the utility to carry and remove.

This is what a head-end does that has no gateway yet. Files hold digits: folder and files are for
their owner only, and there are never more than a limit of them. A name that begins with a dot is
still being written. The fields are id, kind, to, subject and text; giving twice makes the same
file.
"""

import asyncio
import json
import os
import tempfile
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from adapters.handover.message import Message
from adapters.handover.providers import ProviderDown
from headend.usage_points import Contact

MAX_FILES = 10_000
FOLDER_MODE = 0o700


class FileOutbox:
    """Carries messages of every kind; `limit` bounds the files nobody has removed yet."""

    def __init__(self, folder: Path, *, limit: int = MAX_FILES) -> None:
        self._folder = folder
        self._limit = limit

    async def send(self, message: Message, contact: Contact) -> str | None:
        """Write one file, durably; raises NotSent."""
        try:
            await asyncio.to_thread(self._write, message, contact)
        except OSError as exc:
            raise ProviderDown(f"the outbox folder cannot be written: {exc.strerror}") from None
        return None

    async def aclose(self) -> None:
        """Nothing is held between messages."""

    def _write(self, message: Message, contact: Contact) -> None:
        self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        target = self._folder / _name(message, contact)
        if not target.exists() and self._full():
            raise ProviderDown(f"the outbox folder holds {self._limit} files; empty it")
        descriptor, draft = tempfile.mkstemp(prefix=".", dir=self._folder)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                opened.write(_content(message, contact))
                opened.flush()
                os.fsync(opened.fileno())
            os.rename(draft, target)
        except BaseException:
            os.unlink(draft)
            raise
        _settle(self._folder)

    def _full(self) -> bool:
        with os.scandir(self._folder) as entries:
            return sum(1 for _ in entries) >= self._limit


def _name(message: Message, contact: Contact) -> str:
    """One name for one message to one person, whatever the id is made of."""
    person = sha256(contact.address.encode()).hexdigest()[:8]
    return f"{quote(message.id, safe='').lstrip('.')}-{contact.kind}-{person}.json"


def _content(message: Message, contact: Contact) -> str:
    fields = {
        "id": message.id,
        "kind": contact.kind.value,
        "to": contact.address,
        "subject": message.subject,
        "text": message.text,
    }
    return json.dumps(fields, ensure_ascii=False, indent=1) + "\n"


def _settle(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
