"""`headend vault`: vending keys of the software vault; what is shown never holds a key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

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
from api.vault_wiring import (
    Rotation,
    Turned,
    activate_vending_key,
    import_vending_keys,
    open_keys,
    retire_vending_key,
    rotate_master_key,
)
from api.vending import KeyLife, KeyPlace
from api.wiring import new_clock, open_store
from headend.vending_keys import VendingKey

group = typer.Typer(
    help="Vending keys, sealed in the database under the master key.", no_args_is_help=True
)

Sgc = Annotated[str, typer.Argument(metavar="SGC", help="Supply group code, six digits.")]
Krn = Annotated[int, typer.Argument(metavar="KRN", help="Key revision number.", min=1, max=9)]


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
        clock = new_clock()
        async with open_store(settings) as store:
            async with store.begin() as tx:
                await tx.tenants.ensure(tenant_id(tenant), clock.now())
            return await import_vending_keys(settings, store, file, tenant_id(tenant), clock=clock)

    rows = [_row(key) for key in run(config, take)]
    tell_rows(rows, as_json=as_json, nothing="No keys in the file.")


@group.command("list", epilog="Example: headend vault list --json")
def list_keys(
    tenant: Tenant = DEFAULT_TENANT, config: Config = None, as_json: AsJson = False
) -> None:
    """List the vending keys of a tenant by their attributes, with their state and their end.

    Where a security module is set, its keys are listed too, as the settings tell of them; those in
    the database are then not used.
    """

    async def find(settings: Settings) -> Sequence[tuple[KeyPlace, KeyLife]]:
        async with open_store(settings) as store:
            return [
                (ring.place, life)
                for ring in open_keys(settings, store)
                for life in await ring.keys(tenant_id(tenant))
            ]

    now = new_clock().now()
    rows = [
        _row(life.key)
        | {
            "held_in": place.value,
            "state": _state(life, expired=life.ends_at < now),
            "ends_at": life.ends_at.isoformat(timespec="minutes"),
        }
        for place, life in run(config, find)
    ]
    tell_rows(rows, as_json=as_json, nothing="No keys yet; see: headend vault import --help")


@group.command("retire", epilog="Example: headend vault retire 201457 1")
def retire(
    sgc: Sgc,
    krn: Krn,
    tenant: Tenant = DEFAULT_TENANT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Take a vending key out of use: from now on no token is made or read with it.

    It is kept, and `headend vault activate` brings it back.
    """

    async def end(settings: Settings) -> VendingKey:
        async with open_store(settings) as store:
            return await retire_vending_key(store, tenant_id(tenant), sgc, krn, clock=new_clock())

    tell_rows([_row(run(config, end)) | {"state": "retired"}], as_json=as_json, nothing="")


@group.command("activate", epilog="Example: headend vault activate 201457 1")
def activate(
    sgc: Sgc,
    krn: Krn,
    tenant: Tenant = DEFAULT_TENANT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Bring the vending key of this name that was retired last into use again."""

    async def begin(settings: Settings) -> VendingKey:
        async with open_store(settings) as store:
            return await activate_vending_key(
                settings, store, tenant_id(tenant), sgc, krn, clock=new_clock()
            )

    tell_rows([_row(run(config, begin)) | {"state": "in use"}], as_json=as_json, nothing="")


@group.command("rotate", epilog="Example: headend vault rotate")
def rotate(config: Config = None, as_json: AsJson = False) -> None:
    """Seal all vending keys and webhook secrets under the newest master key; selling goes on.

    First put the new master key before the old one (a line each) in the master key file or in
    HEADEND_MASTER_KEY, and restart every process. Then run this; it may be stopped and run again.
    When it says that it is complete, take the old master key away.
    """

    async def turn(settings: Settings) -> Turned:
        async with open_store(settings) as store:
            return await rotate_master_key(settings, store, progress=_tell_progress)

    turned = run(config, turn)
    rotation = turned.keys
    if as_json:
        unopened = [_row(key) | {"tenant": key.tenant} for key in rotation.unopened]
        told = {"done": rotation.done, "total": rotation.total, "unopened": unopened}
        webhooks = [webhook.id for webhook in turned.webhooks]
        tell_json(told | {"webhooks_unopened": webhooks, "complete": turned.complete})
    elif turned.complete:
        print(f"Complete: {rotation.total} keys lie under the newest master key.")
    if not turned.complete:
        for webhook in turned.webhooks:
            complain(f"the secret of webhook {webhook.id} does not open; rotate it")
        for key in rotation.unopened:
            complain(f"key {key.sgc}/{key.krn} of tenant {key.tenant} does not open")
        complain("not complete: put the missing master key behind the newest, and run it again")
        raise typer.Exit(REFUSED)


def _tell_progress(rotation: Rotation) -> None:
    typer.echo(f"{rotation.done} of {rotation.total} keys", err=True)


def _state(life: KeyLife, *, expired: bool) -> str:
    if not life.in_use:
        return "retired"
    return "expired" if expired else "in use"


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
