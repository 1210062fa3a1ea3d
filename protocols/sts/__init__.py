"""Standard Transfer Specification (IEC 62055-41): payments as 20-digit tokens, and back.

Pure: callers bring the time, the random nibble and the keys. Start at ``token.encode`` and
``token.decode``; a ``cipher_for`` a decoder key may be kept and used for many tokens.
"""

from protocols.sts.cipher import BlockCipher, cipher_for
from protocols.sts.errors import StsError
from protocols.sts.token import TokenContents, decode, encode, encode_key_change

__all__ = [
    "BlockCipher",
    "StsError",
    "TokenContents",
    "cipher_for",
    "decode",
    "encode",
    "encode_key_change",
]
