"""Which key types fit: the vending key that of the meter, and one that sells (IEC 62055-41)."""

from adapters.vault.expiry import named
from headend.meters import KeyType, StsConfiguration
from headend.refusals import NoVendingKey
from headend.vending_keys import VendingKey


def require_type(key: VendingKey, config: StsConfiguration) -> None:
    """Raise NoVendingKey unless a vending key makes the type of key that a meter holds."""
    if config.key_type is KeyType.INITIALIZATION:
        raise NoVendingKey(
            "an initialisation key is the meter maker's own and comes from no vending key; only"
            " the maker's security module changes it",
            field="key_type",
        )
    if config.key_type != key.key_type:
        raise NoVendingKey(
            f"{named(key)} is of type {int(key.key_type)}, but the meter is registered with type"
            f" {int(config.key_type)}; correct the meter",
            field="key_type",
        )


def require_sells(key: VendingKey) -> None:
    """Raise NoVendingKey for a key under which no meter takes credit."""
    if key.key_type is KeyType.DEFAULT:
        raise NoVendingKey(
            f"{named(key)} is a default key: meters that hold it refuse credit until their key is"
            " changed",
            field="key_type",
        )
