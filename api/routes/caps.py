"""Caps and opening hours: how much harm may be ordered unasked, and when supply may be opened."""

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field, StrictBool, StrictInt, StringConstraints, model_validator

from api.auth import Approver, Onlooker
from api.documenting import explained
from api.head_end import Desks
from api.problems import PreconditionRequired
from api.routes.approvals import CapsTold
from api.routes.forms import Asked, Told, grows
from api.routes.preconditions import IfMatch, mark, mark_put, replaced_version
from api.routes.supply_groups import SgcPath
from headend import refusals
from headend.dangers import SAFE, CapRule, Caps, Danger
from headend.errors import Stale
from headend.meters import TenantId
from headend.opening_hours import OpeningHours, default_hours

router = APIRouter(prefix="/v1", tags=["limits on harm"])
MOST = 1_000_000
CapNumber = Annotated[StrictInt, Field(ge=0, le=MOST)]


class CapsAsked(Asked):
    """All caps of a kind; 0: every order needs a second person."""

    per_key_hour: CapNumber
    per_key_day: CapNumber
    per_group_hour: CapNumber
    per_group_day: CapNumber
    approve_always: StrictBool = False
    hold_percent: Annotated[
        StrictInt, Field(ge=1, le=100, description="Held when so many have failed.")
    ] = 30
    hold_samples: Annotated[
        StrictInt, Field(ge=1, le=MOST, description="Of at least so many that ended.")
    ] = 10

    def caps(self) -> Caps:
        return Caps(**self.model_dump())


class CapRuleTold(CapsTold):
    """The caps of a kind; `sgc` null: of the whole utility; `changed_by` null: the safe default."""

    kind: Annotated[Danger, grows(Danger)]
    sgc: str | None
    changed_by: str | None
    changed_at: datetime | None

    @classmethod
    def of_rule(cls, rule: CapRule) -> "CapRuleTold":
        return cls(
            kind=rule.danger,
            sgc=rule.sgc,
            changed_by=rule.changed_by,
            changed_at=rule.changed_at,
            **CapsTold.of(rule.caps).model_dump(),
        )


class CapsListed(Told):
    """Every rule that holds."""

    items: Sequence[CapRuleTold]


@router.get("/caps", summary="The caps of dangerous orders", responses=explained())
async def list_caps(tenant: Onlooker, desks: Desks) -> CapsListed:
    """For each kind those of the utility, or the safe default, and those of supply groups."""
    async with desks.store.look() as tx:
        rules = await tx.caps.all(tenant)
    return CapsListed(items=told_rules(rules))


def told_rules(rules: Sequence[CapRule]) -> list[CapRuleTold]:
    """The rules, and the safe default where the utility has none."""
    told = []
    for danger in Danger:
        own = [rule for rule in rules if rule.danger is danger]
        if all(rule.sgc is not None for rule in own):
            safe = CapsTold.of(SAFE[danger]).model_dump()
            told.append(
                CapRuleTold(kind=danger, sgc=None, changed_by=None, changed_at=None, **safe)
            )
        told += [CapRuleTold.of_rule(rule) for rule in own]
    return told


@router.put(
    "/caps/{kind}",
    summary="Change the caps of a kind",
    responses=explained(refusals.ApprovalRequired, body=True),
)
async def put_caps(
    kind: Danger,
    body: CapsAsked,
    person: Approver,
    desks: Desks,
    sgc: Annotated[
        str | None,
        Query(pattern=r"^[0-9]{6}$", description="Only of this supply group, else of all."),
    ] = None,
) -> CapRuleTold:
    """By a named person. Where anything is loosened, another person must approve it first."""
    changing = desks.caps.change_caps(person.tenant, sgc, kind, body.caps(), person=person)
    return CapRuleTold.of_rule(await desks.writes.finish(changing))


# --- opening hours ------------------------------------------------------------------------------

ClockTime = Annotated[
    str,
    StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"),
    Field(examples=["08:00"]),
]


