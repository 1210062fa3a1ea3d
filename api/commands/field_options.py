"""What the commands of a field engineer have in common: which line, and how it is had."""

from typing import Annotated

import typer

from api.field_wiring import Framing

FramingAsked = Annotated[
    Framing | None,
    typer.Option("--framing", help="rtu for a serial server; else tcp:// means tcp."),
]
TimeoutAsked = Annotated[
    float | None, typer.Option("--timeout", min=0.05, max=60, help="Seconds for an answer.")
]
Unserved = Annotated[
    bool, typer.Option("--unserved", help="No head-end serves this network line now.")
]


def note(text: str) -> None:
    """Tell a person, not the result."""
    typer.echo(text, err=True)
