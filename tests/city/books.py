"""The back-office's books: a receiver of webhooks, that takes events and does not always say so."""

import asyncio
import json
from dataclasses import dataclass

from headend.receivers import Message, Reply
from headend.webhooks import SealedSecret
from tests.city.lives import Life
from tests.city.site import Kind, Site
from tests.city.trace import EVERYBODY

URL = "https://office.example/events"
# Sales only, for time's sake; every other family goes the same way.
TYPES = ("headend.recharge.*",)
HANGS_S = 15.0


class Books:
    """What was told, by id. It answers no, late, or never, but what it took it keeps."""

    def __init__(self, site: Site) -> None:
        self.told: dict[str, object] = {}
        self.repeats = 0
        self._site = site
        self._luck = site.plan.luck("books")

    async def take(self, message: Message) -> Reply:
        """One event."""
        luck = self._luck.random()
        await asyncio.sleep(0.02)
        shaky = self._site.has(Kind.RECEIVER)
        if shaky and luck < 0.05:
            self._site.trace.fault(Kind.RECEIVER, EVERYBODY, "the back-office answers 500")
            return Reply(status=500)
        self._keep(message)
        if shaky and luck < 0.1:
            self._site.trace.fault(Kind.RECEIVER, EVERYBODY, "the back-office's answer is lost")
            await asyncio.sleep(HANGS_S)
            return Reply(detail="no answer")
        return Reply(status=204)

    def _keep(self, message: Message) -> None:
        event = json.loads(message.body)
        self.repeats += event["id"] in self.told
        self.told[event["id"]] = event["data"]


@dataclass
class Wire:
    """Satisfies `receivers.Receivers` for one process."""

    books: Books
    life: Life

    def check(self, url: str) -> None:
        """Every address will do."""

    async def tell(self, message: Message) -> Reply:
        self.life.require()
        reply = await self.books.take(message)
        self.life.require()
        return reply


class PlainSeals:
    """Satisfies `receivers.Seals`; nobody looks here."""

    def seal(self, secret: bytes, *, bound_to: str) -> SealedSecret:
        return SealedSecret(b"", secret, "city")

    def unseal(self, sealed: SealedSecret, *, bound_to: str) -> bytes:
        return sealed.ciphertext
