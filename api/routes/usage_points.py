"""Usage points: where a meter serves, and whom to tell. Meters are swapped, the place stays."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field, StringConstraints

from api.auth import Keeper, Reader
from api.documenting import explained
from api.head_end import Desks
from api.problems import PreconditionRequired
from api.routes.contacts import ContactForm, contact_form
from api.routes.forms import Asked, IdentPath, PagesAsked, PageTold, Text, Told
from api.routes.preconditions import IfMatch, mark, mark_put, replaced_version
from headend import refusals
from headend.audit import AuditAction, Entry
from headend.errors import Stale
from headend.meters import TenantId, UsagePointId
from headend.store import Store
from headend.usage_points import UsagePoint

router = APIRouter(prefix="/v1", tags=["usage points"])
Language = Annotated[
    str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")
]


class UsagePointAsked(Asked):
    """A place where a meter serves."""

    name: Text = ""
    contacts: Annotated[
        Sequence[ContactForm],
        Field(max_length=5, description="Whom to tell where a sale names nobody."),
    ] = ()
    language: Annotated[Language | None, Field(description="BCP 47 tag.", examples=["en"])] = None
    protected: Annotated[
        bool, Field(strict=True, description="Life support and the like: never disconnected.")
    ] = False

    def point(self, tenant: TenantId, id: str, *, version: int, now: datetime) -> UsagePoint:
        return UsagePoint(
            tenant=tenant,
            id=UsagePointId(id),
            name=self.name,
            contacts=tuple(contact.contact() for contact in self.contacts),
            language=self.language,
            protected=self.protected,
            version=version,
            changed_at=now,
        )


class UsagePointTold(Told):
    """A usage point as it stands."""

    id: str
    name: str
    contacts: Sequence[ContactForm]
    language: str | None
    protected: bool
    version: int
    changed_at: datetime

    @classmethod
    def of(cls, point: UsagePoint) -> "UsagePointTold":
        return cls(
            id=point.id,
            name=point.name,
            contacts=[contact_form(contact) for contact in point.contacts],
            language=point.language,
            protected=point.protected,
            version=point.version,
            changed_at=point.changed_at,
        )


@router.put(
    "/usage-points/{id}",
    summary="Make or replace a usage point",
    responses=explained(
        refusals.VersionDiffers,
        PreconditionRequired,
        body=True,
        also={201: {"model": UsagePointTold, "description": "Made"}},
    ),
)
async def put_usage_point(
    id: IdentPath,
    body: UsagePointAsked,
    caller: Keeper,
    desks: Desks,
    response: Response,
    *,
    if_match: IfMatch = None,
) -> UsagePointTold:
    """Replacing needs If-Match with the ETag read; making goes without."""
    known = await _find(desks.store, caller.tenant, id)
    was = replaced_version(known.version if known else None, if_match)
    now = desks.clock.now()
    point = body.point(caller.tenant, id, version=(was or 0) + 1, now=now)
    by = f"key:{caller.id}"
    await desks.writes.finish(_put(desks.store, point, known, was=was, by=by))
    mark_put(response, point.version)
    return UsagePointTold.of(point)


@router.get(
    "/usage-points/{id}",
    summary="One usage point",
    responses=explained(refusals.UnknownUsagePoint),
)
async def read_usage_point(
    id: IdentPath, caller: Reader, desks: Desks, response: Response
) -> UsagePointTold:
    point = await _find(desks.store, caller.tenant, id)
    if point is None:
        raise refusals.UnknownUsagePoint(f"no usage point {id}", field="id")
    mark(response, point.version)
    return UsagePointTold.of(point)


@router.get(
    "/usage-points", summary="Usage points, by id", responses=explained(refusals.MalformedOrder)
)
async def list_usage_points(
    caller: Reader,
    desks: Desks,
    paging: PagesAsked,
) -> PageTold[UsagePointTold]:
    async with desks.store.look() as tx:
        page = await tx.usage_points.page(caller.tenant, paging.cursor)
    items = [UsagePointTold.of(point) for point in page.items]
    return paging.told(page, items)


async def _find(store: Store, tenant: TenantId, id: str) -> UsagePoint | None:
    async with store.look() as tx:
        return await tx.usage_points.find(tenant, UsagePointId(id))


async def _put(
    store: Store, point: UsagePoint, known: UsagePoint | None, *, was: int | None, by: str
) -> None:
    try:
        async with store.begin() as tx:
            await tx.usage_points.put(point, was=was)
            if known is not None and known.protected != point.protected:
                await tx.audit.append(_protection_changed(point, by))
    except Stale as error:
        raise refusals.VersionDiffers("it was changed meanwhile: read it again") from error


def _protection_changed(point: UsagePoint, by: str) -> Entry:
    """From now on supply may be opened there, or may not."""
    return Entry(
        tenant=point.tenant,
        at=point.changed_at,
        by=by,
        action=AuditAction.PROTECTION_CHANGED,
        subject=point.id,
        result="protected" if point.protected else "no longer protected",
    )
