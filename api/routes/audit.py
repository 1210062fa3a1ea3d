"""Audit and people: who did what that is dangerous, and who may decide."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from api.auth import Auditor, Onlooker
from api.documenting import explained
from api.head_end import Desks
from api.routes.forms import PagesAsked, PageTold, Told, grows
from headend import refusals
from headend.audit import AuditAction, AuditRecord
from headend.people import Person

router = APIRouter(prefix="/v1", tags=["limits on harm"])


class AuditTold(Told):
    """One record. `hash` covers it and the hash before it, so that what is taken away shows."""

    number: int
    at: datetime
    by: Annotated[str, Field(description="`key:ID`, `person:ID`, `command line` or `head-end`.")]
    action: Annotated[AuditAction, grows(AuditAction)]
    subject: Annotated[str, Field(description="Id of what it is about.")]
    result: str
    about: Mapping[str, str]
    hash: str

    @classmethod
    def of(cls, record: AuditRecord) -> "AuditTold":
        entry = record.entry
        return cls(
            number=record.number,
            at=entry.at,
            by=entry.by,
            action=entry.action,
            subject=entry.subject,
            result=entry.result,
            about=dict(entry.about),
            hash=record.hash,
        )


class PersonTold(Told):
    """A named human."""

    id: str
    name: str
    created_at: datetime
    renewed_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, person: Person) -> "PersonTold":
        return cls(
            id=person.id,
            name=person.name,
            created_at=person.created_at,
            renewed_at=person.renewed_at,
            revoked_at=person.revoked_at,
        )


class PeopleListed(Told):
    """Everybody, oldest first."""

    items: Sequence[PersonTold]


@router.get(
    "/audit", summary="The audit, newest first", responses=explained(refusals.MalformedOrder)
)
async def list_audit(
    caller: Auditor,
    desks: Desks,
    paging: PagesAsked,
    action: Annotated[AuditAction | None, Query(description="Only these.")] = None,
) -> PageTold[AuditTold]:
    async with desks.store.look() as tx:
        page = await tx.audit.page(caller.tenant, paging.cursor, action=action)
    return paging.told(page, [AuditTold.of(record) for record in page.items])


@router.get("/people", summary="The people who may approve", responses=explained())
async def list_people(tenant: Onlooker, desks: Desks) -> PeopleListed:
    """They are made on the command line: `headend people add`."""
    async with desks.store.look() as tx:
        people = await tx.people.all(tenant)
    return PeopleListed(items=[PersonTold.of(person) for person in people])
