"""`headend caps` and `headend hours`: bounds of dangerous orders, from the machine itself."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from pydantic import ValidationError

from api.commands.telling import (
    DEFAULT_TENANT,
    AsJson,
    Config,
    Tenant,
    run,
    tell_json,
    tell_rows,
    tenant_id,
)
from api.routes.caps import CapRuleTold, CapsAsked, OpeningHoursAsked, OpeningHoursTold, told_rules
from api.settings import Settings
from api.wiring import new_clock, open_store
from headend.audit import COMMAND_LINE
from headend.cap_desk import apply_caps, apply_hours
from headend.dangers import CapRule, Caps, Danger, caps_in_force
from headend.opening_hours import OpeningHours, default_hours
from headend.refusals import MalformedOrder

group = typer.Typer(help="Caps: how many dangerous orders go unasked.", no_args_is_help=True)
hours = typer.Typer(help="Opening hours: when supply may be opened.", no_args_is_help=True)

Number = Annotated[int | None, typer.Option(min=0, max=1_000_000)]
Sgc = Annotated[
    str | None, typer.Option("--sgc", help="Only this supply group (6 digits), else all.")
]
GroupCode = Annotated[str, typer.Argument(metavar="SGC", help="Supply group code: 6 digits.")]


@group.command("list", epilog="Example: headend caps list --json")
def list_caps(
    tenant: Tenant = DEFAULT_TENANT, config: Config = None, as_json: AsJson = False
) -> None:
    """List the caps of every kind: those that were set, and the safe defaults."""

    async def find(settings: Settings) -> Sequence[CapRule]:
        async with open_store(settings) as store, store.look() as tx:
            return await tx.caps.all(tenant_id(tenant))

    rows = [rule.model_dump(mode="json") for rule in told_rules(run(config, find))]
    tell_rows(rows, as_json=as_json, nothing="There are no kinds.")


@group.command("set", epilog="Example: headend caps set open_supply --per-group-day 50")
def set_caps(
    kind: Annotated[Danger, typer.Argument(metavar="KIND", help="As `caps list` tells it.")],
    *,
    sgc: Sgc = None,
    per_key_hour: Number = None,
    per_key_day: Number = None,
    per_group_hour: Number = None,
    per_group_day: Number = None,
    approve_always: Annotated[
        bool | None, typer.Option(help="Every order needs a second person.")
    ] = None,
    hold_percent: Number = None,
    hold_samples: Number = None,
    tenant: Tenant = DEFAULT_TENANT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Change caps; what is not named stays. Whoever has the machine needs no second person."""
    changes = {
        "per_key_hour": per_key_hour,
        "per_key_day": per_key_day,
        "per_group_hour": per_group_hour,
        "per_group_day": per_group_day,
        "approve_always": approve_always,
        "hold_percent": hold_percent,
        "hold_samples": hold_samples,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    _check_code(sgc)

    async def put(settings: Settings) -> CapRule:
        async with open_store(settings) as store, store.begin() as tx:
            now = new_clock().now()
            await tx.tenants.ensure(tenant_id(tenant), now)
            before = await caps_in_force(tx.caps, tenant_id(tenant), sgc, kind)
            caps = _checked(asdict(before) | given)
            return await apply_caps(
                tx, tenant_id(tenant), sgc, kind, caps, by=COMMAND_LINE, now=now
            )

    told = CapRuleTold.of_rule(run(config, put)).model_dump(mode="json")
    tell_rows([told], as_json=as_json, nothing="")


@hours.command("show", epilog="Example: headend hours show 123457")
def show_hours(
    sgc: GroupCode, tenant: Tenant = DEFAULT_TENANT, config: Config = None, as_json: AsJson = False
) -> None:
    """Show when supply may be opened in a group, in the group's local time."""

    async def find(settings: Settings) -> OpeningHours:
        async with open_store(settings) as store, store.look() as tx:
            found = await tx.opening_hours.find(tenant_id(tenant), sgc)
        return found or default_hours(tenant_id(tenant), sgc, new_clock().now())

    _tell_hours(run(config, find), as_json=as_json)


@hours.command(
    "set", epilog="Example: headend hours set 123457 --day 1=08:00-16:00 --closed 2026-12-25"
)
def set_hours(
    sgc: GroupCode,
    *,
    day: Annotated[
        list[str] | None,
        typer.Option(metavar="N=FROM-UNTIL", help="1 Monday to 7 Sunday; once for each open day."),
    ] = None,
    closed: Annotated[
        list[str] | None, typer.Option(metavar="DATE", help="A holiday or no-cut day; repeatable.")
    ] = None,
    tenant: Tenant = DEFAULT_TENANT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Set all hours of a group: a weekday that is not named is closed."""
    _check_code(sgc)
    asked = _asked_hours(day or (), closed or ())

    async def put(settings: Settings) -> OpeningHours:
        async with open_store(settings) as store, store.begin() as tx:
            await tx.tenants.ensure(tenant_id(tenant), new_clock().now())
            known = await tx.opening_hours.find(tenant_id(tenant), sgc)
            was = known.version if known else None
            fresh = asked.of(
                tenant_id(tenant),
                sgc,
                version=(was or 0) + 1,
                by=COMMAND_LINE,
                now=new_clock().now(),
            )
            await apply_hours(tx, fresh, was=was, by=COMMAND_LINE)
            return fresh

    _tell_hours(run(config, put), as_json=as_json)


def _check_code(sgc: str | None) -> None:
    if sgc is not None and not (len(sgc) == 6 and sgc.isascii() and sgc.isdigit()):
        raise typer.BadParameter("a supply group code is 6 digits")


def _checked(numbers: Mapping[str, object]) -> Caps:
    """Caps within the same bounds as over REST; raises MalformedOrder."""
    try:
        return CapsAsked.model_validate(numbers).caps()
    except ValidationError as error:
        raise _malformed(error) from None


def _asked_hours(days: Sequence[str], closed: Sequence[str]) -> OpeningHoursAsked:
    spans = []
    for text in days:
        weekday, found, span = text.partition("=")
        opens, dash, closes = span.partition("-")
        if not found or not dash or not weekday.isdecimal():
            raise typer.BadParameter("write N=FROM-UNTIL, such as 1=08:00-16:00")
        spans.append({"weekday": int(weekday), "opens": opens, "closes": closes})
    try:
        return OpeningHoursAsked.model_validate({"hours": spans, "closed_on": list(closed)})
    except ValidationError as error:
        raise typer.BadParameter(str(_malformed(error))) from None


def _malformed(error: ValidationError) -> MalformedOrder:
    fault = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    return MalformedOrder(f"{where}: {fault['msg']}", field=where)


def _tell_hours(found: OpeningHours, *, as_json: bool) -> None:
    told = OpeningHoursTold.told(found).model_dump(mode="json")
    if as_json:
        tell_json(told)
        return
    print(f"sgc        {told['sgc']}{'' if found.version else ' (the default)'}")
    for one in told["hours"]:
        print(f"weekday {one['weekday']}  {one['opens']} to {one['closes']}")
    print(f"closed on  {' '.join(told['closed_on']) or 'no other day'}")
