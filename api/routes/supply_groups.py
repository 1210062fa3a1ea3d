"""Supply groups: the policy of the meters under one supply group code."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Path, Response
from pydantic import AfterValidator, Field, StrictInt, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from api.auth import Keeper, Reader
from api.documenting import explained
from api.head_end import Desks
from api.problems import PreconditionRequired
from api.routes.forms import Asked, Name, PagesAsked, PageTold, Text, Told, grows
from api.routes.preconditions import IfMatch, mark, mark_put, replaced_version
from api.routes.quantities import plain
from api.routes.restoration import RestorationAsked, RestorationTold
from api.routes.usage_points import Language
from headend import refusals
from headend.audit import AuditAction, Entry
from headend.errors import Stale
from headend.meters import TenantId
from headend.store import Store
from headend.supply_groups import DEFAULT_DEADLINE_S, DEFAULT_FALLBACK_S, Reveal, SupplyGroup

router = APIRouter(prefix="/v1", tags=["supply groups"])
DAY_S = 24 * 3600
SgcPath = Annotated[str, Path(pattern=r"^[0-9]{6}$", description="Supply group code: 6 digits.")]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise PydanticCustomError("zone", "no such time zone; one is Africa/Nairobi") from None
    return name


Zone = Annotated[
    str,
    StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$"),
    AfterValidator(_known_zone),
    Field(examples=["Africa/Nairobi"]),
]
UnitsLimit = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$"), Field(examples=["500"])
]


class SupplyGroupAsked(Asked):
    """Policy of one supply group."""

    name: Text = ""
    zone: Annotated[Zone, Field(description="Where its day begins.")] = "UTC"
    language: Annotated[Language, Field(description="Of messages: a BCP 47 tag.")] = "en"
    fallback_after_s: Annotated[
        StrictInt, Field(ge=0, le=DAY_S, description="A promise: digits in hand after this.")
    ] = DEFAULT_FALLBACK_S
    deadline_after_s: Annotated[
        StrictInt, Field(ge=60, le=90 * DAY_S, description="Remote gives up after this.")
    ] = DEFAULT_DEADLINE_S
    limit_per_recharge: UnitsLimit | None = None
    limit_per_day: UnitsLimit | None = None
    reveal: Annotated[Reveal, Field(description="When digits are shown.")] = Reveal.ON_FALLBACK
    reveal_at: Annotated[
        Mapping[Name, Reveal], Field(max_length=1000, description="The same by sales point.")
    ] = Field(default_factory=dict)
    restoration: Annotated[
        RestorationAsked, Field(description="When somebody is told, and the legal limit.")
    ] = RestorationAsked()

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        """Digits first, then people in charge, then the law."""
        times = self.restoration
        if self.fallback_after_s > times.tell_after_s:
            raise PydanticCustomError(
                "order", "restoration.tell_after_s must not be before fallback_after_s"
            )
        if times.tell_after_s >= times.limit_after_s:
            raise PydanticCustomError(
                "order", "restoration.limit_after_s must be after restoration.tell_after_s"
            )
        return self

    def group(self, tenant: TenantId, sgc: str, *, version: int, now: datetime) -> SupplyGroup:
        return SupplyGroup(
            tenant=tenant,
            sgc=sgc,
            name=self.name,
            zone=self.zone,
            language=self.language,
            fallback_after_s=self.fallback_after_s,
            deadline_after_s=self.deadline_after_s,
            limit_per_recharge=_decimal(self.limit_per_recharge),
            limit_per_day=_decimal(self.limit_per_day),
            reveal=self.reveal,
            reveal_at=dict(self.reveal_at),
            restoration=self.restoration.restoration(),
            version=version,
            changed_at=now,
        )


class SupplyGroupTold(Told):
    """A supply group as it stands."""

    sgc: str
    name: str
    zone: str
    language: str
    fallback_after_s: int
    deadline_after_s: int
    limit_per_recharge: str | None
    limit_per_day: str | None
    reveal: Annotated[Reveal, grows(Reveal)]
    reveal_at: Mapping[str, Annotated[Reveal, grows(Reveal)]]
    restoration: RestorationTold
    version: int
    changed_at: datetime

    @classmethod
    def of(cls, group: SupplyGroup) -> "SupplyGroupTold":
        return cls(
            sgc=group.sgc,
            name=group.name,
            zone=group.zone,
            language=group.language,
            fallback_after_s=group.fallback_after_s,
            deadline_after_s=group.deadline_after_s,
            limit_per_recharge=_text(group.limit_per_recharge),
            limit_per_day=_text(group.limit_per_day),
            reveal=group.reveal,
            reveal_at=dict(group.reveal_at),
            restoration=RestorationTold.of(group.restoration),
            version=group.version,
            changed_at=group.changed_at,
        )


@router.put(
    "/supply-groups/{sgc}",
    summary="Make or replace a supply group",
    responses=explained(
        refusals.VersionDiffers,
        PreconditionRequired,
        body=True,
        also={201: {"model": SupplyGroupTold, "description": "Made"}},
    ),
)
async def put_supply_group(
    sgc: SgcPath,
    body: SupplyGroupAsked,
    caller: Keeper,
    desks: Desks,
    response: Response,
    *,
    if_match: IfMatch = None,
) -> SupplyGroupTold:
    """Replacing needs If-Match with the ETag read; making goes without."""
    known = await _find(desks.store, caller.tenant, sgc)
    was = replaced_version(known.version if known else None, if_match)
    now = desks.clock.now()
    group = body.group(caller.tenant, sgc, version=(was or 0) + 1, now=now)
    await desks.writes.finish(put_group(desks.store, group, was=was, by=f"key:{caller.id}"))
    mark_put(response, group.version)
    return SupplyGroupTold.of(group)


@router.get(
    "/supply-groups/{sgc}",
    summary="One supply group",
    responses=explained(refusals.UnknownSupplyGroup),
)
async def read_supply_group(
    sgc: SgcPath, caller: Reader, desks: Desks, response: Response
) -> SupplyGroupTold:
    group = await _find(desks.store, caller.tenant, sgc)
    if group is None:
        raise refusals.UnknownSupplyGroup(f"no supply group {sgc}", field="sgc")
    mark(response, group.version)
    return SupplyGroupTold.of(group)


@router.get(
    "/supply-groups", summary="Supply groups, by code", responses=explained(refusals.MalformedOrder)
)
async def list_supply_groups(
    caller: Reader,
    desks: Desks,
    paging: PagesAsked,
) -> PageTold[SupplyGroupTold]:
    async with desks.store.look() as tx:
        page = await tx.supply_groups.page(caller.tenant, paging.cursor)
    items = [SupplyGroupTold.of(group) for group in page.items]
    return paging.told(page, items)


async def put_group(store: Store, group: SupplyGroup, *, was: int | None, by: str) -> None:
    """Write a group over the version `was`; raises VersionDiffers. Another zone is audited.

    Opening hours and days of caps are those of the zone.
    """
    try:
        async with store.begin() as tx:
            known = await tx.supply_groups.find(group.tenant, group.sgc)
            await tx.supply_groups.put(group, was=was)
            if known is not None and known.zone != group.zone:
                changed = Entry(
                    tenant=group.tenant,
                    at=group.changed_at,
                    by=by,
                    action=AuditAction.ZONE_CHANGED,
                    subject=group.sgc,
                    result=f"{known.zone} to {group.zone}",
                )
                await tx.audit.append(changed)
    except Stale as error:
        raise refusals.VersionDiffers("it was changed meanwhile: read it again") from error


async def _find(store: Store, tenant: TenantId, sgc: str) -> SupplyGroup | None:
    async with store.look() as tx:
        return await tx.supply_groups.find(tenant, sgc)


def _decimal(text: str | None) -> Decimal | None:
    return Decimal(text) if text is not None else None


def _text(limit: Decimal | None) -> str | None:
    return plain(limit) if limit is not None else None
