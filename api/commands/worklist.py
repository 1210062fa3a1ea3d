"""`headend worklist`: what waits for people, and their word on it; through REST."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

import typer

from api.commands.deliveries import tell_delivery
from api.commands.rest import DEFAULT_URL, Key, Url, asked
from api.commands.telling import AsJson, tell_json, tell_rows

group = typer.Typer(
    help="What waits for people: list, and say what was seen.", no_args_is_help=True
)

Ident = Annotated[str, typer.Argument(metavar="DELIVERY", help="Id of the delivery.")]
SeenBy = Annotated[str, typer.Option(help="Who has seen or done it.")]
Note = Annotated[str, typer.Option(help="Whatever helps later.")]
Cursor = Annotated[str | None, typer.Option(help="`next` of the page before.")]


@group.command("list", epilog="Example: headend worklist list")
def list_command(
    key: Key, cursor: Cursor = None, url: Url = DEFAULT_URL, as_json: AsJson = False
) -> None:
    """What waits for people, oldest first, with what is known and the ways to close it."""
    query = f"?cursor={quote(cursor, safe='')}" if cursor else ""
    page = asked(url, key, "GET", f"/v1/worklist{query}")
    if as_json:
        tell_json(page)
        return
    items = page["items"]
    rows = [_row(item) for item in items] if isinstance(items, list) else []
    tell_rows(rows, as_json=False, nothing="Nothing waits for people.")
    if page.get("next"):
        typer.echo(f"more: headend worklist list --cursor {page['next']}")


def _row(item: Mapping[str, object]) -> Mapping[str, object]:
    findings, ways = item["findings"], item["ways"]
    texts = [found["text"] for found in findings] if isinstance(findings, list) else []
    return {
        "delivery": item["delivery"],
        "meter": item["meter"],
        "cause": item["cause"],
        "age_s": item["age_s"],
        "ways": " ".join(ways) if isinstance(ways, list) else "",
        "known": " ".join(texts),
    }


@group.command("taken", epilog='Example: headend worklist taken 01JN0001 --seen-by "K. Otieno"')
def taken(
    ident: Ident,
    seen_by: SeenBy,
    *,
    key: Key,
    note: Note = "",
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Say that a person read the meter, and it took the token or carried the order out."""
    _say(url, key, ident, "taken", seen_by, note=note, as_json=as_json)


@group.command(
    "not-taken", epilog='Example: headend worklist not-taken 01JN0001 --seen-by "K. Otieno"'
)
def not_taken(
    ident: Ident,
    seen_by: SeenBy,
    *,
    key: Key,
    note: Note = "",
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Say that it did not take it: the same digits go to the customer once more, an order ends."""
    _say(url, key, ident, "not-taken", seen_by, note=note, as_json=as_json)


@group.command(
    "withdrawn", epilog='Example: headend worklist withdrawn supply-1 --seen-by "K. Otieno"'
)
def withdrawn(
    ident: Ident,
    seen_by: SeenBy,
    *,
    key: Key,
    note: Note = "",
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Say that nobody wants an order of supply, clock or credit parameters in doubt any more."""
    _say(url, key, ident, "withdrawn", seen_by, note=note, as_json=as_json)


@group.command("booked", epilog='Example: headend worklist booked 01JN0001 --seen-by "A. Diallo"')
def booked(
    ident: Ident,
    seen_by: SeenBy,
    *,
    key: Key,
    note: Note = "",
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Say that the books are right for a credit that came after its sale was reversed."""
    _say(url, key, ident, "booked", seen_by, note=note, as_json=as_json)


def _say(
    url: str, key: str, ident: str, what: str, seen_by: str, *, note: str, as_json: bool
) -> None:
    body = {"seen_by": seen_by, "note": note}
    path = f"/v1/worklist/{quote(ident, safe='')}/{what}"
    tell_delivery(asked(url, key, "POST", path, body), as_json=as_json)
