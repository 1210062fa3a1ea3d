"""The desk for webhooks: made, changed, rotated, removed, and what died replayed."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from headend.meters import TenantId, parse_drn
from headend.outbox import Announced, Bell, StreamFilter, known_types
from headend.ports import Chance, Clock
from headend.races import lost_races_again
from headend.receivers import Receivers, Seals
from headend.refusals import MalformedOrder
from headend.store import Store, Transaction
from headend.webhook_refusals import TooManyWebhooks, UnknownEvent, UnknownWebhook
from headend.webhooks import (
    GIVE_UP_AFTER,
    MAX_WEBHOOKS,
    DeadLetter,
    Health,
    PausedBy,
    Webhook,
    WebhookState,
)

SECRET_PREFIX = "whsec_"
OLD_SECRET_DEFAULT = timedelta(hours=24)
OLD_SECRET_MAX = timedelta(days=7)
REPLAY_BATCH = 500
REPLAY_MAX = 10_000


class SecretChance(Chance, Protocol):
    """Randomness for secrets too."""

    def secret(self) -> bytes:
        """256 random bits."""


@dataclass(frozen=True, slots=True)
class WithSecret:
    """A webhook and its secret as text, shown once."""

    webhook: Webhook
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOrder:
    """What the caller asks; None leaves a field as it is."""

    url: str | None = field(default=None, repr=False)
    description: str | None = None
    types: tuple[str, ...] | None = None
    state: WebhookState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many are told again; `more`: ask again with `since` the time of the last one."""

    count: int
    more: bool


