"""Vending keys as the rules see them: attributes, never the key."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique

from headend.meters import KeyType, TenantId


@unique
class KeyMark(StrEnum):
    """What a key may be used for. LIVE keys belong in a security module, never in software."""

    TEST = "test"
    PRIVATE = "private"
    LIVE = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class VendingKey:
    """Attributes of one vending key, named by SGC and KRN (IEC 62055-41).

    `base_date` is the year 1993, 2014 or 2035; `ken` the key expiry number (0-255); `dkga` 2 or 4.
    `module_draws`: it lies in a module that chooses TID and RND of every token itself.
    """

    tenant: TenantId
    sgc: str
    krn: int
    key_type: KeyType
    base_date: int
    ken: int
    dkga: int
    mark: KeyMark
    check_value: str
    module_draws: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKey:
    """A vending key at rest: its attributes, and the key under the master key `master_id`."""

    key: VendingKey
    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)
    master_id: str
    created_at: datetime
    retired_at: datetime | None = None
