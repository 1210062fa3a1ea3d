"""Holds: one kind of dangerous order of one supply group is stopped until a person lifts it.

Credit, and permitting supply, are never held.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from headend.dangers import Danger
from headend.meters import TenantId
from headend.pages import Cursor, Page
from headend.people import PersonId


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why a kind is held in a group, since when, and who lifted it."""

    id: str
    tenant: TenantId
    danger: Danger
    sgc: str
    reason: str
    since: datetime
    lifted_at: datetime | None = None
    lifted_by: PersonId | None = None
    lift_reason: str = ""


class Holds(Protocol):
    """The collection of a transaction."""

    async def add(self, hold: Hold) -> bool:
        """Whether it is new: a kind is held once in a group."""

    async def find(self, tenant: TenantId, ident: str) -> Hold | None: ...

    async def in_force(self, tenant: TenantId, danger: Danger, sgc: str) -> Hold | None: ...

    async def last_lifted(self, tenant: TenantId, danger: Danger, sgc: str) -> datetime | None:
        """When the last one was lifted: failures before then count no more."""

    async def lift(self, hold: Hold) -> bool:
        """Write down `lifted_at`, `lifted_by` and why; whether it was still in force."""

    async def all_in_force(self, tenant: TenantId) -> Sequence[Hold]:
        """Oldest first."""

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[Hold]:
        """Newest first, lifted ones too."""
