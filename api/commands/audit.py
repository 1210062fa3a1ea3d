"""`headend audit`: who did what that is dangerous; and whether anything was taken away."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from api.commands.telling import (
    DEFAULT_TENANT,
    REFUSED,
    AsJson,
    Config,
    Tenant,
    run,
    tell_json,
    tell_rows,
    tenant_id,
)
from api.routes.audit import AuditTold
from api.settings import Settings
from api.wiring import open_store
from headend.audit import AuditAction, AuditRecord, Head, broken_at
from headend.meters import TenantId
from headend.pages import Cursor
from headend.store import Store

group = typer.Typer(help="Audit: who did what that is dangerous.", no_args_is_help=True)
BATCH = 1_000


@group.command("list", epilog="Example: headend audit list --action approved --json")
def list_audit(
    action: Annotated[AuditAction | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    tenant: Tenant = DEFAULT_TENANT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the audit, newest first."""

    async def find(settings: Settings) -> Sequence[AuditRecord]:
        async with open_store(settings) as store, store.look() as tx:
            cursor = Cursor(limit=limit)
            return (await tx.audit.page(tenant_id(tenant), cursor, action=action)).items

    found = [AuditTold.of(record) for record in run(config, find)]
    rows = [record.model_dump(mode="json") for record in found]
    if not as_json:
        rows = [_short(row, record.about) for row, record in zip(rows, found, strict=True)]
    tell_rows(rows, as_json=as_json, nothing="Nothing dangerous has happened.")


@group.command("verify", epilog="Example: headend audit verify --json")
def verify(tenant: Tenant = DEFAULT_TENANT, config: Config = None, as_json: AsJson = False) -> None:
    """Check the chain of the whole audit: a record changed or taken away shows.

    Keep the hash that is told in another place: it shows later that nothing before it was redone.
    """

    async def check(settings: Settings) -> tuple[Head, int | None]:
        async with open_store(settings) as store:
            return await _verified(store, tenant_id(tenant))

    head, broken = run(config, check)
    if as_json:
        told = {"records": head.number, "hash": head.hash, "whole": broken is None}
        tell_json(told | {"broken_at": broken})
    elif broken is None:
        print(f"{head.number} records, whole; the last hash is {head.hash}")
    else:
        print(f"The audit is broken at record {broken}.")
    if broken is not None:
        raise typer.Exit(REFUSED)


async def _verified(store: Store, tenant: TenantId) -> tuple[Head, int | None]:
    """Where the chain ends, and the first number that does not follow, in one look."""
    async with store.look() as tx:
        end, head = await tx.audit.head(tenant), Head()
        while head.number < end.number:
            records = await tx.audit.following(tenant, head.number, limit=BATCH)
            records = [record for record in records if record.number <= end.number]
            broken = broken_at(records, after=head)
            if broken is not None or not records:
                return end, broken or head.number + 1
            head = Head(records[-1].number, records[-1].hash)
    return end, None if head == end else end.number


def _short(row: dict[str, object], about: Mapping[str, str]) -> dict[str, object]:
    names = ("number", "at", "by", "action", "subject", "result")
    told = " ".join(f"{name}={value}" for name, value in about.items())
    return {name: row[name] for name in names} | {"about": told}
