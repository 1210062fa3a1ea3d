"""Usage points: where a meter serves, and whom to tell. Meters are swapped, the place stays."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique

from headend.meters import TenantId, UsagePointId


@unique
class ContactKind(StrEnum):
    """How a person can be told."""

    SMS = "sms"
    EMAIL = "email"


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a message goes: E.164 number for SMS, mail address for e-mail."""

    kind: ContactKind
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePoint:
    """Where a meter serves. `language` is a BCP 47 tag; `protected`: life support and the like."""

    tenant: TenantId
    id: UsagePointId
    name: str = ""
    contacts: tuple[Contact, ...] = ()
    language: str | None = None
    protected: bool = False
    version: int = 1
    changed_at: datetime
