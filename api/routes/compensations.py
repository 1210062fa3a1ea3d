"""Compensations: homes that were dark beyond the legal limit after they had paid."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from api.auth import Reader
from api.documenting import explained
from api.head_end import Desks
from api.routes.forms import Moment, PagesAsked, PageTold, Told, grows
from headend import refusals
from headend.compensations import Compensation, CompensationFilter
from headend.meters import TenantId, parse_drn
from headend.pages import Cursor
from headend.restoration import Ending
from headend.store import Store

router = APIRouter(prefix="/v1", tags=["compensations"])

CSV_PAGE = 200
# A report is of a month or a year; more is asked for in pieces, by time.
CSV_ROWS = 100_000


class CompensationTold(Told):
    """One recharge beyond the limit; `ended_at` is null while it is not known to be lit."""

    recharge: str
    meter: str
    sgc: str
    usage_point: str | None
    reference: str | None
    paid_at: datetime
    limit_at: datetime
    recorded_at: datetime
    ended_at: datetime | None
    ended_by: Annotated[Ending, grows(Ending)] | None
    minutes_over: int
    cause: str

    @classmethod
    def of(cls, record: Compensation, now: datetime) -> "CompensationTold":
        return cls(
            recharge=record.recharge_id,
            meter=record.drn,
            sgc=record.sgc,
            usage_point=record.usage_point,
            reference=record.reference,
            paid_at=record.paid_at,
            limit_at=record.limit_at,
            recorded_at=record.recorded_at,
            ended_at=record.ended_at,
            ended_by=record.ended_by,
            minutes_over=record.minutes_over(now),
            cause=record.cause,
        )


def compensations_asked(
    sgc: Annotated[str | None, Query(pattern=r"^[0-9]{6}$")] = None,
    meter: Annotated[str | None, Query(max_length=32)] = None,
    since: Annotated[Moment | None, Query(description="Limit passed at or after.")] = None,
    until: Annotated[Moment | None, Query(description="Limit passed before.")] = None,
    dark: Annotated[bool | None, Query(description="Not lit as far as is known.")] = None,
) -> CompensationFilter:
    drn = parse_drn(meter) if meter is not None else None
    return CompensationFilter(sgc=sgc, drn=drn, since=since, until=until, dark=dark)


Wanted = Annotated[CompensationFilter, Depends(compensations_asked)]
_REFUSED = (refusals.MalformedMeterNumber, refusals.WrongCheckDigit, refusals.MalformedOrder)


@router.get(
    "/compensations",
    summary="Dark beyond the legal limit, newest first",
    responses=explained(*_REFUSED),
)
async def list_compensations(
    caller: Reader, desks: Desks, where: Wanted, paging: PagesAsked
) -> PageTold[CompensationTold]:
    """Who paid and stayed dark beyond the limit of the supply group, and for how long."""
    now = desks.clock.now()
    async with desks.store.look() as tx:
        page = await tx.compensations.page(caller.tenant, paging.cursor, where)
    return paging.told(page, [CompensationTold.of(record, now) for record in page.items])


@router.get(
    "/compensations.csv",
    summary="The same as a file",
    response_class=StreamingResponse,
    responses={
        **explained(*_REFUSED),
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "CSV"},
    },
)
async def export_compensations(caller: Reader, desks: Desks, where: Wanted) -> StreamingResponse:
    """All that is wanted, newest first, at most 100,000 rows."""
    rows = every_compensation(desks.store, caller.tenant, where)
    return StreamingResponse(
        csv_lines(rows, desks.clock.now()),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="compensations.csv"'},
    )


async def every_compensation(
    store: Store, tenant: TenantId, where: CompensationFilter
) -> AsyncIterator[Sequence[Compensation]]:
    """Page by page, so that no report holds a transaction for long."""
    after: str | None = None
    for _ in range(CSV_ROWS // CSV_PAGE):
        async with store.look() as tx:
            cursor = Cursor(after=after, limit=CSV_PAGE)
            page = await tx.compensations.page(tenant, cursor, where)
        yield page.items
        after = page.next
        if after is None:
            return


async def csv_lines(
    pages: AsyncIterator[Sequence[Compensation]], now: datetime
) -> AsyncIterator[str]:
    """A header, and a line for each; what a spreadsheet would take for a formula is quoted."""
    yield _line(list(CompensationTold.model_fields))
    async for page in pages:
        told = (CompensationTold.of(record, now).model_dump(mode="json") for record in page)
        yield "".join(_line([_cell(value) for value in row.values()]) for row in told)


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