class HoursOfDay(Asked):
    """From when, included, until when, excluded, on one weekday (1 Monday to 7 Sunday)."""

    weekday: Annotated[StrictInt, Field(ge=1, le=7)]
    opens: ClockTime
    closes: ClockTime

    @model_validator(mode="after")
    def _in_order(self) -> "HoursOfDay":
        if not self.opens < self.closes:
            raise ValueError("`closes` must come after `opens`")
        return self


class OpeningHoursAsked(Asked):
    """When supply may be opened, in the group's local time; a weekday not named is closed."""

    hours: Annotated[Sequence[HoursOfDay], Field(max_length=7)]
    closed_on: Annotated[
        Sequence[date], Field(max_length=1000, description="Holidays and no-cut days.")
    ] = ()

    @model_validator(mode="after")
    def _each_once(self) -> "OpeningHoursAsked":
        days = [one.weekday for one in self.hours]
        if len(set(days)) != len(days):
            raise ValueError("a weekday stands there twice")
        return self

    def of(
        self, tenant: TenantId, sgc: str, *, version: int, by: str, now: datetime
    ) -> OpeningHours:
        return OpeningHours(
            tenant=tenant,
            sgc=sgc,
            hours={one.weekday - 1: (_time(one.opens), _time(one.closes)) for one in self.hours},
            closed_on=frozenset(self.closed_on),
            version=version,
            changed_by=by,
            changed_at=now,
        )


class OpeningHoursTold(Told):
    """The opening hours in force; version 0: the default, which nobody has set."""

    sgc: str
    hours: Sequence[HoursOfDay]
    closed_on: Sequence[date]
    version: int
    changed_by: str | None
    changed_at: datetime | None

    @classmethod
    def told(cls, hours: OpeningHours) -> "OpeningHoursTold":
        return cls(
            sgc=hours.sgc,
            hours=[
                HoursOfDay(weekday=day + 1, opens=_text(begins), closes=_text(ends))
                for day, (begins, ends) in sorted(hours.hours.items())
            ],
            closed_on=sorted(hours.closed_on),
            version=hours.version,
            changed_by=hours.changed_by or None,
            changed_at=hours.changed_at if hours.version else None,
        )


@router.get(
    "/supply-groups/{sgc}/opening-hours",
    summary="When supply may be opened in a group",
    responses=explained(),
)
async def read_opening_hours(
    sgc: SgcPath, tenant: Onlooker, desks: Desks, response: Response
) -> OpeningHoursTold:
    async with desks.store.look() as tx:
        found = await tx.opening_hours.find(tenant, sgc)
    if found is not None:
        mark(response, found.version)
    return OpeningHoursTold.told(found or default_hours(tenant, sgc, desks.clock.now()))


@router.put(
    "/supply-groups/{sgc}/opening-hours",
    summary="Set when supply may be opened in a group",
    responses=explained(
        refusals.VersionDiffers,
        PreconditionRequired,
        body=True,
        also={201: {"model": OpeningHoursTold, "description": "Set for the first time"}},
    ),
)
async def put_opening_hours(
    sgc: SgcPath,
    body: OpeningHoursAsked,
    person: Approver,
    desks: Desks,
    response: Response,
    *,
    if_match: IfMatch = None,
) -> OpeningHoursTold:
    """By a named person. Outside the hours nothing is opened; for safety a second person may."""
    async with desks.store.look() as tx:
        known = await tx.opening_hours.find(person.tenant, sgc)
    was = replaced_version(known.version if known else None, if_match)
    hours = body.of(
        person.tenant,
        sgc,
        version=(was or 0) + 1,
        by=f"person:{person.id}",
        now=desks.clock.now(),
    )
    try:
        await desks.writes.finish(desks.caps.change_hours(hours, was=was, person=person))
    except Stale as error:
        raise refusals.VersionDiffers("it was changed meanwhile: read it again") from error
    mark_put(response, hours.version)
    return OpeningHoursTold.told(hours)


def _time(text: str) -> time:
    return time.max if text == "24:00" else time.fromisoformat(text)


def _text(moment: time) -> str:
    return "24:00" if moment == time.max else f"{moment:%H:%M}"
