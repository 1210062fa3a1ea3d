"""Escalations: the message to the people in charge of a group that somebody paid and is dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from headend.meters import TenantId
from headend.restoration import Threshold
from headend.usage_points import Contact


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """One message that is owed, once for each threshold of a recharge.

    `not_before` None: it was given, or nobody could be told until it was too late to matter.
    """

    tenant: TenantId
    recharge_id: str
    threshold: Threshold
    contacts: tuple[Contact, ...]
    language: str
    made_at: datetime
    tries: int = 0
    not_before: datetime | None
    given_at: datetime | None = None


class Escalations(Protocol):
    """What the core asks of the database."""

    async def add(self, escalation: Escalation) -> None:
        """Raises Stale when this threshold of the recharge has one."""

    async def due(self, *, now: datetime, limit: int) -> Sequence[Escalation]:
        """Owed ones whose time has come, oldest first, locked; those others hold are left out."""

    async def save(self, escalation: Escalation) -> None: ...

    async def of(self, tenant: TenantId, recharge_id: str) -> Sequence[Escalation]: ...
