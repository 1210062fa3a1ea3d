"""`headend deliveries`: look at one, confirm or withdraw it, ask the meter; through REST."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

import typer

from api.commands.rest import DEFAULT_URL, Key, Url, asked
from api.commands.telling import AsJson, tell_json

group = typer.Typer(help="Deliveries: show, confirm, ask again, withdraw.", no_args_is_help=True)

Ident = Annotated[str, typer.Argument(metavar="ID", help="Id of the delivery or order.")]
Reveal = Annotated[
    bool, typer.Option(help="With the digits, where they go by hand; they count as out.")
]


@group.command("show", epilog="Example: headend deliveries show change-17 --reveal")
def show(
    ident: Ident, key: Key, reveal: Reveal = False, url: Url = DEFAULT_URL, as_json: AsJson = False
) -> None:
    """Show one delivery: what the meter is asked, how far it has come, every try."""
    query = "?reveal=true" if reveal else ""
    tell_delivery(asked(url, key, "GET", _path(ident) + query), as_json=as_json)


@group.command("confirm", epilog='Example: headend deliveries confirm change-17 --seen-by "K. O."')
def confirm(
    ident: Ident,
    key: Key,
    seen_by: Annotated[str, typer.Option(help="Who saw that the meter took all of it.")],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Say that a person saw the meter take a key change or engineering token by hand."""
    found = asked(url, key, "POST", f"{_path(ident)}/confirmation", {"seen_by": seen_by})
    tell_delivery(found, as_json=as_json)


@group.command("ask", epilog="Example: headend deliveries ask 01JN0000000000000000000001")
def ask(ident: Ident, key: Key, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Have the meter asked once more about tokens that are unresolved."""
    tell_delivery(asked(url, key, "POST", f"{_path(ident)}/inquiry"), as_json=as_json)


@group.command(
    "withdraw", epilog='Example: headend deliveries withdraw change-17 --seen-by "K. O."'
)
def withdraw(
    ident: Ident,
    key: Key,
    seen_by: Annotated[str, typer.Option(help="Who saw that the meter holds its old key.")],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Give a key change up: its set will not be entered, and sales go on under the old key."""
    found = asked(url, key, "POST", f"{_path(ident)}/withdrawal", {"seen_by": seen_by})
    tell_delivery(found, as_json=as_json)


def _path(ident: str) -> str:
    return f"/v1/deliveries/{quote(ident, safe='')}"


def tell_delivery(delivery: Mapping[str, object], *, as_json: bool) -> None:
    """A delivery for people, or as JSON."""
    if as_json:
        tell_json(delivery)
        return
    command = delivery["command"]
    assert isinstance(command, dict)
    print(f"delivery  {delivery['id']}")
    print(f"meter     {delivery['meter']}")
    print(f"command   {command['kind']}{_numbers(command)}")
    print(f"state     {delivery['state']}")
    for name in ("stopped_by", "confirmed_by"):
        if delivery[name]:
            print(f"{name:<9} {delivery[name]}")
    tokens = delivery["tokens"]
    for token in tokens if isinstance(tokens, list) else []:
        print(f"token {token['sequence']:<3} {told_token(token)}")
    attempts = delivery["attempts"]
    for attempt in attempts if isinstance(attempts, list) else []:
        print(f"try       {attempt['started_at']} {attempt['method']} {attempt['outcome']}")


def told_token(token: Mapping[str, object]) -> str:
    """One token for people. A live one needs no word, all others must not look like it."""
    mark = f" ({token['mark']} key)" if token["mark"] not in (None, "live") else ""
    return f"{token['digits'] or token['masked']} {token['state']}{mark}"


def _numbers(command: Mapping[str, object]) -> str:
    """What a key change or engineering token brings."""
    parts = command.get("to") or command.get("engineering")
    if not isinstance(parts, dict):
        return ""
    told = {
        name: value
        for name, value in parts.items()
        if value is not None and not isinstance(value, dict)
    }
    return "".join(f" {name} {value}" for name, value in told.items())
