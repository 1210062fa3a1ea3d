"""What became of every line of a job, as CSV or NDJSON, written piece by piece."""

import csv
import json
from collections.abc import AsyncIterator, Mapping
from io import StringIO
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from api.auth import Onlooker
from api.documenting import explained
from api.head_end import Desks, HeadEnd
from api.jobs_file import MEDIA_TYPES, JobFormat
from api.routes.forms import IdentPath
from headend.jobs import FAILED_LINES, LineResult, UnknownJob
from headend.meters import TenantId

router = APIRouter(prefix="/v1", tags=["jobs"])
RESULTS_AT_ONCE = 500
EXAMPLES = {
    JobFormat.CSV: "line,id,meter,state,outcome,problem,detail\n"
    "1,sale-1,01000000008,ordered,lit,,\n",
    JobFormat.NDJSON: '{"line":1,"id":"sale-1","meter":"01000000008","state":"ordered",'
    '"outcome":"lit","problem":null,"detail":""}\n',
}
TEXT = {"type": "string"}


@router.get(
    "/jobs/{id}/results",
    summary="What became of every line",
    response_class=StreamingResponse,
    responses=explained(
        UnknownJob,
        also={
            200: {
                "description": "Line, id, meter, state of the line, state now of its recharge or"
                " delivery, problem type and detail",
                "content": {
                    media_type: {"schema": TEXT, "example": EXAMPLES[form]}
                    for media_type, form in MEDIA_TYPES.items()
                },
            }
        },
    ),
)
async def read_results(
    id: IdentPath,
    tenant: Onlooker,
    desks: Desks,
    format: Annotated[JobFormat, Query(description="How it is written.")] = JobFormat.CSV,
) -> StreamingResponse:
    await desks.jobs.look(tenant, id)
    media_type = next(name for name, form in MEDIA_TYPES.items() if form is format)
    return StreamingResponse(_results(desks, tenant, id, format), media_type=media_type)


_NAMES = ("line", "id", "meter", "state", "outcome", "problem", "detail")


async def _results(
    desks: HeadEnd, tenant: TenantId, id: str, form: JobFormat
) -> AsyncIterator[str]:
    """Piece by piece, so that a job of any size fits."""
    if form is JobFormat.CSV:
        yield ",".join(_NAMES) + "\n"
    last = 0
    while True:
        async with desks.store.look() as tx:
            results = await tx.jobs.results(tenant, id, after=last, limit=RESULTS_AT_ONCE)
        if not results:
            return
        last = results[-1].line.number
        yield _written([_row(result) for result in results], form)


def _row(result: LineResult) -> Mapping[str, object]:
    line = result.line
    values = (
        line.number,
        line.ident,
        line.drn,
        line.state.value,
        result.outcome,
        line.problem if line.state in FAILED_LINES else None,
        line.detail,
    )
    return dict(zip(_NAMES, values, strict=True))


def _written(rows: list[Mapping[str, object]], form: JobFormat) -> str:
    if form is JobFormat.NDJSON:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    out = StringIO()
    csv.DictWriter(out, _NAMES, lineterminator="\n").writerows(rows)
    return out.getvalue()
