"""What tokens are made with: vending keys wherever they lie, and the table set of EA07.

Attributes only, never a key. Either the database holds the keys, sealed, or a security module does.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol

from headend.errors import ModuleDown
from headend.meters import TenantId
from headend.ports import SecurityModule
from headend.refusals import OrderRefused
from headend.store import Store
from headend.vending_keys import VendingKey
from protocols.sts.sta import StaTables
from protocols.sts.tables import BaseDate
from protocols.sts.validity import last_minute

MAX_TRIED = 50


@unique
class KeyPlace(StrEnum):
    """Where vending keys lie."""

    DATABASE = "database"
    MODULE = "module"


@dataclass(frozen=True, slots=True)
class KeyLife:
    """A vending key and the last minute in which it may issue; `retired_at` None while in use."""

    key: VendingKey
    ends_at: datetime
    retired_at: datetime | None = None

    @property
    def in_use(self) -> bool:
        return self.retired_at is None


class KeyList(Protocol):
    """Vending keys by their attributes."""

    @property
    def place(self) -> KeyPlace: ...

    async def keys(self, tenant: TenantId | None) -> Sequence[KeyLife]:
        """Those of a tenant, or of all; retired ones too. Raises StoreDown."""


class KeyRing(KeyList, Protocol):
    """The vending keys that a head-end works with."""

    async def obstacles(self, tenant: TenantId, *, now: datetime) -> Sequence[str]:
        """Why no token can be made for a tenant now; empty if one can."""

    async def alerts(self) -> Sequence[str]:
        """What a module complains of, by its codes; raises ModuleDown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vending:
    """All that tokens are made with; `tables` is the table set of EA07, if one is set."""

    module: SecurityModule
    ring: KeyRing
    tables: StaTables | None


class StoredKeys:
    """Keys in the database, opened or not."""

    place = KeyPlace.DATABASE

    def __init__(self, store: Store) -> None:
        self._store = store

    async def keys(self, tenant: TenantId | None) -> Sequence[KeyLife]:
        async with self._store.look() as tx:
            rows = await tx.vending_keys.all(tenant)
        return [KeyLife(row.key, _end_of(row.key), row.retired_at) for row in rows]


class VaultKeys(StoredKeys):
    """Keys in the database, which the software vault opens."""

    def __init__(self, store: Store, module: SecurityModule) -> None:
        super().__init__(store)
        self._module = module

    async def obstacles(self, tenant: TenantId, *, now: datetime) -> Sequence[str]:
        """One key that opens and has not ended is enough."""
        lives = [life for life in await self.keys(tenant) if life.in_use]
        if not lives:
            return ["no vending key; import one with: headend vault import"]
        reasons = []
        for life in sorted(lives, key=lambda life: life.ends_at, reverse=True)[:MAX_TRIED]:
            if (reason := await self._obstacle(life, now)) is None:
                return []
            reasons.append(reason)
        return reasons

    async def alerts(self) -> Sequence[str]:
        return ()

    async def _obstacle(self, life: KeyLife, now: datetime) -> str | None:
        key = life.key
        if life.ends_at < now:
            return _ended(life)
        try:
            await self._module.key(key.tenant, key.sgc, key.krn)
        except (ModuleDown, OrderRefused):
            return f"the key of supply group {key.sgc}, revision {key.krn}, does not open"
        return None


class NamedKeys:
    """Keys in a security module, as the settings tell of them."""

    place = KeyPlace.MODULE

    def __init__(self, keys: Sequence[VendingKey]) -> None:
        self._keys = keys

    async def keys(self, tenant: TenantId | None) -> Sequence[KeyLife]:
        return [KeyLife(key, _end_of(key)) for key in self._keys if tenant in {None, key.tenant}]


class ModuleKeys(NamedKeys):
    """Keys in a security module that can be asked; `ask` gives its alerts."""

    def __init__(
        self, keys: Sequence[VendingKey], ask: Callable[[], Awaitable[Sequence[str]]]
    ) -> None:
        super().__init__(keys)
        self._ask = ask

    async def obstacles(self, tenant: TenantId, *, now: datetime) -> Sequence[str]:
        """The module must answer, and one key have not ended."""
        lives = await self.keys(tenant)
        if not lives:
            return ["no vending key of the security module is named in the settings"]
        if all(life.ends_at < now for life in lives):
            return [_ended(life) for life in lives]
        try:
            await self._ask()
        except ModuleDown as error:
            return [str(error)]
        return []

    async def alerts(self) -> Sequence[str]:
        return await self._ask()


def _end_of(key: VendingKey) -> datetime:
    return last_minute(BaseDate(key.base_date), key.ken)


def _ended(life: KeyLife) -> str:
    key = life.key
    return (
        f"the key of supply group {key.sgc}, revision {key.krn}, ended at"
        f" {life.ends_at:%Y-%m-%d %H:%M} UTC"
    )
