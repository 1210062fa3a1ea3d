"""Approvals: a dangerous order, job or change of caps that waits for a second, named human.

Bound to one exact order and used once. Nothing is made or sent before it is approved. An approval
is never by an API key, and never by one of the people for whom the order was made.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Protocol

from headend.commands import Command
from headend.dangers import Caps, Danger
from headend.meters import Drn, TenantId
from headend.pages import Cursor, Page
from headend.people import PersonId

EXPIRES_AFTER = timedelta(hours=24)


@unique
class ApprovalSubject(StrEnum):
    """What is to be approved."""

    ORDER = "order"
    JOB = "job"
    CAPS = "caps"


@unique
class ApprovalState(StrEnum):
    """Where an approval stands; FAILED: approved, and then the order itself was refused.

    WITHDRAWN: what it was for has ended without it.
    """

    WAITING = "waiting"
    APPROVED = "approved"
    CARRIED_OUT = "carried_out"
    REFUSED = "refused"
    EXPIRED = "expired"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


UNDECIDED = frozenset({ApprovalState.WAITING, ApprovalState.APPROVED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What waits, why, for whom it was ordered, and who decided.

    `order_id` is the id of the order or job. Of an order `drn` and `command` are set; of a change
    of caps `danger`, `caps` and, for one group, `sgc`. `detail` tells what came of it.
    """

    id: str
    tenant: TenantId
    subject: ApprovalSubject
    order_id: str
    danger: Danger
    sgc: str | None = None
    drn: Drn | None = None
    command: Command | None = None
    three_kct: bool = False
    caps: Caps | None = None
    ordered_by: str | None = None
    requesters: frozenset[PersonId]
    reason: str
    state: ApprovalState = ApprovalState.WAITING
    created_at: datetime
    expires_at: datetime
    decided_by: PersonId | None = None
    decided_at: datetime | None = None
    detail: str = ""

    def at(self, now: datetime) -> "Approval":
        """As it stands now: one that nobody carried out in its time has expired."""
        if self.state in UNDECIDED and now >= self.expires_at:
            return replace(self, state=ApprovalState.EXPIRED)
        return self

    def decided(
        self, state: ApprovalState, *, by: PersonId, now: datetime, detail: str = ""
    ) -> "Approval":
        return replace(self, state=state, decided_by=by, decided_at=now, detail=detail)


class Approvals(Protocol):
    """The collection of a transaction; what is read to be written is locked."""

    async def add(self, approval: Approval) -> None:
        """Raises Stale when there is one for this order."""

    async def find(self, tenant: TenantId, ident: str) -> Approval | None: ...

    async def of(
        self, tenant: TenantId, subject: ApprovalSubject, order_id: str
    ) -> Approval | None: ...

    async def save(self, approval: Approval, *, was: ApprovalState) -> None:
        """Raises Stale when its state is another by now."""

    async def page(
        self, tenant: TenantId, cursor: Cursor, *, state: ApprovalState | None = None
    ) -> Page[Approval]:
        """Newest first."""

    async def approved(self, *, limit: int) -> Sequence[Approval]:
        """Orders approved and not carried out yet, oldest first, of every tenant."""

    async def lapsed(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        """WAITING and APPROVED ones whose time is over, of every tenant."""
