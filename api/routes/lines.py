"""Lines: what each of them does, who answers on it, and what was last said on it."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from api.auth import field_engineers_only
from api.documenting import explained
from api.head_end import Desks, HeadEnd
from api.routes.forms import Told
from headend import refusals
from headend.lines import LineStatus, StationStatus, WatchedLine
from headend.meters import BusName

router = APIRouter(prefix="/v1", tags=["lines"])

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
STATION_MAX = 100
LineName = Annotated[str, Path(pattern=NAME, description="Name of the bus in the settings.")]
StationName = Annotated[
    str | None,
    Query(
        alias="station",
        min_length=1,
        max_length=STATION_MAX,
        description="Only this slave, as the line names it: `modbus 17`.",
    ),
]


class StationTold(Told):
    """One slave; counts since the start, delays in milliseconds."""

    station: str
    requests: int
    replies: int
    silences: int
    misfits: Annotated[int, Field(description="Something came, but not its reply.")]
    late_replies: int
    delay_ms: Annotated[float | None, Field(description="Half of its replies begin within this.")]
    delay_p99_ms: float | None
    timeout_ms: Annotated[float, Field(description="So long it is waited for now.")]
    rests_ms: Annotated[
        float | None, Field(description="In quarantine, and not asked for so long yet; else null.")
    ]

    @classmethod
    def of(cls, one: StationStatus) -> "StationTold":
        return cls(
            station=one.name,
            requests=one.requests,
            replies=one.replies,
            silences=one.silences,
            misfits=one.misfits,
            late_replies=one.late_replies,
            delay_ms=_ms(one.delay_s),
            delay_p99_ms=_ms(one.p99_s),
            timeout_ms=round(one.timeout_s * 1000, 1),
            rests_ms=_ms(one.rests_s),
        )


class LineTold(Told):
    """One line. Sums of seconds since it was first used; null where its speed is not known."""

    name: str
    address: str
    connected: bool
    connections: int
    elapsed_s: float
    wanted_s: Annotated[float, Field(description="Somebody had the line, or waited for it.")]
    ideal_s: Annotated[
        float | None, Field(description="A perfect master would have needed so much of that.")
    ]
    wire_s: Annotated[float | None, Field(description="Bits of good exchanges were on the wire.")]
    probing_s: Annotated[float, Field(description="Spent on slaves in quarantine.")]
    in_flight: Annotated[int, Field(description="So many may be asked at once.")]
    efficiency: Annotated[float | None, Field(description="`ideal_s` of `wanted_s`.")]
    stations: Sequence[StationTold]

    @classmethod
    def of(cls, name: BusName, status: LineStatus) -> "LineTold":
        return cls(
            name=name,
            address=status.address,
            connected=status.connected,
            connections=status.connections,
            elapsed_s=round(status.elapsed_s, 3),
            wanted_s=round(status.wanted_s, 3),
            ideal_s=None if status.ideal_s is None else round(status.ideal_s, 3),
            wire_s=None if status.wire_s is None else round(status.wire_s, 3),
            probing_s=round(status.probing_s, 3),
            in_flight=status.in_flight,
            efficiency=None if status.efficiency is None else round(status.efficiency, 4),
            stations=[StationTold.of(one) for one in status.stations],
        )


class LinesTold(Told):
    """The lines that this process serves, by name."""

    items: Sequence[LineTold]


@router.get(
    "/lines",
    summary="The lines of this process",
    responses=explained(),
    dependencies=[field_engineers_only],
)
async def list_lines(desks: Desks) -> LinesTold:
    """Serial lines and gateways that this process serves itself; brokers are no lines."""
    lines = sorted(desks.lines.items())
    return LinesTold(items=[LineTold.of(name, line.status()) for name, line in lines])


@router.get(
    "/lines/{name}",
    summary="One line",
    responses=explained(refusals.UnknownLine),
    dependencies=[field_engineers_only],
)
async def show_line(name: LineName, desks: Desks) -> LineTold:
    return LineTold.of(BusName(name), _line(desks, name).status())


@router.get(
    "/lines/{name}/frames",
    summary="The last exchanges of a line, as text that replays",
    response_class=Response,
    responses={
        **explained(refusals.UnknownLine),
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
    },
    dependencies=[field_engineers_only],
)
async def record_line(name: LineName, desks: Desks, station: StationName = None) -> Response:
    """Requests and replies in hex, oldest first; digits of tokens are replaced by zeros."""
    text = _line(desks, name).frames(now=desks.clock.now(), station=station)
    return Response(text, media_type="text/plain; charset=utf-8")


def _line(desks: HeadEnd, name: str) -> WatchedLine:
    line = desks.lines.get(BusName(name))
    if line is None:
        raise refusals.UnknownLine(f"this process serves no line called {name}", field="name")
    return line


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
