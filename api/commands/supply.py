"""`headend supply`: open the supply of one meter, or permit the customer to close it; by REST."""

from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

import typer

from api.commands.deliveries import Ident, tell_delivery
from api.commands.deliveries import show as show_delivery
from api.commands.rest import DEFAULT_URL, Key, Url, asked
from api.commands.telling import AsJson
from api.wiring import new_chance, new_clock
from headend.supply import SupplyAction, SupplyReason

LASTS = timedelta(hours=24)
group = typer.Typer(help="Orders of supply for one meter.", no_args_is_help=True)


@group.command(
    "order",
    epilog="Example: headend supply order 01000000008 permit_close --reason safety",
)
def order(
    meter: Annotated[str, typer.Argument(metavar="METER", help="Meter number.")],
    action: Annotated[SupplyAction, typer.Argument(metavar="ACTION", help="open, permit_close.")],
    *,
    key: Key,
    reason: Annotated[SupplyReason, typer.Option(help="Why.")],
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Worthless after this, as 2026-11-28T18:00Z; else 24 h."),
    ] = None,
    requested_by: Annotated[str | None, typer.Option(help="Id of the person who wants it.")] = None,
    ident: Annotated[
        str | None,
        typer.Option("--id", help="Your id; with the same --until it is the same order."),
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Order supply. Opening is capped, held, kept to the hours of the group, and never sent to a
    protected usage point; permitting to close is none of that.
    """
    now = new_clock().now()
    body: dict[str, object] = {
        "id": ident or new_chance().ident(now),
        "action": action.value,
        "reason": reason.value,
        "expires_at": until or (now + LASTS).isoformat(),
    }
    if requested_by is not None:
        body["requested_by"] = requested_by
    path = f"/v1/meters/{quote(meter, safe='')}/supply"
    tell_delivery(asked(url, key, "POST", path, body), as_json=as_json)


@group.command("show", epilog="Example: headend supply show open-3")
def show(ident: Ident, key: Key, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Show one order: how far it has come."""
    show_delivery(ident, key, False, url, as_json)
