"""`headend dark`: who has paid and has no light, why and since when; a live table, through REST."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from api.commands.rest import DEFAULT_URL, Key, Url, asked
from api.commands.telling import AsJson, tell_json, told
from headend.darkness import Darkness

EPILOG = "Example: headend dark --cause below_threshold --group 201457 (key in HEADEND_KEY)"
# More lines than this fit no screen; the oldest come first.
LINES = 200
COLUMNS = ("meter", "age", "cause", "missing", "recharge", "next")


def dark_command(
    key: Key,
    *,
    cause: Annotated[Darkness | None, typer.Option(help="Only those of one cause.")] = None,
    group: Annotated[str | None, typer.Option(help="Only those of a supply group code.")] = None,
    every: Annotated[
        float, typer.Option(min=0.5, max=3600, help="Seconds between two looks.")
    ] = 5.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, even on a terminal.")] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Sales that are paid and not lit, oldest first; on a terminal the table stays live."""
    asks = {"cause": cause.value if cause else None, "group": group, "limit": str(LINES)}
    query = urlencode({name: value for name, value in asks.items() if value is not None})
    path = f"/v1/paid-but-dark?{query}"
    if as_json:
        tell_json(asked(url, key, "GET", path))
        return
    if once or not sys.stdout.isatty():
        Console(soft_wrap=True).print(_table(asked(url, key, "GET", path)))
        return
    with told(), Live(_table(asked(url, key, "GET", path)), screen=False) as live:
        while True:
            time.sleep(every)
            live.update(_table(asked(url, key, "GET", path)))


def _table(page: Mapping[str, object]) -> Table:
    items = page["items"]
    sales: Sequence[Mapping[str, object]] = items if isinstance(items, list) else []
    more = ", and more" if page.get("next") else ""
    table = Table(*COLUMNS, box=None, title=f"paid and not lit: {len(sales)}{more}")
    for sale in sales:
        table.add_row(*_row(sale))
    return table


def _row(sale: Mapping[str, object]) -> Sequence[str]:
    coming = sale["next"]
    text = str(coming["text"]) if isinstance(coming, dict) else ""
    age = _age(int(str(sale["age_s"])))
    missing = str(sale["missing"] or "-")
    return (str(sale["meter"]), age, str(sale["cause"]), missing, str(sale["recharge"]), text)


def _age(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
