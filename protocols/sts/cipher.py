"""A decoder key made ready for use: derive once, keep, and use for any number of tokens."""

from typing import Protocol

from protocols.sts.errors import TablesError
from protocols.sts.keys import DecoderKey
from protocols.sts.misty1 import Misty1
from protocols.sts.sta import Sta, StaTables
from protocols.sts.tables import EncryptionAlgorithm


class BlockCipher(Protocol):
    """Encrypts single blocks of 64 bits under one decoder key. Holds key material: never log it."""

    @property
    def algorithm(self) -> EncryptionAlgorithm:
        """EA07 or EA11; the layout of key-change sections depends on it."""
        ...

    def encrypt(self, block: int) -> int:
        """Encrypt a block."""
        ...

    def decrypt(self, block: int) -> int:
        """Decrypt a block."""
        ...


def cipher_for(key: DecoderKey, tables: StaTables | None = None) -> BlockCipher:
    """Cipher of a decoder key; EA07 needs its table set, else TablesError."""
    if key.algorithm is EncryptionAlgorithm.MISTY1:
        return Misty1(key.value)
    if tables is None:
        raise TablesError("ea07_tables", "EA07 needs a table set; load one or choose the sample")
    return Sta(key.value, tables)
