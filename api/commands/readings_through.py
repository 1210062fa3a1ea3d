"""`headend read METER`: a meter is read by the head-end that knows it, through REST."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

import typer
from rich.console import Console

from api.commands.rest import asked
from api.commands.showing_readings import shown
from api.commands.telling import REFUSED, complain, tell_json, tell_rows, told
from headend.readings import Quality, ReadingType

# A conversation may take a minute, and as many may be before it.
PATIENCE_S = 120.0
LOOK_EVERY_S = 0.5
PAGE = 200
Row = Mapping[str, object]


def read_through(url: str, key: str, meter: str, *, as_json: bool) -> None:
    """Have it read, wait for what comes, and show it; ends the command when nothing comes."""
    path = f"/v1/meters/{quote(meter, safe='')}"
    asked_at = _moment(asked(url, key, "POST", f"{path}/readings"), "asked_at")
    with told(), Console(stderr=True).status("waiting for its turn on the line"):
        rows = _wait(url, key, path, asked_at)
    if not rows:
        complain(
            f"nothing came of meter {meter} within {PATIENCE_S:.0f} s: it is silent, or another"
            f" meter answers in its place. Its record: {path}; its line: headend line BUS;"
            " its events tell route_misconfigured when what answers is not believed"
        )
        raise typer.Exit(REFUSED)
    if as_json:
        tell_json({"drn": meter, "asked_at": asked_at.isoformat(), "readings": rows})
        return
    typer.echo(f"meter {meter}")
    tell_rows([_shown(row) for row in rows], as_json=False, nothing="")


def _wait(url: str, key: str, path: str, asked_at: datetime) -> Sequence[Row]:
    """The readings that were received since; none when nothing came in time."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        page = asked(url, key, "GET", f"{path}/readings?limit={PAGE}")["items"]
        assert isinstance(page, list)
        if new := [row for row in page if _moment(row, "received_at") >= asked_at]:
            return _latest(new)
        time.sleep(LOOK_EVERY_S)
    return []


def _latest(rows: Sequence[Row]) -> Sequence[Row]:
    """One of each type: with the first reading of a meter its past days come as well."""
    found: dict[object, Row] = {}
    for row in rows:
        found.setdefault(row["type"], row)
    return list(found.values())


def _shown(row: Row) -> Row:
    value = row["value"]
    assert isinstance(value, int)
    number, unit = shown(ReadingType(str(row["type"])), value)
    remark = "implausible" if row["quality"] == Quality.SUSPECT else ""
    return {"reading": row["type"], "value": number, "unit": unit, "remark": remark}


def _moment(row: Row, name: str) -> datetime:
    return datetime.fromisoformat(str(row[name]))
