"""Events for the back-office: everything that was announced, as a list and as a stream."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from api.auth import Reader
from api.documenting import explained
from api.head_end import Desks
from api.problems import TooBusy, TooManyOfKey
from api.routes.forms import Told
from api.streams import require_kept, scanned_to
from headend import refusals
from headend.cloud_events import cloud_event
from headend.meters import parse_drn
from headend.outbox import MAX_PAGE, StreamFilter, known_types
from headend.refusals import MalformedOrder
from headend.webhook_refusals import CursorGone

router = APIRouter(prefix="/v1", tags=["events"])

MAX_TYPES = 50
TypesAsked = Annotated[
    list[Annotated[str, Field(max_length=100)]] | None,
    Query(
        description="Only these; `headend.recharge.*` is a whole family. Repeat it for more.",
        max_length=MAX_TYPES,
        examples=[["headend.recharge.*"]],
    ),
]
MeterAsked = Annotated[str | None, Query(description="Only of this meter.", max_length=32)]
CursorAsked = Annotated[int | None, Query(description="Only later ones.", ge=0, le=2**63 - 1)]
LastEventId = Annotated[
    str | None, Header(description="The `id` of the last one received.", pattern=r"^[0-9]{1,18}$")
]


class CloudEventTold(Told):
    """A CloudEvent 1.0; `docs/events.md` tells every type with its `data`."""

    specversion: str
    id: str
    source: str
    type: Annotated[str, Field(examples=["headend.recharge.lit.v1"])]
    subject: Annotated[str | None, Field(description="The meter.")] = None
    time: datetime
    datacontenttype: str
    dataschema: str
    sequence: Annotated[str, Field(description="Counts the events of the subject, without gaps.")]
    data: Annotated[dict[str, object], Field(description="The fields of the `dataschema`.")]


class EventsTold(Told):
    """Events in the order of the stream. Ask again with `after`, at once if there are `more`."""

    items: Sequence[CloudEventTold]
    after: int
    more: bool


class EventStream(StreamingResponse):
    """Server-sent events (HTML standard, 9.2)."""

    media_type = "text/event-stream"


@router.get(
    "/events",
    summary="Events for the back-office, oldest first",
    response_model_exclude_none=False,
    responses=explained(
        CursorGone,
        refusals.MalformedOrder,
        refusals.MalformedMeterNumber,
        refusals.WrongCheckDigit,
    ),
)
async def list_events_after(
    caller: Reader,
    desks: Desks,
    *,
    after: CursorAsked = None,
    meter: MeterAsked = None,
    type: TypesAsked = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> EventsTold:
    """For a receiver that nobody can call: begin without `after`, then ask every some seconds with
    the `after` of the answer before. It is the same stream as `/v1/events/stream`.
    """
    where = _where(meter, type)
    async with desks.store.look() as tx:
        span = await tx.outbox.span()
        cursor = span.pruned if after is None else after
        require_kept(cursor, span)
        found = await tx.outbox.after(caller.tenant, cursor, where, limit=limit + 1)
    items, more = found[:limit], len(found) > limit
    return EventsTold(
        items=[
            CloudEventTold.model_validate(cloud_event(one, desks.event_source)) for one in items
        ],
        after=scanned_to(cursor, items, span, full=more),
        more=more,
    )


@router.get(
    "/events/stream",
    summary="The same events as they happen (server-sent events)",
    response_class=EventStream,
    responses=explained(
        CursorGone,
        refusals.MalformedOrder,
        refusals.MalformedMeterNumber,
        refusals.WrongCheckDigit,
        TooBusy,
        TooManyOfKey,
        also={200: {"description": "CloudEvents, one in each message; `id` is the cursor."}},
    ),
)
async def stream_events(
    caller: Reader,
    desks: Desks,
    *,
    last_event_id: LastEventId = None,
    after: CursorAsked = None,
    meter: MeterAsked = None,
    type: TypesAsked = None,
) -> EventStream:
    """Without `Last-Event-ID` (or `after`) it begins now. A message of type `reset` says that
    events were missed. It may end at any time: come back with the last `id`.
    """
    where = _where(meter, type)
    resumed = after if last_event_id is None else int(last_event_id)
    cursor = await desks.streams.start_at(resumed)
    return EventStream(
        desks.streams.read(caller.tenant, cursor, where, key=caller.id),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _where(meter: str | None, types: Sequence[str] | None) -> StreamFilter:
    for one in types or ():
        if one not in known_types():
            raise MalformedOrder("no such event type; docs/events.md names all", field="type")
    drn = None if meter is None else parse_drn(meter, field="meter")
    return StreamFilter(drn=drn, types=tuple(types or ()))
