"""API keys: who may call, for which tenant, and what for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol

from headend.meters import TenantId
from headend.people import PersonId


@unique
class Scope(StrEnum):
    """What a key may do. `disconnect` is apart from `supply`: opening is dangerous.

    `keys` changes the keys of meters; `engineering` makes management tokens and verifies tokens;
    `audit` reads who did what; `lines` watches lines, of all utilities on them; `webhooks` says
    where everything is told.
    """

    RECHARGE = "recharge"
    REVEAL = "reveal"
    READ = "read"
    METERS = "meters"
    SUPPLY = "supply"
    DISCONNECT = "disconnect"
    KEYS = "keys"
    ENGINEERING = "engineering"
    AUDIT = "audit"
    LINES = "lines"
    WEBHOOKS = "webhooks"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key; only the SHA-256 of its 256 random bits is kept.

    `person` is whom it belongs to; None: a machine, or many.
    """

    id: str
    tenant: TenantId
    name: str
    scopes: frozenset[Scope]
    sha256: bytes = field(repr=False)
    created_at: datetime
    revoked_at: datetime | None = None
    person: PersonId | None = None


class ApiKeys(Protocol):
    async def add(self, key: ApiKey) -> None: ...

    async def find(self, ident: str) -> ApiKey | None: ...

    async def all(self, tenant: TenantId) -> Sequence[ApiKey]: ...

    async def revoke(self, ident: str, now: datetime) -> bool: ...
