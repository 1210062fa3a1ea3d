"""`headend tokens`: what 20 digits that somebody brings are, through REST."""

from collections.abc import Mapping
from typing import Annotated

import typer

from api.commands.rest import DEFAULT_URL, Key, Url, asked
from api.commands.telling import AsJson, tell_json

group = typer.Typer(help="Tokens: whose, and what they say.", no_args_is_help=True)


@group.command(
    "verify", epilog='Example: headend tokens verify 01000000008 "9999 9999 9999 9999 9999"'
)
def verify(
    meter: Annotated[str, typer.Argument(metavar="METER", help="Meter number.")],
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="20 digits, blanks are fine.")],
    key: Key,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Tell whether a token fits a meter, what it says, and whether it is ours."""
    found = asked(url, key, "POST", "/v1/tokens/verify", {"meter": meter, "token": token})
    if as_json:
        tell_json(found)
        return
    contents, ours = found["contents"], found["ours"]
    assert isinstance(contents, dict)
    print(f"token     {found['masked']}")
    print(f"says      {contents['text']}")
    print(f"mark      {contents['mark'] or 'none'}")
    print(f"problem   {contents['problem'] or 'none'}")
    print(f"ours      {_origin(ours) if isinstance(ours, dict) else 'no'}")


def _origin(ours: Mapping[str, object]) -> str:
    token = ours["token"]
    state = token["state"] if isinstance(token, dict) else ""
    if ours["recharge"]:
        return f"yes, of recharge {ours['recharge']}, {state}"
    return f"yes, of delivery {ours['delivery']}, {state}"
