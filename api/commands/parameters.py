"""`headend parameters`: credit parameters and power limits of one meter, through REST."""

from typing import Annotated
from urllib.parse import quote

import typer

from api.commands.deliveries import Ident, tell_delivery
from api.commands.deliveries import show as show_delivery
from api.commands.rest import DEFAULT_URL, Key, Url, asked
from api.commands.telling import AsJson
from api.wiring import new_chance, new_clock

group = typer.Typer(help="Credit parameters and power limits of a meter.", no_args_is_help=True)
Amount = Annotated[str | None, typer.Option(metavar="AMOUNT", help="In --unit.")]


@group.command(
    "set",
    epilog="Example: headend parameters set 01000000008 --unit kWh --low-credit-1 20",
)
def set_parameters(
    meter: Annotated[str, typer.Argument(metavar="METER", help="Meter number.")],
    *,
    key: Key,
    unit: Annotated[
        str | None, typer.Option(help="What the meter counts in: kWh, m3, min, or ISO 4217 code.")
    ] = None,
    low_credit_1: Amount = None,
    low_credit_2: Amount = None,
    emergency_credit: Amount = None,
    maximum_credit: Amount = None,
    overdraft: Amount = None,
    reconnect_credit: Amount = None,
    power_limit_w: Annotated[
        int | None, typer.Option(help="Watts, 0 for none; an order of its own.")
    ] = None,
    requested_by: Annotated[str | None, typer.Option(help="Id of the person who wants it.")] = None,
    ident: Annotated[
        str | None, typer.Option("--id", help="Your id; the same again is the same order.")
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Set what is named and leave the rest; the meter is read back before it is called done."""
    named = {
        "unit": unit,
        "low_credit_1": low_credit_1,
        "low_credit_2": low_credit_2,
        "emergency_credit": emergency_credit,
        "maximum_credit": maximum_credit,
        "overdraft": overdraft,
        "reconnect_credit": reconnect_credit,
        "power_limit_w": power_limit_w,
        "requested_by": requested_by,
    }
    body: dict[str, object] = {"id": ident or new_chance().ident(new_clock().now())}
    body |= {name: value for name, value in named.items() if value is not None}
    path = f"/v1/meters/{quote(meter, safe='')}/credit-parameters"
    tell_delivery(asked(url, key, "POST", path, body), as_json=as_json)


@group.command("show", epilog="Example: headend parameters show limits-3")
def show(ident: Ident, key: Key, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Show one order: how far it has come."""
    show_delivery(ident, key, False, url, as_json)