class WebhookDesk:
    """Keeps the webhooks of all tenants."""

    def __init__(
        self,
        store: Store,
        receivers: Receivers,
        seals: Seals,
        *,
        clock: Clock,
        chance: SecretChance,
        wake: Bell,
        give_up_after: timedelta = GIVE_UP_AFTER,
    ) -> None:
        self._store = store
        self._receivers = receivers
        self._seals = seals
        self._clock = clock
        self._chance = chance
        self._wake = wake
        self._give_up_after = give_up_after

    async def add(self, tenant: TenantId, order: WebhookOrder) -> WithSecret:
        """A new one, told everything from now on. Raises ReceiverRefused, TooManyWebhooks."""
        now, secret = self._clock.now(), self._chance.secret()
        assert order.url is not None
        self._check(order)
        ident = self._chance.ident(now)
        webhook = Webhook(
            id=ident,
            tenant=tenant,
            url=order.url,
            description=order.description or "",
            types=order.types or (),
            secret=self._seals.seal(secret, bound_to=ident),
            created_at=now,
            changed_at=now,
        )
        async with self._store.begin() as tx:
            await tx.tenants.lock(tenant)
            if len(await tx.webhooks.all(tenant)) >= MAX_WEBHOOKS:
                raise TooManyWebhooks(f"a tenant has at most {MAX_WEBHOOKS}; remove one")
            await tx.webhooks.add(webhook)
        return WithSecret(webhook, secret_text(secret))

    async def find(self, tenant: TenantId, ident: str) -> Webhook:
        """Raises UnknownWebhook."""
        async with self._store.look() as tx:
            return await _found(tx, tenant, ident)

    @lost_races_again
    async def change(self, tenant: TenantId, ident: str, order: WebhookOrder) -> Webhook:
        """Change, pause or resume it. Resumed it is told at once, without a rest."""
        self._check(order)
        now = self._clock.now()
        async with self._store.begin() as tx:
            webhook = await _found(tx, tenant, ident)
            state = order.state or webhook.state
            changed = replace(
                webhook,
                url=webhook.url if order.url is None else order.url,
                description=webhook.description if order.description is None else order.description,
                types=webhook.types if order.types is None else order.types,
                state=state,
                paused_by=_paused_by(webhook, order),
                version=webhook.version + 1,
                changed_at=now,
            )
            await tx.webhooks.save(changed, was=webhook.version)
            resumed = state is WebhookState.ACTIVE
            if resumed and (order.url is not None or order.state is not None):
                await tx.webhooks.note(ident, Health())
                changed = replace(changed, health=Health())
        self._wake.ring()
        return changed

    @lost_races_again
    async def rotate(self, tenant: TenantId, ident: str, *, old_for: timedelta) -> WithSecret:
        """A new secret; for so long messages are signed with the old one as well."""
        now, secret = self._clock.now(), self._chance.secret()
        async with self._store.begin() as tx:
            webhook = await _found(tx, tenant, ident)
            changed = replace(
                webhook,
                secret=self._seals.seal(secret, bound_to=ident),
                old_secret=webhook.secret if old_for else None,
                old_until=now + old_for if old_for else None,
                version=webhook.version + 1,
                changed_at=now,
            )
            await tx.webhooks.save(changed, was=webhook.version)
        return WithSecret(changed, secret_text(secret))

    async def remove(self, tenant: TenantId, ident: str) -> Webhook:
        """Remove it with all that waits for it and its dead letters. Raises UnknownWebhook."""
        async with self._store.begin() as tx:
            webhook = await _found(tx, tenant, ident)
            await tx.webhooks.remove(tenant, ident)
        return webhook

    async def dead_letters(
        self, tenant: TenantId, ident: str, *, after: int, limit: int
    ) -> Sequence[DeadLetter]:
        """Of one webhook, in the order of the stream. Raises UnknownWebhook."""
        async with self._store.look() as tx:
            await _found(tx, tenant, ident)
            return await tx.postings.dead(ident, after=after, limit=limit)

    # --- replays -------------------------------------------------------------------------------

    async def replay_one(self, tenant: TenantId, ident: str, event_id: str) -> Replayed:
        """Tell one event again, by its id. Raises UnknownWebhook, UnknownEvent."""
        where = _named(event_id)
        async with self._store.begin() as tx:
            await _found(tx, tenant, ident)
            found = await tx.outbox.after(tenant, 0, where, limit=1)
            if not found:
                raise UnknownEvent(f"no event {event_id}, or it is kept no longer", field="event")
            await self._replay(tx, ident, found)
        self._wake.ring()
        return Replayed(count=1, more=False)

    async def replay_dead(self, tenant: TenantId, ident: str) -> Replayed:
        """Tell its dead letters again, at most REPLAY_MAX at a time."""
        count, some = 0, REPLAY_BATCH
        while some == REPLAY_BATCH and count < REPLAY_MAX:
            async with self._store.begin() as tx:
                await _found(tx, tenant, ident)
                dead = await tx.postings.dead(ident, after=0, limit=REPLAY_BATCH)
                await self._replay(tx, ident, [letter.announced for letter in dead])
            some = len(dead)
            count += some
        self._wake.ring()
        return Replayed(count=count, more=some == REPLAY_BATCH)

    async def replay_since(
        self, tenant: TenantId, ident: str, *, since: datetime, until: datetime
    ) -> Replayed:
        """Tell again what happened in a time, as far as it is kept and wanted."""
        count, cursor, some = 0, 0, REPLAY_BATCH
        while some == REPLAY_BATCH and count < REPLAY_MAX:
            async with self._store.begin() as tx:
                webhook = await _found(tx, tenant, ident)
                where = StreamFilter(types=webhook.types, since=since, until=until)
                found = await tx.outbox.after(tenant, cursor, where, limit=REPLAY_BATCH)
                await self._replay(tx, ident, found)
            some = len(found)
            count += some
            cursor = found[-1].cursor if found else cursor
        self._wake.ring()
        return Replayed(count=count, more=some == REPLAY_BATCH)

    async def _replay(self, tx: Transaction, ident: str, announced: Sequence[Announced]) -> None:
        now = self._clock.now()
        give_up_at = now + self._give_up_after
        await tx.postings.replay(ident, announced, now=now, give_up_at=give_up_at)

    def _check(self, order: WebhookOrder) -> None:
        if order.url is not None:
            self._receivers.check(order.url)
        for place, one in enumerate(order.types or ()):
            if one not in known_types():
                raise MalformedOrder(
                    f"no event type {one}; one is headend.recharge.lit.v1, and all of a family"
                    " headend.recharge.*",
                    field=f"types.{place}",
                )


def secret_text(secret: bytes) -> str:
    """As Standard Webhooks libraries take it."""
    return SECRET_PREFIX + b64encode(secret).decode()


def _paused_by(webhook: Webhook, order: WebhookOrder) -> PausedBy | None:
    match order.state:
        case None:
            return webhook.paused_by
        case WebhookState.PAUSED:
            return PausedBy.CALLER
        case WebhookState.ACTIVE:
            return None


def _named(event_id: str) -> StreamFilter:
    """The place of an event in the sequences, from its id."""
    meter, _, number = event_id.rpartition("-")
    if not (number.isascii() and number.isdigit()) or len(number) > 18:
        raise UnknownEvent(f"no event {event_id}", field="event")
    drn = None if meter == "tenant" else parse_drn(meter, field="event")
    return StreamFilter(drn=drn, sequence=int(number))


async def _found(tx: Transaction, tenant: TenantId, ident: str) -> Webhook:
    webhook = await tx.webhooks.find(tenant, ident)
    if webhook is None:
        raise UnknownWebhook(f"no webhook {ident}", field="id")
    return webhook
