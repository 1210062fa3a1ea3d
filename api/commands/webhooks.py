"""`headend webhooks`: where the back-office is told, and what it was not told; through REST."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated
from urllib.parse import quote

import typer

from api.commands.rest import DEFAULT_URL, Key, Url, asked
from api.commands.telling import AsJson, tell_json, tell_rows

group = typer.Typer(help="Webhooks: where everything is told, signed.", no_args_is_help=True)

Ident = Annotated[str, typer.Argument(metavar="ID", help="Id of the webhook, see: webhooks list.")]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", help="A type, or a family as headend.recharge.*; repeatable. Else all."),
]
Receiver = Annotated[str, typer.Option("--to", help="URL of the receiver: https://...")]
# RFC 3339 in UTC.
MOMENT_FORMATS = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ"]
Since = Annotated[
    datetime | None, typer.Option(formats=MOMENT_FORMATS, help="Everything from then on, UTC.")
]
Until = Annotated[datetime | None, typer.Option(formats=MOMENT_FORMATS, help="Up to then, UTC.")]
Page = Annotated[int, typer.Option(min=0, help="Go on after this one.")]


@group.command(
    "create",
    epilog="Example: headend webhooks create --to https://billing.example/events"
    " --type 'headend.recharge.*'",
)
def create(
    to: Receiver,
    key: Key,
    *,
    types: Types = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Make a webhook. Its secret is shown now and never again."""
    body = {"url": to, "types": types or [], "description": description}
    _tell_secret(asked(url, key, "POST", "/v1/webhooks", body), as_json=as_json)


@group.command("list", epilog="Example: headend webhooks list --json")
def list_webhooks(key: Key, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List the webhooks, how their receivers do, and what waits for them."""
    items = _items(asked(url, key, "GET", "/v1/webhooks"))
    if as_json:
        tell_json(items)
        return
    columns = ("id", "url", "state", "pending", "dead", "failing_since", "last_error")
    rows = [{name: item[name] for name in columns} for item in items]
    tell_rows(rows, as_json=False, nothing="No webhooks; make one with: headend webhooks create")


@group.command("show", epilog="Example: headend webhooks show 01JN0000000000000000000001")
def show(ident: Ident, key: Key, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Show one webhook."""
    _tell(asked(url, key, "GET", _path(ident)), as_json=as_json)


@group.command(
    "change",
    epilog="Example: headend webhooks change 01JN0000000000000000000001"
    " --to https://billing.example/v2",
)
def change(
    ident: Ident,
    key: Key,
    *,
    to: Annotated[str | None, typer.Option(help="Another URL.")] = None,
    types: Types = None,
    description: Annotated[str | None, typer.Option(help="For people.")] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Change a webhook; what is not named stays as it is."""
    given = {"url": to, "types": types, "description": description}
    body = {name: value for name, value in given.items() if value is not None}
    _tell(asked(url, key, "PATCH", _path(ident), body), as_json=as_json)


@group.command("pause", epilog="Example: headend webhooks pause 01JN0000000000000000000001")
def pause(ident: Ident, key: Key, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Tell it nothing for now; what happens is kept for it, later as dead letters."""
    _tell(asked(url, key, "PATCH", _path(ident), {"state": "paused"}), as_json=as_json)


@group.command("resume", epilog="Example: headend webhooks resume 01JN0000000000000000000001")
def resume(ident: Ident, key: Key, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Tell it again, at once: after a pause, a 410 Gone, or while it rests after failures."""
    _tell(asked(url, key, "PATCH", _path(ident), {"state": "active"}), as_json=as_json)


@group.command("rotate", epilog="Example: headend webhooks rotate 01JN000000000000000000000Z")
def rotate(
    ident: Ident,
    key: Key,
    old_for: Annotated[
        int, typer.Option(min=0, help="Seconds for which the old secret signs as well.")
    ] = 86_400,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Give it a new secret, shown now and never again."""
    found = asked(url, key, "POST", f"{_path(ident)}/secret", {"old_for_s": old_for})
    _tell_secret(found, as_json=as_json)


@group.command("remove", epilog="Example: headend webhooks remove 01JN0000000000000000000001")
def remove(ident: Ident, key: Key, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Remove it, with all that waits for it and its dead letters."""
    _tell(asked(url, key, "DELETE", _path(ident)), as_json=as_json)


@group.command("dead", epilog="Example: headend webhooks dead 01JN0000000000000000000001")
def dead(
    ident: Ident,
    key: Key,
    after: Page = 0,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List the events that its receiver never took."""
    page = asked(url, key, "GET", f"{_path(ident)}/dead-letters?after={after}&limit=200")
    if as_json:
        tell_json(page)
        return
    tell_rows(_items(page), as_json=False, nothing="No dead letters.")
    if page["next"] is not None:
        typer.echo(f"More: --after {page['next']}", err=True)


@group.command(
    "replay", epilog="Example: headend webhooks replay 01JN0000000000000000000001 --dead-letters"
)
def replay(
    ident: Ident,
    key: Key,
    *,
    event: Annotated[str | None, typer.Option(help="One event by its id.")] = None,
    dead_letters: Annotated[bool, typer.Option(help="All its dead letters.")] = False,
    since: Since = None,
    until: Until = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Tell events again, with the ids they had: one, the dead letters, or those of a time."""
    given = {
        "event": event,
        "dead_letters": dead_letters or None,
        "since": _moment(since),
        "until": _moment(until),
    }
    body = {name: value for name, value in given.items() if value is not None}
    found = asked(url, key, "POST", f"{_path(ident)}/replay", body)
    if as_json:
        tell_json(found)
        return
    print(f"{found['count']} events are told again.")
    if found["more"]:
        typer.echo("There are more: run it again, later ones with --since.", err=True)


def _path(ident: str) -> str:
    return f"/v1/webhooks/{quote(ident, safe='')}"


def _moment(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else None


def _items(page: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    items = page["items"]
    assert isinstance(items, list)
    return items


def _tell(webhook: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        tell_json(webhook)
        return
    for name, value in webhook.items():
        if value is not None and name != "secret":
            print(f"{name:17} {' '.join(value) if isinstance(value, list) else value}")


def _tell_secret(webhook: Mapping[str, object], *, as_json: bool) -> None:
    _tell(webhook, as_json=as_json)
    if not as_json:
        print(f"{'secret':17} {webhook['secret']}")
        typer.echo("Keep the secret now: it is shown only once.", err=True)
