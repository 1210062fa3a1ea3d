"""`headend simulate`: simulated meters on real wires, for a partner to develop against."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from api.commands.telling import DEFAULT_TENANT, AsJson, told
from api.logs import configure_logs
from api.serving import end_signals
from api.settings import SettingsRefused
from api.simulation import (
    Control,
    Fleet,
    FleetDescription,
    demo_fleet,
    described_fleet,
    lines_of,
    model_fleet,
    running_fleet,
    settings_toml,
    vending_keys_toml,
)

EPILOG = (
    "Example: headend simulate --demo-fleet --csv meters.csv --keys keys.toml\n\n"
    "Example: headend simulate --model eastron-sdm120 --listen 127.0.0.1:5020"
)
PRIVATE = 0o600
MAX_PORT = 65535


def simulate_command(
    description: Annotated[
        Path | None,
        typer.Argument(metavar="[DESCRIPTION]", help="The fleet as TOML or JSON."),
    ] = None,
    *,
    demo: Annotated[
        bool, typer.Option("--demo-fleet", help="The fleet of `headend demo` instead.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Meters of one model, as `models list` names them."),
    ] = None,
    meters: Annotated[
        int, typer.Option(help="How many of that model, unit ids from 1 on.", min=1, max=247)
    ] = 1,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where they answer; port 0 takes a free one.")
    ] = "127.0.0.1:0",
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the meters, for `headend meters import`."),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write their key, for `headend vault import`."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run simulated meters until Ctrl-C, and say how a head-end reaches them.

    Lines on standard input set faults, type tokens and show meters; `help` lists them. With --json
    each line that is told is one JSON object.
    """
    if (description is not None) + demo + (model is not None) != 1:
        raise typer.BadParameter("name a description, or take --demo-fleet, or --model")
    with told():
        if model is not None:
            host, port = _place(listen)
            fleet = model_fleet(model, meters=meters, host=host, port=port)
        else:
            fleet = described_fleet(description) if description else demo_fleet(DEFAULT_TENANT)
        configure_logs(level="WARNING")
        asyncio.run(_simulate(fleet, csv=csv, keys=keys, embedded=demo, as_json=as_json))


def _place(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > MAX_PORT:
        raise typer.BadParameter("write --listen as HOST:PORT, such as 127.0.0.1:5020")
    return host, int(port)


async def _simulate(
    description: FleetDescription,
    *,
    csv: Path | None,
    keys: Path | None,
    embedded: bool,
    as_json: bool,
) -> None:
    stop = asyncio.Event()
    with end_signals(stop):
        async with running_fleet(description) as fleet:
            _write(description, fleet, csv=csv, keys=keys)
            settings = settings_toml(fleet, description, embedded=embedded)
            _tell_start(fleet, settings, as_json=as_json)
            obeying = asyncio.create_task(_obey_lines(Control(fleet), as_json=as_json))
            await stop.wait()
            obeying.cancel()
            await asyncio.wait([obeying])


async def _obey_lines(control: Control, *, as_json: bool) -> None:
    """Until standard input ends; the meters go on without it."""
    async for line in lines_of(sys.stdin):
        if not line.strip():
            continue
        answer = control.obey(line)
        if as_json:
            _tell_line({"ok": answer.ok, **answer.details})
        else:
            typer.echo(answer.text)


def _write(
    description: FleetDescription, fleet: Fleet, *, csv: Path | None, keys: Path | None
) -> None:
    try:
        if csv is not None:
            fleet.write_csv(csv)
        if keys is not None:
            descriptor = os.open(keys, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                opened.write(vending_keys_toml(description))
    except OSError as error:
        raise SettingsRefused(f"{error.filename}: {error.strerror}") from None


def _tell_start(fleet: Fleet, settings: str, *, as_json: bool) -> None:
    rows = [dict(row) for row in fleet.rows]
    if as_json:
        _tell_line({"settings": settings, "buses": fleet.buses, "meters": rows})
        return
    for row in rows:
        place = f"{row['bus']} {row['address']}"
        typer.echo(f"{row['drn']}  {row['service']:<12}{row['profile']:<16}{place}")
    typer.echo(f"\nFor the settings of a head-end:\n\n{settings.strip()}\n")
    typer.echo("Lines here set faults, such as: silent DRN on. `help` lists them; Ctrl-C ends.")


def _tell_line(value: Mapping[str, object]) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))
