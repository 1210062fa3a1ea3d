"""`headend groups`: the policy of a supply group, from the command line."""

from typing import Annotated

import typer
from pydantic import ValidationError

from api.commands.telling import DEFAULT_TENANT, AsJson, Config, Tenant, run, tell_json, tenant_id
from api.routes.supply_groups import SupplyGroupAsked, SupplyGroupTold, put_group
from api.settings import Settings
from api.wiring import new_clock, open_store
from headend.meters import TenantId
from headend.refusals import MalformedOrder, UnknownSupplyGroup
from headend.store import Store
from headend.supply_groups import Reveal, SupplyGroup

group = typer.Typer(help="Supply groups: times, limits, language, reveal.", no_args_is_help=True)

Sgc = Annotated[str, typer.Argument(metavar="SGC", help="Supply group code: 6 digits.")]


@group.command(
    "set", epilog="Example: headend groups set 123457 --zone Africa/Nairobi --fallback-after 90"
)
def set_group(
    sgc: Sgc,
    *,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    zone: Annotated[str | None, typer.Option(help="Time zone, where its day begins.")] = None,
    language: Annotated[str | None, typer.Option(help="Of messages: a BCP 47 tag.")] = None,
    fallback_after: Annotated[
        int | None, typer.Option(help="Seconds until the digits go to the customer.")
    ] = None,
    deadline_after: Annotated[
        int | None, typer.Option(help="Seconds until remote gives up.")
    ] = None,
    limit_per_recharge: Annotated[str | None, typer.Option(help="Units in one sale.")] = None,
    limit_per_day: Annotated[str | None, typer.Option(help="Units a meter may buy a day.")] = None,
    reveal: Annotated[Reveal | None, typer.Option(help="When digits are shown.")] = None,
    reveal_at: Annotated[
        list[str] | None,
        typer.Option(metavar="POINT=WHEN", help="The same at one sales point; repeatable."),
    ] = None,
    tenant: Tenant = DEFAULT_TENANT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a supply group or change it; what is not named stays as it is."""
    changes: dict[str, object] = {
        "name": name,
        "zone": zone,
        "language": language,
        "fallback_after_s": fallback_after,
        "deadline_after_s": deadline_after,
        "limit_per_recharge": limit_per_recharge,
        "limit_per_day": limit_per_day,
        "reveal": reveal,
    }
    points = dict(_point(text) for text in reveal_at or ())

    async def put(settings: Settings) -> SupplyGroup:
        async with open_store(settings) as store:
            return await _put(store, tenant_id(tenant), sgc, changes, points=points)

    _tell(run(config, put), as_json=as_json)


@group.command(
    "restoration",
    epilog="Example: headend groups restoration 123457 --tell +15550100 --tell-after 600",
)
def set_restoration(
    sgc: Sgc,
    *,
    tell_after: Annotated[
        int | None, typer.Option(help="Seconds until the people in charge are told, if not lit.")
    ] = None,
    limit_after: Annotated[
        int | None, typer.Option(help="Seconds until the legal limit for light.")
    ] = None,
    tell: Annotated[
        list[str] | None,
        typer.Option(metavar="CONTACT", help="People in charge: +15550100 or a@b.org; repeatable."),
    ] = None,
    at_once_below: Annotated[
        int | None,
        typer.Option(help="Percent: digits go at once to meters that answer less often; 0: never."),
    ] = None,
    tenant: Tenant = DEFAULT_TENANT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Say who is told of homes that paid and are dark, and when; what is not named stays."""
    times: dict[str, object] = {
        "tell_after_s": tell_after,
        "limit_after_s": limit_after,
        "at_once_below_percent": at_once_below,
        "contacts": [_contact(text) for text in tell] if tell else None,
    }
    restoration = {name: value for name, value in times.items() if value is not None}

    async def put(settings: Settings) -> SupplyGroup:
        async with open_store(settings) as store:
            return await _put(store, tenant_id(tenant), sgc, {}, restoration=restoration)

    _tell(run(config, put), as_json=as_json)


@group.command("show", epilog="Example: headend groups show 123457 --json")
def show_group(
    sgc: Sgc, tenant: Tenant = DEFAULT_TENANT, config: Config = None, as_json: AsJson = False
) -> None:
    """Show the policy of one supply group."""

    async def find(settings: Settings) -> SupplyGroup:
        async with open_store(settings) as store, store.look() as tx:
            found = await tx.supply_groups.find(tenant_id(tenant), sgc)
        if found is None:
            raise UnknownSupplyGroup(f"no supply group {sgc}; the defaults hold for its meters")
        return found

    _tell(run(config, find), as_json=as_json)


async def _put(
    store: Store,
    tenant: TenantId,
    sgc: str,
    changes: dict[str, object],
    *,
    points: dict[str, str] | None = None,
    restoration: dict[str, object] | None = None,
) -> SupplyGroup:
    if len(sgc) != 6 or not (sgc.isascii() and sgc.isdigit()):
        raise MalformedOrder("a supply group code is 6 digits", field="sgc")
    now = new_clock().now()
    async with store.begin() as tx:
        await tx.tenants.ensure(tenant, now)
        known = await tx.supply_groups.find(tenant, sgc)
    asked = _asked(known, changes, points or {}, restoration or {})
    version = known.version if known else 0
    after = asked.group(tenant, sgc, version=version + 1, now=now)
    await put_group(store, after, was=known.version if known else None, by="command")
    return after


def _asked(
    known: SupplyGroup | None,
    changes: dict[str, object],
    points: dict[str, str],
    restoration: dict[str, object],
) -> SupplyGroupAsked:
    """The whole group as it shall be, in the form and under the checks of REST."""
    before = SupplyGroupTold.of(known).model_dump(mode="json") if known else {}
    kept = {name: before[name] for name in SupplyGroupAsked.model_fields if name in before}
    given = {name: value for name, value in changes.items() if value is not None}
    given["restoration"] = {**before.get("restoration", {}), **restoration}
    reveal_at = {**(known.reveal_at if known else {}), **points}
    try:
        return SupplyGroupAsked.model_validate({**kept, **given, "reveal_at": reveal_at})
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise MalformedOrder(f"{where}: {fault['msg']}", field=where) from None


def _contact(text: str) -> dict[str, str]:
    return {"kind": "email" if "@" in text else "sms", "address": text}


def _point(text: str) -> tuple[str, str]:
    point, found, when = text.rpartition("=")
    if not found or not point:
        raise typer.BadParameter("write POINT=WHEN, such as hall-3=at_once")
    return point, when


def _tell(found: SupplyGroup, *, as_json: bool) -> None:
    shown = SupplyGroupTold.of(found).model_dump(mode="json")
    if as_json:
        tell_json(shown)
        return
    for name, value in shown.items():
        print(f"{name:20} {'' if value is None else value}")
