"""`headend recharge` and `headend recharges`: sell and look, through REST as a back-office does."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

import httpx2
import typer

from api.commands.telling import REFUSED, AsJson, Unreachable, complain, tell_json, told
from api.wiring import new_chance, new_clock
from headend.quantities import Unit

group = typer.Typer(help="Recharges, as a back-office sees them.", no_args_is_help=True)
EPILOG = "Example: headend recharge 01000000008 25.6 --sms +15550100 (key in HEADEND_KEY)"
TIMEOUT_S = 35.0

Url = Annotated[
    str, typer.Option("--url", envvar="HEADEND_URL", help="Where the head-end answers.")
]
Key = Annotated[
    str,
    typer.Option("--key", envvar="HEADEND_KEY", help="API key; better in HEADEND_KEY than here."),
]
DEFAULT_URL = "http://127.0.0.1:8080"


def recharge_command(
    meter: Annotated[str, typer.Argument(metavar="METER", help="Meter number.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Units, such as 25.6.")],
    *,
    key: Key,
    unit: Annotated[Unit, typer.Option(help="The unit of the meter's service.")] = Unit.KWH,
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
        "amount": {"kind": "units", "value": amount, "unit": unit.value},
        "fallback": [{"kind": kind, "address": address} for kind, address in contacts],
    }
    given = {"reference": reference, "sales_point": sales_point}
    body |= {name: value for name, value in given.items() if value is not None}
    _tell(_asked(url, key, "POST", "/v1/recharges", body), as_json=as_json)


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
    _tell(_asked(url, key, "GET", path, None), as_json=as_json)


def _asked(
    url: str, key: str, method: str, path: str, body: Mapping[str, object] | None
) -> Mapping[str, object]:
    """The answer of a head-end; ends the command when there is none, or it is a problem."""
    with told():
        try:
            answer = httpx2.request(
                method,
                url.rstrip("/") + path,
                json=body,
                headers={"Authorization": f"Bearer {key}"},
                timeout=TIMEOUT_S,
                trust_env=False,
            )
            found = answer.json()
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unreachable(
                f"no head-end answers at {url} ({type(error).__name__});"
                " start one with: headend serve, or name another with --url"
            ) from None
        except ValueError:
            raise Unreachable(f"what answers at {url} is no head-end; check --url") from None
    if not answer.is_success or not isinstance(found, dict):
        problem = found if isinstance(found, dict) else {}
        complain(f"{problem.get('title', answer.status_code)}: {problem.get('detail', '')}")
        raise typer.Exit(REFUSED)
    return found


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
    tokens = recharge["tokens"]
    for token in tokens if isinstance(tokens, list) else []:
        print(f"token     {token['digits'] or token['masked']} {token['state']}")
    attempts = recharge["attempts"]
    for attempt in attempts if isinstance(attempts, list) else []:
        print(f"try       {attempt['started_at']} {attempt['method']} {attempt['outcome']}")
    print(f"next      {text}")


def _amount(amount: object) -> str:
    return f"{amount['value']} {amount['unit']}" if isinstance(amount, dict) else "-"
