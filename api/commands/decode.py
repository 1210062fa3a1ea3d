"""`headend decode`: a captured frame in plain words."""

from typing import Annotated

import typer

from api.commands.telling import MISUSED, REFUSED, AsJson, complain, tell_json, tell_rows
from api.dialects import EXPLAIN, Dialect

EPILOG = (
    "Example: headend decode --protocol modbus 01 04 04 43 66 33 34 1B 38 . "
    "Blanks, colons and 0x are allowed."
)


def decode_command(
    frame: Annotated[list[str], typer.Argument(metavar="HEX...", help="The bytes of one frame.")],
    protocol: Annotated[Dialect, typer.Option("--protocol", "-p", help="What is spoken.")],
    show_secrets: Annotated[
        bool, typer.Option("--show-secrets", help="Passwords and tokens too, as they are.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Explain a captured frame, request or reply; exit 1 when it is damaged."""
    try:
        data = bytes.fromhex("".join(frame).replace("0x", "").replace(":", ""))
    except ValueError:
        complain("the frame must be hexadecimal, two digits a byte, as in 01 04 00 00 00 02 71 CB")
        raise typer.Exit(MISUSED) from None
    try:
        rows = EXPLAIN[protocol](data, show_secrets=show_secrets)
    except ValueError as error:
        if as_json:
            tell_json({"protocol": protocol.value, "whole": False, "reason": str(error)})
        else:
            complain(f"no whole {protocol.value} frame: {error}")
        raise typer.Exit(REFUSED) from None
    if as_json:
        told = [{"name": name, "value": value} for name, value in rows]
        tell_json({"protocol": protocol.value, "whole": True, "fields": told})
        return
    tell_rows([{"": name, "meaning": value} for name, value in rows], as_json=False, nothing="")
