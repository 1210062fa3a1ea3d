"""`headend line`: watch a line while it works, or keep what was said on it; through REST."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import quote

import typer

from api.commands.rest import DEFAULT_URL, Key, Url, asked, asked_text
from api.commands.telling import AsJson, tell_json, tell_rows, told
from api.settings import SettingsRefused

EPILOG = "Example: headend line rs485 --once; headend line rs485 --record rs485.frames"
CLEAR = "\x1b[2J\x1b[H"
Told: TypeAlias = Mapping[str, object]


def line_command(
    name: Annotated[str, typer.Argument(metavar="LINE", help="Name of the bus in the settings.")],
    *,
    key: Key,
    url: Url = DEFAULT_URL,
    once: Annotated[bool, typer.Option("--once", help="Tell it once, since the start.")] = False,
    every: Annotated[
        float, typer.Option(min=0.5, max=60, help="Seconds from one look to the next.")
    ] = 2.0,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the last exchanges as a .frames file, and end."),
    ] = None,
    station: Annotated[
        str | None, typer.Option(help="With --record, only this slave, as in: modbus 17.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a line of a running head-end: efficiency, wire share, and each slave's delay, failures
    and quarantine, looked at again until Ctrl-C.

    The key needs the scope `lines`. Recordings hold no digits of tokens.
    """
    path = f"/v1/lines/{quote(name, safe='')}"
    if record is not None:
        _record(asked_text(url, key, f"{path}/frames{_query(station)}"), record)
        return
    with told():
        for now, before in _looks(url, key, path, every):
            if as_json and not once:
                typer.echo(json.dumps(now, ensure_ascii=False))
            elif as_json:
                tell_json(now)
            else:
                _tell(now, before, clear=not once)
            if once:
                return


def _looks(url: str, key: str, path: str, every: float) -> Iterator[tuple[Told, Told | None]]:
    """What is told of the line, and what was told before, again and again."""
    before: Told | None = None
    while True:
        now = asked(url, key, "GET", path)
        yield now, before
        before = now
        time.sleep(every)


def _query(station: str | None) -> str:
    return "" if station is None else f"?station={quote(station, safe='')}"


def _record(text: str, file: Path) -> None:
    with told():
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise SettingsRefused(f"{file}: {error.strerror}; name another with --record") from None
    exchanges = sum(1 for line in text.splitlines() if line.startswith(">"))
    typer.echo(f"{exchanges} exchanges written to {file}")


def _tell(now: Told, before: Told | None, *, clear: bool) -> None:
    if clear:
        typer.echo(CLEAR, nl=False)
    typer.echo(f"{now['name']}  {now['address']}  {_link(now)}")
    typer.echo("since the start" if before is None else "since the last look")
    wanted = _gained(now, before, "wanted_s")
    elapsed = _gained(now, before, "elapsed_s")
    for what, part, whole in (
        ("efficiency", _gained(now, before, "ideal_s"), wanted),
        ("in use", wanted, elapsed),
        ("bits on the wire", _gained(now, before, "wire_s"), elapsed),
        ("asking silent slaves", _gained(now, before, "probing_s"), elapsed),
    ):
        typer.echo(f"  {what:<22}{_percent(part, whole)}")
    stations = now["stations"]
    assert isinstance(stations, list)
    rows = [_row(one) for one in stations]
    tell_rows(rows, as_json=False, nothing="Nobody on it was asked yet.")


def _link(line: Told) -> str:
    link = "connected" if line["connected"] else "NOT CONNECTED"
    return f"{link}, opened {line['connections']} times, {line['in_flight']} at once"


def _row(one: Told) -> Mapping[str, object]:
    rests = one["rests_ms"]
    return {
        "station": one["station"],
        "requests": one["requests"],
        "replies": one["replies"],
        "silent": one["silences"],
        "garbled": one["misfits"],
        "late": one["late_replies"],
        "delay ms": "-" if one["delay_ms"] is None else one["delay_ms"],
        "p99 ms": "-" if one["delay_p99_ms"] is None else one["delay_p99_ms"],
        "time-out ms": one["timeout_ms"],
        "quarantine": "" if not isinstance(rests, (int, float)) else f"{rests / 1000:.1f} s",
    }


def _gained(now: Told, before: Told | None, name: str) -> float | None:
    value = now[name]
    if not isinstance(value, (int, float)):
        return None
    earlier = before[name] if before is not None else 0.0
    return value - earlier if isinstance(earlier, (int, float)) else None


def _percent(part: float | None, whole: float | None) -> str:
    if part is None:
        return "not known on this kind of line"
    return f"{part / whole:6.1%}" if whole else "     -"
