"""How commands tell: tables or JSON on standard output, errors and progress on standard error.

Exit codes: 0 done, 1 refused or not all well, 2 misused, 3 database or head-end out of reach.
"""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from api.logs import configure_logs
from api.masking import masked
from api.settings import CONFIG_VARIABLE, Settings, load_settings
from headend.errors import HeadendError, StoreDown
from headend.meters import TenantId

T = TypeVar("T")

REFUSED, MISUSED, UNREACHABLE = 1, 2, 3
DEFAULT_TENANT = "main"
# Lines are cut by the terminal, not by us: an identifier in two halves cannot be copied.
WIDTH = 400
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def _tenant_of(text: str) -> str:
    if _TENANT.fullmatch(text) is None:
        raise typer.BadParameter("letters, digits, dot, hyphen and underscore, at most 64")
    return text


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Settings file; else ./headend.toml if there is one.",
        envvar=CONFIG_VARIABLE,
        metavar="FILE",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Tell the result as JSON.")]
Tenant = Annotated[
    str,
    typer.Option(
        "--tenant", help="The utility, where several share this head-end.", callback=_tenant_of
    ),
]


class Unreachable(HeadendError):
    """A head-end does not answer at all; the text says where it was looked for."""


@contextmanager
def told() -> Iterator[None]:
    """Let what the head-end can name end the command with a sentence, not a traceback."""
    try:
        yield
    except (StoreDown, Unreachable) as error:
        complain(str(error) or "the database cannot be reached; is it running?")
        raise typer.Exit(UNREACHABLE) from None
    except HeadendError as error:
        complain(str(error))
        raise typer.Exit(REFUSED) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def run(config: Path | None, work: Callable[[Settings], Coroutine[None, None, T]]) -> T:
    """Load the settings and run one piece of work; its errors are told."""
    with told():
        settings = load_settings(config)
        configure_logs(level="WARNING")
        return asyncio.run(work(settings))


def complain(text: str) -> None:
    typer.echo(f"headend: {masked(text)}", err=True)


def tell_json(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=1, default=str))


def tell_rows(rows: Sequence[Mapping[str, object]], *, as_json: bool, nothing: str) -> None:
    """Rows of equal keys as a table, or as a JSON list."""
    if as_json:
        tell_json(list(rows))
        return
    if not rows:
        typer.echo(nothing)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console(width=WIDTH).print(table)


def tenant_id(text: str) -> TenantId:
    return TenantId(text)
