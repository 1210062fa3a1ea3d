"""Who carries which message: for each person, the providers of their kind, in the set order.

Knows nothing of how a provider does it. Logs name a person only as far as `hidden` does.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

import structlog

from adapters.handover.addresses import hidden, is_mailbox, is_phone
from adapters.handover.message import Message, Templates
from adapters.handover.providers import Provider, in_turn
from headend.errors import NotSent
from headend.ports import Alert, Dispatch, Note
from headend.usage_points import Contact, ContactKind

# People at one usage point who are told; more would be a mailing list.
MAX_CONTACTS = 10

log = structlog.get_logger(__name__)


class Router:
    """Satisfies `ports.Handover`. The next provider of a kind is asked when one fails.

    `counts` are messages by provider and what came of them.
    """

    def __init__(
        self, providers: Mapping[ContactKind, Sequence[Provider]], templates: Templates
    ) -> None:
        self._providers = {kind: tuple(of_kind) for kind, of_kind in providers.items()}
        self._templates = templates
        self.counts: Counter[tuple[str, str]] = Counter()

    async def give(self, note: Note) -> Sequence[Dispatch]:
        """Tell everybody, all at once; raises NotSent when nobody at all could be told."""
        return await self._all(self._templates.compose(note), note.contacts, note.tried)

    async def tell(self, alert: Alert) -> None:
        """Satisfies `ports.Alarm`, through the same providers."""
        await self._all(self._templates.alert(alert), alert.contacts, frozenset())

    async def _all(
        self,
        message: Message,
        contacts: Sequence[Contact],
        tried: frozenset[tuple[Contact, str]],
    ) -> Sequence[Dispatch]:
        async with asyncio.TaskGroup() as group:
            told = [
                group.create_task(self._tell(message, contact, tried))
                for contact in contacts[:MAX_CONTACTS]
            ]
        dispatches = [dispatch for task in told if (dispatch := task.result()) is not None]
        if not dispatches:
            raise NotSent("nobody could be told" if told else "there is nobody to tell")
        return dispatches

    async def aclose(self) -> None:
        """Close every provider."""
        everyone = {
            id(one.messenger): one.messenger
            for of_kind in self._providers.values()
            for one in of_kind
        }
        for messenger in everyone.values():
            await messenger.aclose()

    async def _tell(
        self, message: Message, contact: Contact, tried: frozenset[tuple[Contact, str]]
    ) -> Dispatch | None:
        if not _is_address(contact):
            log.warning("this is no address", message=message.id, kind=contact.kind)
            return None
        # A gateway that knows a repeat by its id must not take two people for one.
        personal = replace(message, id=f"{message.id}.{_person(contact)}")
        now_s = asyncio.get_running_loop().time()
        untried = [
            provider
            for provider in self._providers.get(contact.kind, ())
            if (contact, provider.name) not in tried
        ]
        for provider in in_turn(untried, now_s):
            dispatch = await self._sent(provider, personal, contact)
            if dispatch is not None:
                return dispatch
        if not untried:
            log.warning("no provider is left", message=message.id, kind=contact.kind)
        return None

    async def _sent(
        self, provider: Provider, message: Message, contact: Contact
    ) -> Dispatch | None:
        facts = {"message": message.id, "kind": contact.kind, "to": hidden(contact)}
        try:
            reference = await provider.send(message, contact)
        except NotSent as exc:
            self.counts[provider.name, "not_given"] += 1
            log.warning("message not given", provider=provider.name, reason=str(exc), **facts)
            return None
        self.counts[provider.name, "given"] += 1
        log.info("message given", provider=provider.name, **facts)
        return Dispatch(
            contact=contact,
            provider=provider.name,
            reference=reference or message.id,
            receipt_within_s=provider.receipt_within_s,
        )


def _is_address(contact: Contact) -> bool:
    """What no provider could use is no provider's fault."""
    match contact.kind:
        case ContactKind.SMS:
            return is_phone(contact.address)
        case ContactKind.EMAIL:
            return is_mailbox(contact.address)


def _person(contact: Contact) -> str:
    return sha256(contact.address.encode()).hexdigest()[:8]
