"""The master key is changed: every vending key sealed anew, a batch a transaction.

Nobody stops selling: first every process is given the new key with the old ones behind it, then
this runs, then the old ones are taken away. It may stop at any point; run again, it goes on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.vault.master_key import MasterKeys, SealBroken, UnknownMasterKey
from adapters.vault.sealing import reseal
from headend.errors import Stale
from headend.store import Store
from headend.vending_keys import SealedKey, VendingKey

BATCH = 50
# Rows that change under us make us read anew; each time somebody else got on, so few are enough.
ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Rotation:
    """How far it has come: keys under the newest master key, and all; `unopened` do not open.

    An unopened one is of an older master key that was not given, or its row was changed.
    """

    done: int
    total: int
    unopened: tuple[VendingKey, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the older master keys may be taken away."""
        return self.done == self.total


async def rotate_master(
    store: Store,
    masters: MasterKeys,
    *,
    batch: int = BATCH,
    progress: Callable[[Rotation], None] | None = None,
) -> Rotation:
    """Seal every key, of every tenant and retired ones too, under the newest master key.

    `progress` hears of every batch. Keys that do not open are left as they are and told; the others
    go on. Raises Stale when rows keep changing meanwhile: run it again.
    """
    for _ in range(ROUNDS):
        rows = await _all(store)
        renewed, unopened = _renew(rows, masters)
        total = len(rows)
        done = total - len(renewed) - len(unopened)
        if not renewed:
            return Rotation(done, total, unopened)
        try:
            for start in range(0, len(renewed), batch):
                part = renewed[start : start + batch]
                await _write(store, part)
                done += len(part)
                if progress is not None:
                    progress(Rotation(done, total, unopened))
        except Stale:
            continue
    raise Stale("vending keys keep changing; run the rotation again")


@dataclass(frozen=True, slots=True)
class _Renewed:
    row: SealedKey
    was: str


def _renew(
    rows: Sequence[SealedKey], masters: MasterKeys
) -> tuple[Sequence[_Renewed], tuple[VendingKey, ...]]:
    renewed, unopened = [], []
    for row in rows:
        if row.master_id == masters.newest_id:
            continue
        try:
            renewed.append(_Renewed(reseal(row, masters), was=row.master_id))
        except (UnknownMasterKey, SealBroken):
            unopened.append(row.key)
    return renewed, tuple(unopened)


async def _all(store: Store) -> Sequence[SealedKey]:
    async with store.look() as tx:
        return await tx.vending_keys.all(None)


async def _write(store: Store, part: Sequence[_Renewed]) -> None:
    async with store.begin() as tx:
        for renewed in part:
            await tx.vending_keys.reseal(renewed.row, was=renewed.was)
