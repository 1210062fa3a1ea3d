"""What posting asks of the world: receivers that are told, and seals for their secrets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from headend.webhooks import SealedSecret, Webhook

GONE, TIMED_OUT, TOO_MANY, UNAVAILABLE = 410, 408, 429, 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One event for one receiver, to be signed with each of the secrets (Standard Webhooks)."""

    url: str = field(repr=False)
    id: str
    at: datetime
    body: bytes = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back; `status` is None when nothing did, and `detail` says why it is no success."""

    status: int | None = None
    retry_after: timedelta | None = None
    detail: str = ""

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """The receiver wants nothing more."""
        return self.status == GONE

    @property
    def rejected(self) -> bool:
        """The receiver is alive, and does not want this one."""
        busy = {TIMED_OUT, TOO_MANY, GONE}
        return self.status is not None and 300 <= self.status < 500 and self.status not in busy


class Receivers(Protocol):
    """Tells receivers by HTTP."""

    def check(self, url: str) -> None:
        """Raises ReceiverRefused for one that would never be told."""

    async def tell(self, message: Message) -> Reply:
        """Never raises for what a receiver or a network does, and takes a bounded time."""


class Seals(Protocol):
    """Keeps the secrets of webhooks; `bound_to` is the webhook that a seal opens for only."""

    def seal(self, secret: bytes, *, bound_to: str) -> SealedSecret:
        """Raises HeadendError without a master key."""

    def unseal(self, sealed: SealedSecret, *, bound_to: str) -> bytes:
        """Raises HeadendError when it does not open."""


def secrets_of(webhook: Webhook, seals: Seals, *, now: datetime) -> tuple[bytes, ...]:
    """The secrets that messages are signed with now, the newest first. Raises HeadendError."""
    sealed: Sequence[SealedSecret] = (webhook.secret,)
    if webhook.old_secret is not None and webhook.old_until is not None and now < webhook.old_until:
        sealed = (webhook.secret, webhook.old_secret)
    return tuple(seals.unseal(one, bound_to=webhook.id) for one in sealed)
