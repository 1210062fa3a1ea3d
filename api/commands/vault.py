"""`headend vault`: vending keys of the software vault; what is shown never holds a key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from api.commands.telling import (
    DEFAULT_TENANT,
    AsJson,
    Config,
    Tenant,
    run,
    tell_rows,
    tenant_id,
)
from api.settings import Settings
from api.wiring import import_vending_keys, new_clock, open_store
from headend.vending_keys import SealedKey, VendingKey

group = typer.Typer(
    help="Vending keys, sealed in the database under the master key.", no_args_is_help=True
)


@group.command("import", epilog="Example: headend vault import keys.toml")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="TOML with a [[keys]] table each; mode 0600."),
    ],
    tenant: Tenant = DEFAULT_TENANT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Import vending keys: all of the file or none. Keys marked live are refused.

    Compare each check value that is told with the one on the key's own paper.
    """

    async def take(settings: Settings) -> Sequence[VendingKey]:
        async with open_store(settings) as store:
            async with store.begin() as tx:
                await tx.tenants.ensure(tenant_id(tenant), new_clock().now())
            return await import_vending_keys(settings, store, file, tenant_id(tenant))

    rows = [_row(key) for key in run(config, take)]
    tell_rows(rows, as_json=as_json, nothing="No keys in the file.")


@group.command("list", epilog="Example: headend vault list --json")
def list_keys(
    tenant: Tenant = DEFAULT_TENANT, config: Config = None, as_json: AsJson = False
) -> None:
    """List the vending keys of a tenant by their attributes."""

    async def find(settings: Settings) -> Sequence[SealedKey]:
        async with open_store(settings) as store, store.look() as tx:
            return await tx.vending_keys.all(tenant_id(tenant))

    rows = [
        _row(sealed.key) | {"state": "retired" if sealed.retired_at else "in use"}
        for sealed in run(config, find)
    ]
    tell_rows(rows, as_json=as_json, nothing="No keys yet; see: headend vault import --help")


def _row(key: VendingKey) -> dict[str, object]:
    return {
        "sgc": key.sgc,
        "krn": key.krn,
        "key_type": int(key.key_type),
        "base_date": key.base_date,
        "ken": key.ken,
        "dkga": key.dkga,
        "mark": key.mark.value,
        "check_value": key.check_value,
    }
