"""Observing messages: how many each provider took or did not; they name nobody."""

from dataclasses import dataclass

from prometheus_client import Counter

from adapters.handover.message import Message
from adapters.handover.providers import Messenger, ProviderDown
from headend.errors import NotSent
from headend.usage_points import Contact

MESSAGES = Counter(
    "headend_messages_total",
    "Messages given to a provider: taken, refused by it, or not taken because it is down",
    ("provider", "outcome"),
)


@dataclass(frozen=True, slots=True)
class ObservedMessenger:
    """Satisfies `Messenger`; counts what the one inside does."""

    name: str
    inside: Messenger

    async def send(self, message: Message, contact: Contact) -> str | None:
        try:
            reference = await self.inside.send(message, contact)
        except ProviderDown:
            self._count("down")
            raise
        except NotSent:
            self._count("refused")
            raise
        self._count("taken")
        return reference

    async def aclose(self) -> None:
        await self.inside.aclose()

    def _count(self, outcome: str) -> None:
        MESSAGES.labels(self.name, outcome).inc()
