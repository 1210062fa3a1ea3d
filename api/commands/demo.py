"""`headend demo`: a recharge reaches simulated meters, through every trouble, and is checked."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from api.commands.telling import REFUSED, AsJson, told
from api.demonstration.performance import BeforeCheck, Interrupted, perform
from api.demonstration.playing import PATIENCE_S
from api.demonstration.showing import PLAIN_WIDTH, Screen
from api.demonstration.stories import STORIES, Story
from api.logs import configure_logs

EPILOG = "Example: headend demo --keep"
INTERRUPTED = 130


def demo_command(
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it running after the table, to try the API.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show recharges reach simulated meters: healthy, silent, refusing, dark; under a minute.

    Starts a head-end with its embedded defaults in a fresh folder, and checks every recharge
    against the meters' own registers. Exit code 0 only if all agree.
    """
    with told():
        code = show(keep=keep, as_json=as_json)
    raise typer.Exit(code)


def show(
    *,
    keep: bool = False,
    as_json: bool = False,
    stories: Sequence[Story] = STORIES,
    patience_s: float = PATIENCE_S,
    before_check: BeforeCheck | None = None,
) -> int:
    """Run the demonstration; the exit code. The parameters are those of `perform`."""
    configure_logs(level="ERROR")
    console = Console(stderr=as_json)
    if not console.is_terminal:
        console = Console(stderr=as_json, width=PLAIN_WIDTH)
    with Screen(console, as_json=as_json) as screen:
        playing = perform(
            screen,
            stories=stories,
            keep=keep,
            patience_s=patience_s,
            before_check=before_check,
        )
        try:
            findings = asyncio.run(playing)
        except Interrupted:
            return INTERRUPTED
    return 0 if all(finding.agrees for finding in findings) else REFUSED
