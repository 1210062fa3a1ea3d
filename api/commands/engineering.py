"""`headend engineering`: management and test tokens for one meter, through REST."""

from typing import Annotated
from urllib.parse import quote

import typer

from api.commands.deliveries import Ident, Reveal, tell_delivery
from api.commands.deliveries import show as show_delivery
from api.commands.rest import DEFAULT_URL, Key, Url, asked
from api.commands.telling import AsJson
from api.wiring import new_chance, new_clock
from headend.tokens import ManagementKind

group = typer.Typer(help="Management and test tokens of a meter.", no_args_is_help=True)


@group.command(
    "order", epilog="Example: headend engineering order 01000000008 power_limit --value 6000"
)
def order(
    meter: Annotated[str, typer.Argument(metavar="METER", help="Meter number.")],
    kind: Annotated[ManagementKind, typer.Argument(metavar="KIND", help="What it does.")],
    *,
    key: Key,
    value: Annotated[
        int | None, typer.Option(help="Watts, register, raw bits, or test number.")
    ] = None,
    index: Annotated[
        int | None, typer.Option(help="Which flag or control, to set or to read back.")
    ] = None,
    ident: Annotated[
        str | None, typer.Option("--id", help="Your id; the same again is the same order.")
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Make one management or test token and deliver it like credit."""
    body = {
        "id": ident or new_chance().ident(new_clock().now()),
        "kind": kind.value,
        "value": value,
        "index": index,
    }
    found = asked(url, key, "POST", f"/v1/meters/{quote(meter, safe='')}/engineering", body)
    tell_delivery(found, as_json=as_json)


@group.command("show", epilog="Example: headend engineering show limit-3")
def show(
    ident: Ident, key: Key, reveal: Reveal = False, url: Url = DEFAULT_URL, as_json: AsJson = False
) -> None:
    """Show one engineering token: how far it has come."""
    show_delivery(ident, key, reveal, url, as_json)
