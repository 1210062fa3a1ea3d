"""`headend discover`: who is on a line, asked one by one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from api.commands.discovery_file import write_found
from api.commands.field_options import FramingAsked, TimeoutAsked, Unserved, note
from api.commands.stop_key import stop_key
from api.commands.telling import MISUSED, AsJson, Config, complain, run, tell_json, tell_rows, told
from api.field_wiring import ChosenLine, Outage, PointToPoint, choose_line, our_line
from api.settings import Settings, SettingsRefused
from headend.discovery import Discovery, Found, parse_units

EPILOG = "Example: headend discover serial:///dev/ttyUSB0?baud=9600 --units 1-32 --out found.csv"
# Twice what the slowest published short reply needs, doubled again after a silence; gateways
# wait for their own line first.
SERIAL_S, NETWORK_S = 0.5, 2.0
# The longest address of any dialect, for numbers to stand in their order.
ADDRESS_DIGITS = 32


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be asked, at which speeds (none: that of the line)."""

    units: tuple[int, ...]
    bauds: tuple[int | None, ...]
    unserved: bool
    alone: tuple[PointToPoint, ...] = ()

    @property
    def steps(self) -> int:
        return (len(self.alone) or 2 * len(self.units)) * len(self.bauds)


def discover_command(
    line: Annotated[
        str, typer.Argument(metavar="LINE", help="A bus of the settings, or the URL of a line.")
    ],
    *,
    units: Annotated[str, typer.Option("--units", help="Such as 1-247, or 1-32,40.")] = "1-247",
    idle: Annotated[
        bool, typer.Option("--idle", help="Nobody else works on the line: its speed may change.")
    ] = False,
    baud: Annotated[
        list[int] | None, typer.Option("--baud", help="With --idle: a speed to try; repeat it.")
    ] = None,
    alone: Annotated[
        list[PointToPoint] | None,
        typer.Option(
            "--point-to-point",
            help="One meter alone is on this line: ask whoever is there, by this dialect.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write a file to be imported.")
    ] = None,
    framing: FramingAsked = None,
    timeout_s: TimeoutAsked = None,
    unserved: Unserved = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Ask the Modbus units of a line one by one, and name those that answer; q or Ctrl-C ends it.

    Only reads, and nothing is ever sent to all. Meters of DL/T 645 and IEC 62056-21 are found where
    one stands alone (--point-to-point): everybody on a shared line would answer that question. A
    line that a head-end serves is borrowed from it, and how long is told. The file of --out is
    completed by you, and brought in with: headend meters import.
    """
    wanted = _wanted(units, baud or [], out, idle=idle, unserved=unserved)
    wanted = replace(wanted, alone=tuple(alone or ()))
    outage, discovery = Outage(), Discovery()

    async def discover(settings: Settings) -> ChosenLine:
        chosen = choose_line(settings, line, framing=framing, timeout_s=timeout_s)
        patient = chosen if timeout_s is not None else _patient(chosen)
        await _look(settings, patient, wanted, discovery, outage)
        return chosen

    chosen = run(config, discover)
    if out is not None:
        with told():
            write_found(out, discovery.found, bus=chosen.bus or "")
    _tell(discovery, outage, out, as_json=as_json)


def _wanted(
    units: str, bauds: Sequence[int], out: Path | None, *, idle: bool, unserved: bool
) -> _Wanted:
    """Ends the command for what is written wrongly, before the line is touched."""
    try:
        asked = parse_units(units)
    except ValueError as error:
        complain(f"--units: {error}")
        raise typer.Exit(MISUSED) from None
    if bauds and not idle:
        complain("another speed is noise to all others on the line: with --baud say --idle")
        raise typer.Exit(MISUSED)
    if out is not None and out.exists():
        complain(f"{out} is there already; name another with --out")
        raise typer.Exit(MISUSED)
    return _Wanted(asked, tuple(bauds) or (None,), unserved)


def _patient(chosen: ChosenLine) -> ChosenLine:
    wait = {"timeout_s": SERIAL_S if chosen.serial else NETWORK_S}
    return replace(chosen, settings=chosen.settings.model_copy(update=wait))


async def _look(
    settings: Settings, chosen: ChosenLine, wanted: _Wanted, discovery: Discovery, outage: Outage
) -> None:
    if wanted.bauds != (None,) and not chosen.serial:
        raise SettingsRefused("--baud is for serial ports: a network line has its speed set there")
    if wanted.alone and chosen.settings.framed == "tcp":
        raise SettingsRefused(
            "a Modbus TCP gateway speaks Modbus alone: --point-to-point is for serial lines and"
            " for serial servers (--framing rtu)"
        )
    async with our_line(
        settings,
        chosen,
        work="headend discover",
        tell=note,
        outage=outage,
        unserved=wanted.unserved,
    ) as ours:
        with stop_key() as stopped, _progress(wanted.steps) as seen:
            for baud in wanted.bauds:
                before = len(discovery.found)
                if wanted.alone:
                    alone = await ours.alone(wanted.alone, baud)
                    await discovery.greet(alone, stopped=stopped, seen=seen)
                else:
                    survey = await ours.survey(baud)
                    await discovery.look(survey, wanted.units, stopped=stopped, seen=seen)
                at = [replace(one, baud=baud) for one in discovery.found[before:]]
                discovery.found[before:] = at


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Found | None], None]]:
    """A bar where a person looks on; each that is found is told at once."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("asking (q ends it)", total=total)

        def seen(found: Found | None) -> None:
            bar.advance(task, 1 if found is None else 2)
            if found is not None:
                bar.console.print(f"{_named(found)}: {found.told}", highlight=False)

        yield seen


def _named(found: Found) -> str:
    return f"unit {found.address}" if found.address else "somebody"


def _tell(discovery: Discovery, outage: Outage, out: Path | None, *, as_json: bool) -> None:
    found = sorted(
        discovery.found, key=lambda one: (one.baud or 0, one.address.rjust(ADDRESS_DIGITS))
    )
    if as_json:
        tell_json(
            {
                "found": [_row(one) for one in found],
                "ended": discovery.ended,
                "outage_s": outage.seconds,
                "file": str(out) if out else None,
            }
        )
        return
    tell_rows([_row(one) for one in found], as_json=False, nothing="Nobody answers.")
    if not discovery.ended:
        note("stopped: not every address was asked")
    if outage.seconds is not None:
        note(f"the line was ours for {outage.seconds:.1f} s; its head-end goes on")
    if out is not None:
        note(f"{out} is written: complete it, then: headend meters import {out}")


def _row(one: Found) -> Mapping[str, object]:
    return {
        "address": one.address,
        "baud": one.baud,
        "what": one.presence.value,
        "models": ", ".join(one.models),
        "meter": one.drn,
        "told": one.told,
    }
