"""`headend people`: the named humans who approve; made here by whoever has the machine."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated

import typer

from api.auth import new_person, personal_token
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
from headend.audit import COMMAND_LINE, AuditAction, Entry
from headend.errors import Stale
from headend.people import Person
from headend.store import Transaction

NAME_MAX = 100
group = typer.Typer(help="People: who approves what is dangerous.", no_args_is_help=True)
Ident = Annotated[str, typer.Argument(metavar="ID", help="The id, as `people list` tells it.")]


@group.command("add", epilog='Example: headend people add "Kwame Otieno"')
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="First and last name.")],
    tenant: Tenant = DEFAULT_TENANT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Add a person. The personal token is shown now and never again: hand it over in private."""
    clean = " ".join(name.split())
    if not clean or len(clean) > NAME_MAX or not clean.isprintable():
        raise typer.BadParameter(f"a name has 1 to {NAME_MAX} printable characters")
    chance, now = new_chance(), new_clock().now()
    person, text = new_person(
        ident=chance.ident(now),
        tenant=tenant_id(tenant),
        name=clean,
        secret=chance.secret(),
        now=now,
    )

    async def keep(settings: Settings) -> bool:
        async with open_store(settings) as store:
            try:
                async with store.begin() as tx:
                    await tx.tenants.ensure(person.tenant, now)
                    await tx.people.add(person)
                    await _note(tx, person, AuditAction.PERSON_CREATED)
            except Stale:
                return False
        return True

    if not run(config, keep):
        complain("somebody of this name is, or was, here; see: headend people list, and renew")
        raise typer.Exit(REFUSED)
    _tell_token(person, text, as_json=as_json)


@group.command("list", epilog="Example: headend people list --json")
def list_people(
    tenant: Tenant = DEFAULT_TENANT, config: Config = None, as_json: AsJson = False
) -> None:
    """List the people of a tenant, revoked ones too."""

    async def find(settings: Settings) -> Sequence[Person]:
        async with open_store(settings) as store, store.look() as tx:
            return await tx.people.all(tenant_id(tenant))

    rows = [_row(person) for person in run(config, find)]
    tell_rows(rows, as_json=as_json, nothing="Nobody yet; add one with: headend people add")


@group.command("renew", epilog="Example: headend people renew 01JN0000000000000000000001")
def renew(ident: Ident, config: Config = None, as_json: AsJson = False) -> None:
    """Give a person another personal token; the one before dies, and a revoked person is back."""
    chance = new_chance()
    secret = chance.secret()

    async def put(settings: Settings) -> Person | None:
        async with open_store(settings) as store, store.begin() as tx:
            if not await tx.people.renew(ident, sha256(secret).digest(), new_clock().now()):
                return None
            person = await tx.people.find(ident)
            assert person is not None
            await _note(tx, person, AuditAction.PERSON_RENEWED)
            return person

    person = run(config, put)
    if person is None:
        _unknown(ident)
    else:
        _tell_token(person, personal_token(ident, secret), as_json=as_json)


@group.command("revoke", epilog="Example: headend people revoke 01JN0000000000000000000001")
def revoke(ident: Ident, config: Config = None, as_json: AsJson = False) -> None:
    """Revoke a person's token; running head-ends refuse it within seconds."""

    async def end(settings: Settings) -> bool:
        async with open_store(settings) as store, store.begin() as tx:
            person = await tx.people.find(ident)
            if person is None or not await tx.people.revoke(ident, new_clock().now()):
                return False
            await _note(tx, person, AuditAction.PERSON_REVOKED)
            return True

    if not run(config, end):
        _unknown(ident)
    if as_json:
        tell_json({"id": ident, "revoked": True})
    else:
        print(f"Person {ident} is revoked.")


def _unknown(ident: str) -> None:
    complain(f"no person {ident} in force; see: headend people list")
    raise typer.Exit(REFUSED)


async def _note(tx: Transaction, person: Person, action: AuditAction) -> None:
    await tx.audit.append(
        Entry(
            tenant=person.tenant,
            at=new_clock().now(),
            by=COMMAND_LINE,
            action=action,
            subject=person.id,
            about={"name": person.name},
        )
    )


def _tell_token(person: Person, text: str, *, as_json: bool) -> None:
    if as_json:
        tell_json(_row(person) | {"token": text})
    else:
        print(text)
        typer.echo(f"Token of {person.name}: shown only once.", err=True)


def _row(person: Person) -> dict[str, object]:
    return {
        "id": person.id,
        "tenant": person.tenant,
        "name": person.name,
        "created_at": person.created_at.isoformat(timespec="seconds"),
        "renewed_at": person.renewed_at.isoformat(timespec="seconds"),
        "revoked_at": person.revoked_at.isoformat(timespec="seconds")
        if person.revoked_at
        else None,
    }
