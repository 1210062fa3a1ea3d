"""Webhooks: where the back-office wants to be told, and each announcement on its way there.

A posting is one announcement for one webhook. It is repeated until the receiver says 2xx, for about
three days; then it is a dead letter, which is kept and can be replayed. A receiver that is dead is
left alone for a while as a whole (`rest_until`); a posting that alone is rejected waits by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Protocol

from headend.meters import Drn, TenantId
from headend.outbox import Announced

MAX_WEBHOOKS = 20
MAX_ATTEMPTS = 45
GIVE_UP_AFTER = timedelta(days=3)
# The first failure may be a hiccup; later ones are spread: three days take 25 to 45 tries.
RETRY_FIRST_S = 5.0
RETRY_MAX_S = 4 * 3600.0
# A posting of a meter waits for the one before it, but one that is rejected for ever must not keep
# back the news that the light is on: after so many tries the others go, and the sequence tells.
HOLD_TRIES = 3
# So many failures in a row are not the fault of one announcement.
FAILING_AFTER = 4
REST_FIRST_S = 5.0
REST_MAX_S = 15 * 60.0
RETRY_AFTER_MAX = timedelta(hours=1)


@unique
class WebhookState(StrEnum):
    """Paused ones are told everything later, as far as it is kept."""

    ACTIVE = "active"
    PAUSED = "paused"


@unique
class PausedBy(StrEnum):
    """Who paused it: a caller of ours, or the receiver, which said 410 Gone."""

    CALLER = "caller"
    RECEIVER = "receiver"


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A signing secret under the master key `master_id`."""

    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)
    master_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a receiver does. `failures` in a row; `detail` is our word for the last one."""

    failures: int = 0
    failing_since: datetime | None = None
    rest_until: datetime | None = None
    status: int | None = None
    detail: str = ""
    told_at: datetime | None = None

    def well(self, *, now: datetime, status: int) -> "Health":
        """After a success."""
        return Health(status=status, told_at=now)

    def failed(
        self,
        *,
        now: datetime,
        spread: float,
        status: int | None,
        detail: str,
        longest_s: float = REST_MAX_S,
    ) -> "Health":
        """After one more failure in a row; from FAILING_AFTER on the receiver is let rest."""
        failures = self.failures + 1
        rest_until = None
        if failures >= FAILING_AFTER:
            wait_s = min(REST_FIRST_S * 2.0 ** min(failures - FAILING_AFTER, 16), longest_s)
            rest_until = now + timedelta(seconds=wait_s * (0.5 + spread / 2))
        return replace(
            self,
            failures=failures,
            failing_since=self.failing_since or now,
            rest_until=rest_until,
            status=status,
            detail=detail[:200],
        )

    def resting(self, until: datetime) -> "Health":
        """The receiver itself asked to be left alone (Retry-After)."""
        return replace(self, rest_until=max(until, self.rest_until or until))


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One receiver of a tenant. An empty `types` wants everything.

    The URL is told to nobody but who manages webhooks: it may carry a password of the receiver.
    While `old_until` is ahead, messages are signed with both secrets.
    """

    id: str
    tenant: TenantId
    url: str = field(repr=False)
    description: str = ""
    types: tuple[str, ...] = ()
    state: WebhookState = WebhookState.ACTIVE
    paused_by: PausedBy | None = None
    secret: SealedSecret
    old_secret: SealedSecret | None = None
    old_until: datetime | None = None
    health: Health = Health()
    version: int = 1
    created_at: datetime
    changed_at: datetime


@unique
class PostingState(StrEnum):
    """Where a posting stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One announcement for one webhook; `cursor` is that of the announcement."""

    webhook_id: str
    tenant: TenantId
    cursor: int
    drn: Drn | None
    state: PostingState = PostingState.PENDING
    attempts: int = 0
    not_before: datetime
    give_up_at: datetime
    status: int | None = None
    detail: str = ""
    lease_id: str | None = None
    lease_until: datetime | None = None
    ended_at: datetime | None = None

    def delivered(self, *, now: datetime, status: int) -> "Posting":
        return replace(
            self,
            state=PostingState.DELIVERED,
            attempts=self.attempts + 1,
            status=status,
            detail="",
            lease_id=None,
            lease_until=None,
            ended_at=now,
        )

    def failed(self, *, now: datetime, spread: float, status: int | None, detail: str) -> "Posting":
        """Tried in vain: again later, or dead."""
        attempts = self.attempts + 1
        dead = attempts >= MAX_ATTEMPTS or now >= self.give_up_at
        wait_s = min(RETRY_FIRST_S * 3.0 ** min(attempts - 1, 16), RETRY_MAX_S)
        return replace(
            self,
            state=PostingState.DEAD if dead else PostingState.PENDING,
            attempts=attempts,
            not_before=now + timedelta(seconds=wait_s * (0.5 + spread / 2)),
            status=status,
            detail=detail[:200],
            lease_id=None,
            lease_until=None,
            ended_at=now if dead else None,
        )

    def released(self, *, not_before: datetime) -> "Posting":
        """Not tried after all, or asked to come later: no attempt is counted."""
        return replace(self, not_before=not_before, lease_id=None, lease_until=None)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for one webhook and what died."""

    webhook_id: str
    pending: int
    oldest_at: datetime | None
    dead: int


class Webhooks(Protocol):
    async def add(self, webhook: Webhook) -> None:
        """Raises Stale when the id is taken."""

    async def find(self, tenant: TenantId, ident: str) -> Webhook | None: ...

    async def all(self, tenant: TenantId | None) -> Sequence[Webhook]:
        """Oldest first."""

    async def save(self, webhook: Webhook, *, was: int) -> None:
        """All but its health; `was` is the version read. Raises Stale."""

    async def note(self, ident: str, health: Health) -> None:
        """Write down how its receiver does."""

    async def remove(self, tenant: TenantId, ident: str) -> bool:
        """With everything that waits for it; whether it was there."""

    async def due(self, *, now: datetime, limit: int) -> Sequence[Webhook]:
        """Active ones that do not rest and have a posting to be sent now."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A posting that was given up, and what it was to tell."""

    posting: Posting
    announced: Announced


class Postings(Protocol):
    async def take(
        self, webhook_id: str, *, now: datetime, lease_id: str, lease_until: datetime, limit: int
    ) -> Sequence[tuple[Posting, Announced]]:
        """Lease pending ones that are due, oldest first, at most one a meter.

        One of a meter waits while an earlier one is pending that was tried less than HOLD_TRIES
        times. Two workers never get the same (PostgreSQL: SKIP LOCKED).
        """

    async def save(self, posting: Posting, *, lease_id: str) -> bool:
        """What became of a leased one; False when the lease is another's by now."""

    async def give_up(self, webhook_id: str, *, now: datetime, detail: str, limit: int) -> int:
        """Those pending and past their time are dead, whether they were tried or not. Count."""

    async def dead(self, webhook_id: str, *, after: int, limit: int) -> Sequence[DeadLetter]:
        """Those with a higher cursor, in the order of the stream."""

    async def replay(
        self,
        webhook_id: str,
        announced: Sequence[Announced],
        *,
        now: datetime,
        give_up_at: datetime,
    ) -> None:
        """Let announcements be posted as if for the first time, whatever became of them before."""

    async def backlogs(self, tenant: TenantId | None) -> Sequence[Backlog]:
        """Of every webhook that has a pending posting or a dead letter."""

    async def prune(self, *, delivered_before: datetime, dead_before: datetime, limit: int) -> int:
        """Remove those that ended before then."""
