"""`headend approvals` and `headend holds`: what waits for people, and their decisions; by REST."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

import typer

from api.commands.rest import DEFAULT_URL, Url, asked
from api.commands.telling import AsJson, tell_json, tell_rows
from headend.approvals import ApprovalState

group = typer.Typer(
    help="Approvals: what waits for a second person; decided with a personal token.",
    no_args_is_help=True,
)
holds = typer.Typer(help="Holds: kinds of orders that are stopped.", no_args_is_help=True)

PersonToken = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="HEADEND_PERSON_TOKEN",
        help="Your personal token hp_...; better in HEADEND_PERSON_TOKEN than here.",
    ),
]
Ident = Annotated[str, typer.Argument(metavar="ID", help="Id of the approval.")]
HoldIdent = Annotated[str, typer.Argument(metavar="ID", help="Id of the hold.")]
Reason = Annotated[str, typer.Option("--reason", help="Why.")]


@group.command("list", epilog="Example: headend approvals list --json")
def list_approvals(
    *,
    token: PersonToken,
    state: Annotated[ApprovalState | None, typer.Option(help="Only those in this state.")] = (
        ApprovalState.WAITING
    ),
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List what waits (or waited) for a second person, newest first, at most 200."""
    query = f"?limit=200&state={state.value}" if state else "?limit=200"
    found = asked(url, token, "GET", f"/v1/approvals{query}")["items"]
    assert isinstance(found, list)
    rows = found if as_json else [_row(one) for one in found]
    tell_rows(rows, as_json=as_json, nothing="Nothing waits.")


@group.command("show", epilog="Example: headend approvals show 01JN0000000000000000000001")
def show(ident: Ident, token: PersonToken, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Show one: what is ordered, for whom, why it waits, until when."""
    _tell(asked(url, token, "GET", _path(ident)), as_json=as_json)


@group.command("approve", epilog="Example: headend approvals approve 01JN0000000000000000000001")
def approve(
    ident: Ident, token: PersonToken, url: Url = DEFAULT_URL, as_json: AsJson = False
) -> None:
    """Approve it; it is carried out at once. Nobody approves what was ordered for them."""
    _tell(asked(url, token, "POST", f"{_path(ident)}/approval"), as_json=as_json)


@group.command(
    "refuse",
    epilog='Example: headend approvals refuse 01JN0000000000000000000001 --reason "wrong street"',
)
def refuse(
    ident: Ident,
    token: PersonToken,
    reason: Reason,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Refuse it for good."""
    body = {"reason": reason}
    _tell(asked(url, token, "POST", f"{_path(ident)}/refusal", body), as_json=as_json)


@holds.command("list", epilog="Example: headend holds list --json")
def list_holds(token: PersonToken, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List holds, newest first, lifted ones too, at most 200."""
    found = asked(url, token, "GET", "/v1/holds?limit=200")["items"]
    assert isinstance(found, list)
    tell_rows(found, as_json=as_json, nothing="Nothing is held.")


@holds.command(
    "lift", epilog='Example: headend holds lift 01JN0000000000000000000001 --reason "line mended"'
)
def lift(
    ident: HoldIdent,
    token: PersonToken,
    reason: Reason,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Lift a hold: orders of that kind go again."""
    path = f"/v1/holds/{quote(ident, safe='')}/lift"
    _tell(asked(url, token, "POST", path, {"reason": reason}), as_json=as_json)


def _path(ident: str) -> str:
    return f"/v1/approvals/{quote(ident, safe='')}"


def _row(approval: Mapping[str, object]) -> dict[str, object]:
    names = ("id", "state", "kind", "order", "meter", "reason", "expires_at")
    return {name: approval[name] for name in names}


def _tell(found: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        tell_json(found)
        return
    for name, value in found.items():
        print(f"{name:14} {'' if value is None else value}")
