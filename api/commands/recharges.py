"""`headend recharge` and `headend recharges`: sell and look, through REST as a back-office does."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

import typer

from api.commands.deliveries import told_token
from api.commands.rest import DEFAULT_URL, Key, Url, asked
from api.commands.telling import AsJson, tell_json
from api.wiring import new_chance, new_clock
from headend.quantities import Unit

group = typer.Typer(help="Recharges, as a back-office sees them.", no_args_is_help=True)
EPILOG = "Example: headend recharge 01000000008 25.6 --sms +15550100 (key in HEADEND_KEY)"


def recharge_command(
    meter: Annotated[str, typer.Argument(metavar="METER", help="Meter number.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Such as 25.6.")],
    *,
    key: Key,
    unit: Annotated[Unit, typer.Option(help="The unit of the meter's service.")] = Unit.KWH,
    currency: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="For a meter that counts money: ISO 4217, such as ZAR."),
    ] = None,
    ident: Annotated[
        str | None, typer.Option("--id", help="Your id; the same again is the same sale.")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Your reference.")] = None,
    sales_point: Annotated[str | None, typer.Option(help="Where it is sold.")] = None,
    sms: Annotated[list[str] | None, typer.Option(help="Number for the digits.")] = None,
    email: Annotated[list[str] | None, typer.Option(help="Address for the digits.")] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Sell credit to a meter. The answer is immediate; look again with `recharges show ID`."""
    contacts = [("sms", address) for address in sms or ()]
    contacts += [("email", address) for address in email or ()]
    body: dict[str, object] = {
        "id": ident or new_chance().ident(new_clock().now()),
        "meter": meter,
        "amount": (
            {"kind": "currency", "value": amount, "currency": currency}
            if currency
            else {"kind": "units", "value": amount, "unit": unit.value}
        ),
        "fallback": [{"kind": kind, "address": address} for kind, address in contacts],
    }
    given = {"reference": reference, "sales_point": sales_point}
    body |= {name: value for name, value in given.items() if value is not None}
    _tell(asked(url, key, "POST", "/v1/recharges", body), as_json=as_json)


@group.command("show", epilog="Example: headend recharges show 01JN0000000000000000000001")
def show(
    ident: Annotated[str, typer.Argument(metavar="ID", help="Id of the recharge.")],
    key: Key,
    reveal: Annotated[bool, typer.Option(help="With the digits, where they may be shown.")] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show one recharge: what became of it, and what happens next."""
    query = "?reveal=true" if reveal else ""
    path = f"/v1/recharges/{quote(ident, safe='')}{query}"
    _tell(asked(url, key, "GET", path), as_json=as_json)


@group.command(
    "replace", epilog="Example: headend recharges replace 01JN0000000000000000000001 --id again-1"
)
def replace(
    ident: Annotated[str, typer.Argument(metavar="ID", help="Id of the recharge that died.")],
    key: Key,
    new: Annotated[
        str | None, typer.Option("--id", help="Your id of the new one; the same again is it.")
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Sell again what died with the meter's old key; refused unless the meter has proved it."""
    body = {"id": new or new_chance().ident(new_clock().now())}
    path = f"/v1/recharges/{quote(ident, safe='')}/replacement"
    _tell(asked(url, key, "POST", path, body), as_json=as_json)


def _tell(recharge: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        tell_json(recharge)
        return
    coming = recharge["next"]
    text = coming["text"] if isinstance(coming, dict) else ""
    print(f"recharge  {recharge['id']}")
    print(f"meter     {recharge['meter']}")
    print(f"state     {recharge['state']}")
    print(f"requested {_amount(recharge['requested'])}, taken {_amount(recharge['taken'])}")
    for name, label in (("key_change", "key first"), ("tokens", "token")):
        tokens = recharge[name]
        for token in tokens if isinstance(tokens, list) else []:
            print(f"{label:<9} {told_token(token)}")
    attempts = recharge["attempts"]
    for attempt in attempts if isinstance(attempts, list) else []:
        print(f"try       {attempt['started_at']} {attempt['method']} {attempt['outcome']}")
    for name in ("stopped_by", "replaces", "replaced_by"):
        if recharge[name]:
            print(f"{name:<9} {recharge[name]}")
    print(f"next      {text}")


def _amount(amount: object) -> str:
    if not isinstance(amount, dict):
        return "-"
    return f"{amount['value']} {amount.get('unit') or amount.get('currency')}"
