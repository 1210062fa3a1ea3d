"""Readings: what a meter measured, and how far it can be believed."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import Reader, field_engineers_only
from api.documenting import explained
from api.head_end import Desks
from api.routes.forms import PagesAsked, PageTold, Told, grows
from api.routes.meters import FORM, DrnOfPath
from headend import refusals
from headend.readings import Quality, Reading, ReadingType

router = APIRouter(prefix="/v1", tags=["readings"])


class ReadingTold(Told):
    """One value, in the unit that ends the name of its type.

    `obis` (IEC 62056-6-1) and `cim` (IEC 61968-9) where the standard has a code for it.
    """

    type: Annotated[ReadingType, grows(ReadingType)]
    obis: str | None
    cim: str | None
    value: int
    quality: Annotated[Quality, grows(Quality)]
    taken_at: datetime
    received_at: datetime

    @classmethod
    def of(cls, reading: Reading) -> "ReadingTold":
        return cls(
            type=reading.type,
            obis=reading.type.obis,
            cim=reading.type.cim,
            value=reading.value,
            quality=reading.quality,
            taken_at=reading.taken_at,
            received_at=reading.received_at,
        )


class ReadingOrdered(Told):
    """A meter that will be read soon: what is received from `asked_at` on is what it says now."""

    asked_at: datetime


@router.post(
    "/meters/{drn}/readings",
    summary="Have a meter read now",
    status_code=202,
    responses=explained(
        *FORM, refusals.UnknownMeter, refusals.MeterNotInService, refusals.CommandUnsupported
    ),
    dependencies=[field_engineers_only],
)
async def order_reading(drn: DrnOfPath, caller: Reader, desks: Desks) -> ReadingOrdered:
    """Needs the scopes `read` and `lines`. Its turn on the line comes after what is more urgent."""
    reading = desks.meters.read_soon(caller.tenant, drn)
    return ReadingOrdered(asked_at=await desks.writes.finish(reading))


@router.get(
    "/meters/{drn}/readings",
    summary="Readings of a meter, newest first",
    responses=explained(*FORM, refusals.UnknownMeter, refusals.MalformedOrder),
)
async def list_readings(
    drn: DrnOfPath,
    caller: Reader,
    desks: Desks,
    paging: PagesAsked,
    type: Annotated[ReadingType | None, Query(description="Only those of this type.")] = None,
) -> PageTold[ReadingTold]:
    await desks.meters.find(caller.tenant, drn)
    async with desks.store.look() as tx:
        page = await tx.readings.page(caller.tenant, drn, paging.cursor, type=type)
    return paging.told(page, [ReadingTold.of(reading) for reading in page.items])
