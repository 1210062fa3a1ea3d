"""A vending key at rest: its attributes in clear, the key under the master key, bound together.

The attributes are the associated data of the seal, so a row that was changed, or a key moved into
the row of another tenant or supply group, does not open.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime

from adapters.vault.master_key import MasterKeys, Sealed
from headend.vending_keys import SealedKey, VendingKey
from protocols.sts import keys as sts
from protocols.sts.tables import BaseDate, Dkga, KeyType

PURPOSE = "headend vending key 1"


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """The bytes of a vending key, on their way between import and seal; never print."""

    value: bytes = field(repr=False)


def seal(
    key: VendingKey, material: KeyMaterial, masters: MasterKeys, *, created_at: datetime
) -> SealedKey:
    """Encrypt a vending key under the newest master key."""
    sealed = masters.seal(material.value, bound_to=_binding(key))
    return SealedKey(
        key=key,
        nonce=sealed.nonce,
        ciphertext=sealed.ciphertext,
        master_id=sealed.master_id,
        created_at=created_at,
    )


def unseal(row: SealedKey, masters: MasterKeys) -> sts.VendingKey:
    """The key, ready to derive from; raises UnknownMasterKey, SealBroken."""
    key = row.key
    return sts.VendingKey(
        _open(row, masters).value,
        dkga=Dkga(key.dkga),
        sgc=int(key.sgc),
        krn=key.krn,
        base_date=BaseDate(key.base_date),
        ken=key.ken,
        key_type=KeyType(key.key_type),
    )


def reseal(row: SealedKey, masters: MasterKeys) -> SealedKey:
    """The same key under the newest master key; `row` itself if it already is."""
    if row.master_id == masters.newest_id:
        return row
    return seal(row.key, _open(row, masters), masters, created_at=row.created_at)


def _open(row: SealedKey, masters: MasterKeys) -> KeyMaterial:
    sealed = Sealed(row.nonce, row.ciphertext, row.master_id)
    return KeyMaterial(masters.unseal(sealed, bound_to=_binding(row.key)))


def _binding(key: VendingKey) -> bytes:
    """All attributes in one unambiguous text."""
    attributes = [
        PURPOSE,
        key.tenant,
        key.sgc,
        key.krn,
        int(key.key_type),
        key.base_date,
        key.ken,
        key.dkga,
        key.mark.value,
        key.check_value,
    ]
    return json.dumps(attributes).encode("ascii")
