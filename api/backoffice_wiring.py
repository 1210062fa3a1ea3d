"""Wiring of the outbox to the back-office: receivers, seals, the post office, and the streams."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from adapters.backoffice.addresses import ReceiverRules
from adapters.backoffice.receivers import HttpReceivers
from adapters.vault.webhook_secrets import SecretSeals
from api.head_end import Work
from api.settings import Outbox, Role, Settings
from api.streams import Streams
from api.vault_wiring import load_masters
from headend.outbox import Bell
from headend.outbox_pruning import Kept, prune_outbox_for_ever
from headend.ports import Clock
from headend.posting import PostingPorts, PostOffice
from headend.store import Store
from headend.webhook_desk import SecretChance, WebhookDesk

# What a message may take beyond its time-out: its answer's body, and a busy database.
LEASE_MARGIN = timedelta(seconds=11)


@dataclass(frozen=True, slots=True)
class Bells:
    """What rings in this process: something was announced; it got its place in the stream."""

    announced: Bell = field(default_factory=Bell)
    ordered: Bell = field(default_factory=Bell)


@dataclass(frozen=True, slots=True)
class Backoffice:
    """The ways to the back-office, and what runs for them in this process."""

    webhooks: WebhookDesk
    streams: Streams
    works: Sequence[Work]


def open_backoffice(
    settings: Settings,
    store: Store,
    bells: Bells,
    *,
    clock: Clock,
    chance: SecretChance,
    stack: AsyncExitStack,
) -> Backoffice:
    """Put together, closed with the stack. A process that only answers REST posts nothing."""
    outbox = settings.outbox
    receivers = HttpReceivers(
        ReceiverRules(outbox.private_receivers, plain_http=outbox.plain_http),
        timeout_s=outbox.timeout_s,
    )
    stack.push_async_callback(receivers.aclose)
    seals = SecretSeals(partial(load_masters, settings))
    give_up_after = timedelta(hours=outbox.give_up_after_h)
    desk = WebhookDesk(
        store,
        receivers,
        seals,
        clock=clock,
        chance=chance,
        wake=bells.announced,
        give_up_after=give_up_after,
    )
    office = PostOffice(
        PostingPorts(
            store=store,
            receivers=receivers,
            seals=seals,
            clock=clock,
            chance=chance,
            announced=bells.announced,
            ordered=bells.ordered,
        ),
        source=outbox.source,
        give_up_after=give_up_after,
        lease=timedelta(seconds=outbox.timeout_s) + LEASE_MARGIN,
    )
    works = (
        Work("post office", office.serve),
        Work("outbox pruning", partial(prune_outbox_for_ever, store, clock, _kept(outbox))),
    )
    return Backoffice(
        webhooks=desk,
        streams=Streams(store, bells.ordered, source=outbox.source),
        works=() if settings.role is Role.API else works,
    )


def _kept(outbox: Outbox) -> Kept:
    return Kept(
        announcements=timedelta(days=outbox.keep_days),
        delivered=timedelta(days=outbox.keep_delivered_days),
        dead=timedelta(days=outbox.keep_dead_days),
    )
