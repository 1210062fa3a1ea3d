"""Wiring of what makes tokens: the vault or the security module of the settings, and its upkeep.

Beside `wiring` the only module of this floor that knows the vault's concrete classes.
"""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from adapters.vault.ea07_tables import load_tables
from adapters.vault.key_import import import_keys, read_keys_file
from adapters.vault.key_states import activate_key, retire_key
from adapters.vault.master_key import MasterKeys, load_master_keys
from adapters.vault.prism import PrismVault
from adapters.vault.prism_account import load_account
from adapters.vault.prism_server import PrismServer
from adapters.vault.rotation import Rotation, rotate_master
from adapters.vault.software import SoftwareVault
from adapters.vault.webhook_secrets import SecretSeals, renew_secrets
from api.folders import make_folder
from api.settings import ModuleKey, SecurityModule, Settings, SettingsRefused
from api.vending import KeyList, ModuleKeys, NamedKeys, StoredKeys, VaultKeys, Vending
from headend.meters import KeyType, TenantId
from headend.ports import Clock
from headend.store import Store
from headend.vending_keys import KeyMark, VendingKey
from headend.webhooks import Webhook

__all__ = ["Rotation"]


async def open_vending(
    settings: Settings,
    store: Store,
    *,
    clock: Clock,
    stack: AsyncExitStack,
    create: bool = True,
) -> Vending:
    """What tokens are made with, closed with the stack; raises HeadendError.

    The software vault's first start makes a master key, unless `create` forbids it. No connection
    to a security module is opened before it is needed.
    """
    tables = load_tables(settings.ea07_tables_file) if settings.ea07_tables_file else None
    if settings.security_module is not None:
        keys = _module_keys(settings.security_module)
        prism = _prism(settings.security_module, keys)
        stack.push_async_callback(prism.aclose)
        return Vending(module=prism, ring=ModuleKeys(keys, partial(_alerts, prism)), tables=tables)
    masters = load_masters(settings, create=create)
    vault = SoftwareVault(store, masters, clock=clock, tables=tables)
    return Vending(module=vault, ring=VaultKeys(store, vault), tables=tables)


def open_keys(settings: Settings, store: Store) -> Sequence[KeyList]:
    """Where vending keys lie, without opening any: the database, and the module if one is set."""
    if settings.security_module is None:
        return [StoredKeys(store)]
    return [NamedKeys(_module_keys(settings.security_module)), StoredKeys(store)]


# --- the security module ------------------------------------------------------------------------


def _prism(settings: SecurityModule, keys: Sequence[VendingKey]) -> PrismVault:
    server = PrismServer(host=settings.host, port=settings.port, ca_file=settings.ca_file)
    account = load_account(settings.realm, settings.username, settings.password_file)
    return PrismVault(server, account, keys=keys)


def _module_keys(settings: SecurityModule) -> Sequence[VendingKey]:
    keys = {(key.tenant, key.sgc, key.krn): _module_key(key) for key in settings.keys}
    if len(keys) < len(settings.keys):
        raise SettingsRefused(
            "security_module.keys: a tenant has one key for each sgc and krn; one stands here twice"
        )
    return list(keys.values())


def _module_key(settings: ModuleKey) -> VendingKey:
    return VendingKey(
        tenant=TenantId(settings.tenant),
        sgc=settings.sgc,
        krn=settings.krn,
        key_type=KeyType(settings.key_type),
        base_date=settings.base_date,
        ken=settings.ken,
        dkga=settings.dkga,
        mark=KeyMark(settings.mark),
        check_value=settings.check_value.upper(),
        module_draws=True,
    )


async def _alerts(prism: PrismVault) -> Sequence[str]:
    return [alert.e_code for node in await prism.status() for alert in node.alerts]


# --- the software vault -------------------------------------------------------------------------


def load_masters(settings: Settings, *, create: bool = True) -> MasterKeys:
    """The master keys; the first start of a laptop makes one. Raises HeadendError."""
    if create:
        make_folder(settings.master_key_file.parent)
    return load_master_keys(settings.master_key_file, create=create)


async def import_vending_keys(
    settings: Settings, store: Store, file: Path, tenant: TenantId, *, clock: Clock
) -> Sequence[VendingKey]:
    """Vending keys of a key ceremony's file into the store, sealed; all or none."""
    keys = read_keys_file(file)
    masters = load_masters(settings)
    return await import_keys(store, masters, keys, tenant=tenant, now=clock.now())


async def retire_vending_key(
    store: Store, tenant: TenantId, sgc: str, krn: int, *, clock: Clock
) -> VendingKey:
    """Take a vending key out of use; raises NoVendingKey."""
    return await retire_key(store, tenant, sgc, krn, clock.now())


async def activate_vending_key(
    settings: Settings, store: Store, tenant: TenantId, sgc: str, krn: int, *, clock: Clock
) -> VendingKey:
    """Bring the vending key that was retired last into use again; raises HeadendError."""
    masters = load_masters(settings, create=False)
    return await activate_key(store, masters, tenant=tenant, sgc=sgc, krn=krn, now=clock.now())


@dataclass(frozen=True, slots=True)
class Turned:
    """How far a change of the master key has come; `webhooks` are those that do not open."""

    keys: Rotation
    webhooks: Sequence[Webhook]

    @property
    def complete(self) -> bool:
        """Whether the older master keys may be taken away."""
        return self.keys.complete and not self.webhooks


async def rotate_master_key(
    settings: Settings, store: Store, *, progress: Callable[[Rotation], None]
) -> Turned:
    """Seal every vending key and webhook secret under the newest master key; HeadendError."""
    masters = load_masters(settings, create=False)
    rotation = await rotate_master(store, masters, progress=progress)
    return Turned(rotation, await renew_secrets(store, SecretSeals(lambda: masters)))
