"""Vending keys come into use and go out of it; what was once sealed is never deleted."""

from dataclasses import replace
from datetime import datetime

from adapters.vault.master_key import MasterKeys
from adapters.vault.sealing import reseal, unseal
from headend.meters import TenantId
from headend.refusals import NoVendingKey
from headend.store import Store
from headend.vending_keys import SealedKey, VendingKey


async def retire_key(
    store: Store, tenant: TenantId, sgc: str, krn: int, now: datetime
) -> VendingKey:
    """Take a key out of use: from now it makes and reads no token. Raises NoVendingKey."""
    async with store.begin() as tx:
        row = await tx.vending_keys.find(tenant, sgc, krn)
        if row is None or not await tx.vending_keys.retire(tenant, sgc, krn, now):
            raise NoVendingKey(f"no key {sgc}/{krn} is in use", field="sgc")
    return row.key


async def activate_key(
    store: Store,
    masters: MasterKeys,
    *,
    tenant: TenantId,
    sgc: str,
    krn: int,
    now: datetime,
) -> VendingKey:
    """Bring the key that was retired last into use again; one that is in use is left as it is.

    Raises NoVendingKey when there never was one, UnknownMasterKey or SealBroken when it does not
    open, Stale when somebody was faster.
    """
    async with store.begin() as tx:
        if (in_use := await tx.vending_keys.find(tenant, sgc, krn)) is not None:
            return in_use.key
        rows = await tx.vending_keys.all(tenant)
        retired = [row for row in rows if (row.key.sgc, row.key.krn) == (sgc, krn)]
        if not retired:
            raise NoVendingKey(f"no key {sgc}/{krn} was ever imported", field="sgc")
        again = max(retired, key=_retired_at)
        unseal(again, masters)
        await tx.vending_keys.add(replace(reseal(again, masters), created_at=now, retired_at=None))
    return again.key


def _retired_at(row: SealedKey) -> datetime:
    assert row.retired_at is not None  # none is in use
    return row.retired_at
