"""Vending keys in the database: sealed, as the vault made them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select, update

from adapters.store.columns import MOMENT
from adapters.store.inserts import new_only
from adapters.store.statements import SqlRow, Statements
from adapters.store.tables import vending_keys
from headend.errors import Stale
from headend.meters import KeyType, TenantId
from headend.vending_keys import KeyMark, SealedKey, VendingKey

_c = vending_keys.c
_ADD = new_only(vending_keys)
_NAMED = (
    _c.tenant == bindparam("tenant_"),
    _c.sgc == bindparam("sgc_"),
    _c.krn == bindparam("krn_"),
)
_IN_USE = (*_NAMED, _c.retired_at.is_(None))
_FIND = select(vending_keys).where(*_IN_USE)
_RETIRE = update(vending_keys).where(*_IN_USE).values(retired_at=bindparam("now", type_=MOMENT))
# Retired keys of one name are told apart by when they came; a key may be retired meanwhile.
_RESEAL = update(vending_keys).where(
    *_NAMED,
    _c.check_value == bindparam("check_value_"),
    _c.created_at == bindparam("created_at_"),
    _c.master_id == bindparam("was"),
)
_EVERY = select(vending_keys).order_by(_c.tenant, _c.sgc, _c.krn, _c.number)
_ALL = _EVERY.where(_c.tenant == bindparam("tenant_"))


class SqlVendingKeys:
    """Satisfies the vending keys of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, sealed: SealedKey) -> None:
        if not await self._run.changed(_ADD[self._run.dialect], _columns(sealed)):
            raise Stale(_name(sealed))

    async def find(self, tenant: TenantId, sgc: str, krn: int) -> SealedKey | None:
        row = await self._run.row(_FIND, {"tenant_": tenant, "sgc_": sgc, "krn_": krn})
        return None if row is None else _sealed_of(row)

    async def all(self, tenant: TenantId | None) -> Sequence[SealedKey]:
        if tenant is None:
            rows = await self._run.rows(_EVERY, {})
        else:
            rows = await self._run.rows(_ALL, {"tenant_": tenant})
        return [_sealed_of(row) for row in rows]

    async def reseal(self, sealed: SealedKey, *, was: str) -> None:
        key = sealed.key
        keys = {
            "tenant_": key.tenant,
            "sgc_": key.sgc,
            "krn_": key.krn,
            "check_value_": key.check_value,
            "created_at_": sealed.created_at,
            "was": was,
        }
        await self._run.change(_RESEAL, _seal(sealed) | keys, what=_name(sealed))

    async def retire(self, tenant: TenantId, sgc: str, krn: int, now: datetime) -> bool:
        keys = {"tenant_": tenant, "sgc_": sgc, "krn_": krn, "now": now}
        return await self._run.changed(_RETIRE, keys) > 0


def _sealed_of(row: SqlRow) -> SealedKey:
    key = VendingKey(
        tenant=row.tenant,
        sgc=row.sgc,
        krn=row.krn,
        key_type=KeyType(row.key_type),
        base_date=row.base_date,
        ken=row.ken,
        dkga=row.dkga,
        mark=KeyMark(row.mark),
        check_value=row.check_value,
    )
    return SealedKey(
        key=key,
        nonce=row.nonce,
        ciphertext=row.ciphertext,
        master_id=row.master_id,
        created_at=row.created_at,
        retired_at=row.retired_at,
    )


def _name(sealed: SealedKey) -> str:
    return f"vending key {sealed.key.sgc}/{sealed.key.krn}"


def _seal(sealed: SealedKey) -> dict[str, object]:
    return {
        "nonce": sealed.nonce,
        "ciphertext": sealed.ciphertext,
        "master_id": sealed.master_id,
    }


def _columns(sealed: SealedKey) -> dict[str, object]:
    key = sealed.key
    assert not key.module_draws, "a key that lies in a module is not kept here"
    return {
        "tenant": key.tenant,
        "sgc": key.sgc,
        "krn": key.krn,
        "key_type": key.key_type,
        "base_date": key.base_date,
        "ken": key.ken,
        "dkga": key.dkga,
        "mark": key.mark,
        "check_value": key.check_value,
        **_seal(sealed),
        "created_at": sealed.created_at,
        "retired_at": sealed.retired_at,
    }
