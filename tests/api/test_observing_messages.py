"""What providers do with messages is counted, by provider and outcome."""

import pytest

from adapters.handover.message import Message
from adapters.handover.providers import Messenger, ProviderDown
from api.observing_messages import MESSAGES, ObservedMessenger
from headend.errors import NotSent
from headend.usage_points import Contact, ContactKind

MESSAGE = Message(id="m1", subject="", text="digits")
CONTACT = Contact(ContactKind.SMS, "+15550100")


class Scripted:
    def __init__(self, error: Exception | None) -> None:
        self.error, self.closed = error, False

    async def send(self, message: Message, contact: Contact) -> str | None:
        if self.error is not None:
            raise self.error
        return "ref-1"

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(None, "taken"), (NotSent("unknown number"), "refused"), (ProviderDown("gone"), "down")],
)
async def test_each_outcome_is_counted_and_passed_on(error: Exception | None, outcome: str):
    messenger: Messenger = ObservedMessenger(f"gateway-{outcome}", Scripted(error))
    if error is None:
        assert await messenger.send(MESSAGE, CONTACT) == "ref-1"
    else:
        with pytest.raises(type(error)):
            await messenger.send(MESSAGE, CONTACT)
    counted = MESSAGES.labels(f"gateway-{outcome}", outcome)._value.get()
    assert counted == 1


async def test_what_is_inside_is_closed():
    inside = Scripted(None)
    await ObservedMessenger("gateway", inside).aclose()
    assert inside.closed
