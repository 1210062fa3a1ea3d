"""`headend keychange`: schedule the key change of a meter and look at it, through REST.

The tokens alone, without a head-end, are made by `headend sts keychange`.
"""

from typing import Annotated
from urllib.parse import quote

import typer

from api.commands.deliveries import Ident, Reveal, tell_delivery
from api.commands.deliveries import show as show_delivery
from api.commands.rest import DEFAULT_URL, Key, Url, asked
from api.commands.telling import AsJson
from api.wiring import new_chance, new_clock

group = typer.Typer(help="Key changes: one order, one delivery.", no_args_is_help=True)


@group.command(
    "order", epilog="Example: headend keychange order 01000000008 --krn 2 --id change-17"
)
def order(
    meter: Annotated[str, typer.Argument(metavar="METER", help="Meter number.")],
    *,
    key: Key,
    sgc: Annotated[str | None, typer.Option(help="Supply group code, 6 digits.")] = None,
    krn: Annotated[int | None, typer.Option(help="Key revision number, 1 to 9.")] = None,
    ti: Annotated[int | None, typer.Option(help="Tariff index, 0 to 99.")] = None,
    kt: Annotated[int | None, typer.Option(help="Key type, 0 to 3.")] = None,
    ea: Annotated[int | None, typer.Option(help="Encryption: 7 or 11.")] = None,
    three_kct: Annotated[
        bool, typer.Option("--three-kct", help="With EA 7: the supply group in a third token.")
    ] = False,
    ident: Annotated[
        str | None, typer.Option("--id", help="Your id; the same again is the same order.")
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Change a meter's key. What is left out stays as the record of the meter has it.

    The API key needs the scopes `keys` and `read`. Look again with `keychange show ID`.
    """
    present = asked(url, key, "GET", f"/v1/meters/{quote(meter, safe='')}")["sts"]
    assert isinstance(present, dict)
    given = {"sgc": sgc, "krn": krn, "ti": ti, "kt": kt, "ea": ea}
    body = {
        "id": ident or new_chance().ident(new_clock().now()),
        "to": present | {name: value for name, value in given.items() if value is not None},
        "three_kct": three_kct,
    }
    found = asked(url, key, "POST", f"/v1/meters/{quote(meter, safe='')}/key-changes", body)
    tell_delivery(found, as_json=as_json)


@group.command("show", epilog="Example: headend keychange show change-17 --reveal")
def show(
    ident: Ident, key: Key, reveal: Reveal = False, url: Url = DEFAULT_URL, as_json: AsJson = False
) -> None:
    """Show one key change: how far it has come, and its tokens in the order of entry."""
    show_delivery(ident, key, reveal, url, as_json)
