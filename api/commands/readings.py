"""`headend read`: what a meter says now, through a running head-end or directly on its line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from api.commands.field_options import FramingAsked, TimeoutAsked, Unserved, note
from api.commands.readings_through import read_through
from api.commands.rest import DEFAULT_URL, Url
from api.commands.showing_readings import shown
from api.commands.telling import (
    MISUSED,
    AsJson,
    Config,
    complain,
    run,
    tell_json,
    tell_rows,
)
from api.field_wiring import AUTO, Framing, Outage, choose_line, our_line
from api.settings import Settings
from headend.field_readings import FieldReading
from headend.readings import Quality, Reading

EPILOG = (
    "Example: headend read --line serial:///dev/ttyUSB0?baud=9600 --unit 17 --model eastron-sdm630"
)


def read_command(
    meter: Annotated[
        str | None, typer.Argument(metavar="[METER]", help="Number of a meter of the head-end.")
    ] = None,
    *,
    line: Annotated[
        str | None,
        typer.Option("--line", metavar="LINE", help="Directly: a URL, or a bus of the settings."),
    ] = None,
    unit: Annotated[
        str | None, typer.Option("--unit", help="With --line: the meter's address on it.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", help="With --line: its profile; auto names it by its probe.")
    ] = AUTO,
    framing: FramingAsked = None,
    timeout_s: TimeoutAsked = None,
    unserved: Unserved = False,
    url: Url = DEFAULT_URL,
    key: Annotated[
        str | None,
        typer.Option("--key", envvar="HEADEND_KEY", help="With METER: a key that may read lines."),
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show all that a meter says now.

    METER is read by the running head-end that knows it; the key needs the scopes `read` and
    `lines`. With --line a meter is read directly, known or not: its model is checked first. A line
    that a head-end serves is borrowed from it for as long as this takes.
    """
    if meter is not None and line is None and unit is None:
        if key is None:
            complain("a head-end wants a key: --key, or HEADEND_KEY")
            raise typer.Exit(MISUSED)
        read_through(url, key, meter, as_json=as_json)
        return
    if meter is not None or line is None or unit is None:
        complain("write either METER, or --line LINE --unit N; see headend read --help")
        raise typer.Exit(MISUSED)
    asked = _Asked(line, framing, timeout_s, unserved)
    _read_directly(asked, unit, model, config, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The line that was written down."""

    line: str
    framing: Framing | None
    timeout_s: float | None
    unserved: bool


def _read_directly(
    asked: _Asked, unit: str, model: str, config: Path | None, *, as_json: bool
) -> None:
    outage = Outage()

    async def read(settings: Settings) -> FieldReading:
        chosen = choose_line(settings, asked.line, framing=asked.framing, timeout_s=asked.timeout_s)
        async with our_line(
            settings, chosen, work="headend read", tell=note, outage=outage, unserved=asked.unserved
        ) as ours:
            return await ours.read(unit, model)

    _tell(run(config, read), unit, outage, as_json=as_json)


def _tell(told: FieldReading, unit: str, outage: Outage, *, as_json: bool) -> None:
    if as_json:
        tell_json(
            {
                "unit": unit,
                "model": told.profile,
                "variant": told.variant,
                "drn": told.drn,
                "outage_s": outage.seconds,
                "readings": [_plain(reading) for reading in told.readings],
                "refused": told.refused,
                "untold": told.untold,
            }
        )
        return
    variant = f", {told.variant}" if told.variant else ""
    typer.echo(f"unit {unit}: {told.profile}{variant}{f', meter {told.drn}' if told.drn else ''}")
    tell_rows(_rows(told), as_json=False, nothing="It tells nothing of what its model has.")
    if outage.seconds is not None:
        note(f"the line was ours for {outage.seconds:.1f} s; its head-end goes on")


def _rows(told: FieldReading) -> Sequence[Mapping[str, object]]:
    rows = []
    for reading in told.readings:
        number, unit = shown(reading.type, reading.value)
        good = reading.quality is not Quality.SUSPECT
        remark = "" if good else "implausible: check model and wiring"
        rows.append({"reading": reading.type, "value": number, "unit": unit, "remark": remark})
    for kinds, remark in ((told.refused, "refused by the meter"), (told.untold, "not available")):
        rows += [{"reading": k, "value": "", "unit": "", "remark": remark} for k in kinds]
    return rows


def _plain(reading: Reading) -> Mapping[str, object]:
    return {
        "type": reading.type,
        "value": reading.value,
        "quality": reading.quality,
        "obis": reading.type.obis,
        "taken_at": reading.taken_at.isoformat(),
    }
