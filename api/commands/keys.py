"""`headend keys`: API keys, made, listed and revoked. The key itself is shown once."""

from collections.abc import Sequence
from typing import Annotated

import typer

from api.auth import new_key
from api.commands.telling import (
    DEFAULT_TENANT,
    REFUSED,
    AsJson,
    Config,
    Tenant,
    complain,
    run,
    tell_json,
    tell_rows,
    tenant_id,
)
from api.settings import Settings
from api.wiring import new_chance, new_clock, open_store
from headend.api_keys import ApiKey, Scope
from headend.audit import COMMAND_LINE, AuditAction, Entry
from headend.people import PersonId
from headend.refusals import UnknownPerson
from headend.store import Transaction

group = typer.Typer(help="API keys: who may call, and what they may do.", no_args_is_help=True)

Scopes = Annotated[
    list[Scope],
    typer.Option("--scope", help="What the key may do; give it once for each."),
]


@group.command(
    "create", epilog="Example: headend keys create --name billing --scope recharge --scope read"
)
def create(
    name: Annotated[str, typer.Option(help="Who will use it.")],
    scope: Scopes,
    *,
    person: Annotated[
        str | None,
        typer.Option(help="Id of the person it belongs to, who then approves none of its orders."),
    ] = None,
    tenant: Tenant = DEFAULT_TENANT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown now and never again: only its SHA-256 is kept."""
    clock, chance = new_clock(), new_chance()
    now = clock.now()
    key, text = new_key(
        ident=chance.ident(now),
        tenant=tenant_id(tenant),
        name=name,
        scopes=frozenset(scope),
        secret=chance.secret(),
        now=now,
        person=PersonId(person) if person else None,
    )

    async def keep(settings: Settings) -> None:
        async with open_store(settings) as store, store.begin() as tx:
            await tx.tenants.ensure(key.tenant, now)
            await _require_person(tx, key)
            await tx.api_keys.add(key)
            await _note(tx, key, AuditAction.KEY_CREATED)

    run(config, keep)
    if as_json:
        tell_json(_row(key) | {"key": text})
    else:
        print(text)
        typer.echo("Keep it now: it is shown only once.", err=True)


@group.command("list", epilog="Example: headend keys list --json")
def list_keys(
    tenant: Tenant = DEFAULT_TENANT, config: Config = None, as_json: AsJson = False
) -> None:
    """List the keys of a tenant, revoked ones too."""

    async def find(settings: Settings) -> Sequence[ApiKey]:
        async with open_store(settings) as store, store.look() as tx:
            return await tx.api_keys.all(tenant_id(tenant))

    rows = [_row(key) for key in run(config, find)]
    tell_rows(rows, as_json=as_json, nothing="No keys yet; make one with: headend keys create")


@group.command("revoke", epilog="Example: headend keys revoke 01JN0000000000000000000001")
def revoke(
    ident: Annotated[str, typer.Argument(metavar="ID", help="The id, as `keys list` tells it.")],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key; running head-ends refuse it within seconds."""

    async def end(settings: Settings) -> bool:
        async with open_store(settings) as store, store.begin() as tx:
            key = await tx.api_keys.find(ident)
            if key is None or not await tx.api_keys.revoke(ident, new_clock().now()):
                return False
            await _note(tx, key, AuditAction.KEY_REVOKED)
            return True

    if not run(config, end):
        complain(f"no key {ident} that is not revoked yet; see: headend keys list")
        raise typer.Exit(REFUSED)
    if as_json:
        tell_json({"id": ident, "revoked": True})
    else:
        print(f"Key {ident} is revoked.")


async def _require_person(tx: Transaction, key: ApiKey) -> None:
    """Raises UnknownPerson: a key of nobody known could have its orders approved by anybody."""
    if key.person is None:
        return
    person = await tx.people.find(key.person)
    if person is None or person.tenant != key.tenant:
        raise UnknownPerson("no such person; see: headend people list", field="person")


async def _note(tx: Transaction, key: ApiKey, action: AuditAction) -> None:
    about = {"name": key.name, "scopes": " ".join(sorted(key.scopes)), "person": key.person or ""}
    await tx.audit.append(
        Entry(
            tenant=key.tenant,
            at=new_clock().now(),
            by=COMMAND_LINE,
            action=action,
            subject=key.id,
            about=about,
        )
    )


def _row(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "scopes": " ".join(sorted(key.scopes)),
        "person": key.person,
        "created_at": key.created_at.isoformat(timespec="seconds"),
        "revoked_at": key.revoked_at.isoformat(timespec="seconds") if key.revoked_at else None,
    }
