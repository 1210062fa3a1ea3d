"""The outbox of the demonstration, read as the customers read their messages.

Knows of a message only what a person sees: to whom it is, and its text.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from api.demonstration.stories import Told

_DIGITS = re.compile(r"(?<!\d)\d{4}(?: \d{4}){4}(?!\d)")


class Outbox:
    """A folder of messages, one file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def told(self, person: str) -> frozenset[Told]:
        """What a person has been told so far."""
        return frozenset(
            Told.DIGITS if _DIGITS.search(text) else Told.TAKEN for text in self._texts(person)
        )

    def digits(self, person: str) -> str | None:
        """The token that a person was sent, as they would type it."""
        for text in self._texts(person):
            if found := _DIGITS.search(text):
                return found.group().replace(" ", "")
        return None

    def _texts(self, person: str) -> Iterator[str]:
        if not self._folder.is_dir():
            return
        for file in sorted(self._folder.glob("[!.]*.json")):
            message = json.loads(file.read_text(encoding="utf-8"))
            if message["to"] == person:
                yield message["text"]
