"""Audit: who did what that is dangerous, when, and what came of it. Records are only ever added.

Each record carries a hash over itself and the hash before it, one chain a tenant, so that a record
that was changed or taken away shows. It says nothing that is secret.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum, unique
from typing import Protocol

from headend.meters import TenantId
from headend.pages import Cursor, Page

BEGINNING = "0" * 64
# Who acts where no key and no person does.
COMMAND_LINE = "command line"
HEAD_END = "head-end"


@unique
class AuditAction(StrEnum):
    """What can be told."""

    ORDERED = "ordered"
    ORDER_REFUSED = "order_refused"
    ORDER_ENDED = "order_ended"
    ORDER_SETTLED = "order_settled"  # a person told what became of one in doubt
    CAP_REACHED = "cap_reached"
    APPROVAL_ASKED = "approval_asked"
    APPROVED = "approved"
    APPROVAL_REFUSED = "approval_refused"
    APPROVAL_EXPIRED = "approval_expired"
    APPROVAL_WITHDRAWN = "approval_withdrawn"
    APPROVAL_DENIED = "approval_denied"  # somebody tried who may not
    CARRIED_OUT = "carried_out"
    HELD = "held"
    LIFTED = "lifted"
    CAPS_CHANGED = "caps_changed"
    HOURS_CHANGED = "hours_changed"
    ZONE_CHANGED = "zone_changed"
    PROTECTION_CHANGED = "protection_changed"
    DIGITS_REVEALED = "digits_revealed"
    KEY_CREATED = "key_created"
    KEY_REVOKED = "key_revoked"
    PERSON_CREATED = "person_created"
    PERSON_RENEWED = "person_renewed"
    PERSON_REVOKED = "person_revoked"
    JOB_ORDERED = "job_ordered"
    JOB_CANCELLED = "job_cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is to be told: `by` is who (`key:ID`, `person:ID`, ...), `subject` what it is about."""

    tenant: TenantId
    at: datetime
    by: str
    action: AuditAction
    subject: str
    result: str = ""
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """An entry in its place in the chain; numbers of a tenant count from 1 without a gap."""

    number: int
    entry: Entry
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain of a tenant ends: the number and hash of its last record."""

    number: int = 0
    hash: str = BEGINNING


def chained(entry: Entry, after: Head) -> AuditRecord:
    """The record that follows."""
    number = after.number + 1
    content = [
        after.hash,
        number,
        entry.tenant,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        entry.by,
        entry.action.value,
        entry.subject,
        entry.result,
        sorted(entry.about.items()),
    ]
    plain = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    return AuditRecord(number=number, entry=entry, hash=hashlib.sha256(plain.encode()).hexdigest())


def broken_at(records: Iterable[AuditRecord], *, after: Head) -> int | None:
    """The first number at which records, in order, do not follow on `after`; None if all do."""
    head = after
    for record in records:
        if record != chained(record.entry, head):
            return head.number + 1
        head = Head(record.number, record.hash)
    return None


class Audit(Protocol):
    """The collection of a transaction."""

    async def append(self, entry: Entry) -> AuditRecord:
        """Add it behind the last of its tenant; others wait until this transaction ends."""

    async def head(self, tenant: TenantId) -> Head:
        """Where the chain ends, as it was noted with the last record."""

    async def following(
        self, tenant: TenantId, number: int, *, limit: int
    ) -> Sequence[AuditRecord]:
        """Those behind a number, in order."""

    async def page(
        self, tenant: TenantId, cursor: Cursor, *, action: AuditAction | None = None
    ) -> Page[AuditRecord]:
        """Newest first."""
