"""Who carries which message: for each person, the messengers of their kind, in the set order.

Knows nothing of how a messenger does it. Logs name a person only as far as `hidden` does.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog

from adapters.handover.addresses import hidden
from adapters.handover.message import Message, Templates
from headend.errors import NotSent
from headend.ports import Note
from headend.usage_points import Contact, ContactKind

# People at one usage point who are told; more would be a mailing list.
MAX_CONTACTS = 10

log = structlog.get_logger(__name__)


class Messenger(Protocol):
    """Carries one message to one person."""

    async def send(self, message: Message, contact: Contact) -> None:
        """Raises NotSent, whose text shows neither digits nor addresses nor passwords."""

    async def aclose(self) -> None:
        """Let go of what is held."""


class Router:
    """Satisfies `ports.Handover`. The second messenger of a kind is asked when the first fails."""

    def __init__(
        self, messengers: Mapping[ContactKind, Sequence[Messenger]], templates: Templates
    ) -> None:
        self._messengers = {kind: tuple(of_kind) for kind, of_kind in messengers.items()}
        self._templates = templates

    async def give(self, note: Note) -> None:
        """Tell everybody, all at once; raises NotSent when nobody at all could be told."""
        message = self._templates.compose(note)
        async with asyncio.TaskGroup() as group:
            told = [
                group.create_task(self._tell(message, contact))
                for contact in note.contacts[:MAX_CONTACTS]
            ]
        if not any(task.result() for task in told):
            raise NotSent("nobody could be told" if told else "there is nobody to tell")

    async def aclose(self) -> None:
        """Close every messenger."""
        everyone = {id(one): one for of_kind in self._messengers.values() for one in of_kind}
        for messenger in everyone.values():
            await messenger.aclose()

    async def _tell(self, message: Message, contact: Contact) -> bool:
        for messenger in self._messengers.get(contact.kind, ()):
            try:
                await messenger.send(message, contact)
            except NotSent as exc:
                log.warning(
                    "message not given",
                    message=message.id,
                    kind=contact.kind,
                    to=hidden(contact),
                    messenger=type(messenger).__name__,
                    reason=str(exc),
                )
            else:
                log.info("message given", message=message.id, kind=contact.kind, to=hidden(contact))
                return True
        if not self._messengers.get(contact.kind):
            log.warning("no messenger of this kind", message=message.id, kind=contact.kind)
        return False
