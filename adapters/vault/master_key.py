"""The master key: what keeps the vending keys in the database secret.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce a secret. The newest master key seals,
older ones only unseal, so keys can be sealed anew one by one. Knows nothing of what it seals; where
the key comes from is `load_master_keys`: the environment, or a file that only its owner can read.
"""

import os
import re
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.vault.private_file import PrivateText, create_private, read_private
from headend.errors import HeadendError, ModuleDown

VARIABLE = "HEADEND_MASTER_KEY"
KEY_BYTES = 32
NONCE_BYTES = 12
ID_DIGITS = 8
KEY_FORM = re.compile(rf"[0-9A-Fa-f]{{{2 * KEY_BYTES}}}", re.ASCII)


class MasterKeyUnusable(HeadendError):
    """There is no master key, or it is none. The text says what to do."""


class SealBroken(ModuleDown):
    """A sealed secret was changed or moved to another row."""


class UnknownMasterKey(ModuleDown):
    """A secret was sealed under a master key that this process was not given."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """32 bytes that never print."""

    value: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """Names the key without telling it: the first 8 hex digits of its SHA-256."""
        return sha256(self.value).hexdigest()[:ID_DIGITS]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret under the master key `master_id`; the ciphertext ends in a 16-byte tag."""

    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)
    master_id: str


class MasterKeys:
    """The master keys of this process: the newest seals, all of them unseal."""

    def __init__(self, newest: MasterKey, *older: MasterKey) -> None:
        self._newest = newest
        self._by_id = {key.id: key for key in (newest, *older)}

    def __repr__(self) -> str:
        return f"MasterKeys({', '.join(self._by_id)})"

    @property
    def newest_id(self) -> str:
        """The id of the key that seals."""
        return self._newest.id

    def seal(self, secret: bytes, *, bound_to: bytes) -> Sealed:
        """Encrypt a secret so that it opens only beside the same `bound_to`."""
        nonce = os.urandom(NONCE_BYTES)
        ciphertext = AESGCM(self._newest.value).encrypt(nonce, secret, bound_to)
        return Sealed(nonce, ciphertext, self._newest.id)

    def unseal(self, sealed: Sealed, *, bound_to: bytes) -> bytes:
        """The secret; raises UnknownMasterKey, SealBroken."""
        key = self._by_id.get(sealed.master_id)
        if key is None:
            raise UnknownMasterKey(
                f"sealed under master key {sealed.master_id}, but only"
                f" {', '.join(self._by_id)} was given; put the missing one behind the newest"
            )
        try:
            return AESGCM(key.value).decrypt(sealed.nonce, sealed.ciphertext, bound_to)
        except (InvalidTag, ValueError):
            raise SealBroken(
                "the sealed key or its attributes were changed; import it anew"
            ) from None


def load_master_keys(file: Path | None, *, create: bool = False) -> MasterKeys:
    """Master keys from HEADEND_MASTER_KEY, else from a file.

    Raises MasterKeyUnusable, FileUnusable. Each key is 64 hex digits; several stand newest first,
    separated by blanks, commas or lines. The file must be readable by its owner only. With `create`
    a missing file is made, holding one new key. Losing the last copy of a master key loses every
    vending key sealed under it. The variable is read here so that no settings object ever holds
    the key.
    """
    if text := _in_environment():
        return _parse(text)
    if file is None:
        raise MasterKeyUnusable(f"set {VARIABLE} or name a master key file in the settings")
    if create and not file.exists():
        create_private(file, _new_key(file))
    return _parse(read_private(file))


def _in_environment() -> PrivateText | None:
    text = os.environ.get(VARIABLE, "")
    return PrivateText(VARIABLE, text) if text.strip() else None


def _new_key(file: Path) -> PrivateText:
    return PrivateText(str(file), os.urandom(KEY_BYTES).hex() + "\n")


def _parse(text: PrivateText) -> MasterKeys:
    keys = _keys_in(text)
    if not keys:
        raise MasterKeyUnusable(
            f"{text.place}: a master key is {2 * KEY_BYTES} hex digits"
            " (make one with: openssl rand -hex 32)"
        )
    return MasterKeys(*keys)


def _keys_in(text: PrivateText) -> tuple[MasterKey, ...]:
    """The keys written there; none if anything else stands among them."""
    words = text.text.replace(",", " ").split()
    if not all(KEY_FORM.fullmatch(word) for word in words):
        return ()
    return tuple(MasterKey(bytes.fromhex(word)) for word in words)
