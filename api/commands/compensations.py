"""`headend compensations`: who was dark beyond the legal limit after they had paid."""

from datetime import datetime
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from api.commands.telling import (
    DEFAULT_TENANT,
    AsJson,
    Config,
    Tenant,
    run,
    tell_json,
    tell_rows,
    tenant_id,
    told,
)
from api.routes.compensations import (
    CompensationTold,
    compensations_asked,
    csv_lines,
    every_compensation,
)
from api.routes.forms import Moment
from api.settings import Settings
from api.wiring import new_clock, open_store
from headend.compensations import Compensation
from headend.refusals import MalformedOrder

_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)
EPILOG = "Example: headend compensations --sgc 123457 --since 2026-11-01T00:00:00Z --csv"


def compensations_command(
    sgc: Annotated[str | None, typer.Option(metavar="SGC", help="Of one supply group.")] = None,
    meter: Annotated[str | None, typer.Option(help="Of one meter.")] = None,
    since: Annotated[str | None, typer.Option(help="Limit passed at or after (RFC 3339).")] = None,
    until: Annotated[str | None, typer.Option(help="Limit passed before (RFC 3339).")] = None,
    *,
    dark: Annotated[bool | None, typer.Option("--dark/--lit", help="Not lit yet, or lit.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, for a spreadsheet.")] = False,
    tenant: Tenant = DEFAULT_TENANT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List recharges that were dark beyond the legal limit of their supply group, newest first."""
    with told():
        where = compensations_asked(
            sgc=sgc, meter=meter, since=_moment(since), until=_moment(until), dark=dark
        )
    now = new_clock().now()

    async def found(settings: Settings) -> list[Compensation]:
        async with open_store(settings) as store:
            pages = every_compensation(store, tenant_id(tenant), where)
            return [record async for page in pages for record in page]

    async def told_as_csv(settings: Settings) -> None:
        async with open_store(settings) as store:
            pages = every_compensation(store, tenant_id(tenant), where)
            async for lines in csv_lines(pages, now):
                typer.echo(lines, nl=False)

    if as_csv:
        run(config, told_as_csv)
        return
    rows = [CompensationTold.of(one, now).model_dump(mode="json") for one in run(config, found)]
    if as_json:
        tell_json(rows)
        return
    tell_rows([_short(row) for row in rows], as_json=False, nothing="nobody was dark for too long")


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return _MOMENT.validate_python(text)
    except ValidationError:
        raise MalformedOrder("write a time with its offset: 2026-11-01T00:00:00Z") from None


def _short(row: dict[str, object]) -> dict[str, object]:
    shown = ("recharge", "meter", "sgc", "paid_at", "ended_at", "minutes_over", "cause")
    return {name: row[name] for name in shown}
