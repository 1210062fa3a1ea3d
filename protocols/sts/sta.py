"""EA07: the standard transfer algorithm, STA (IEC 62055-41), 64 bits under 64 bits.

The substitution and permutation tables printed in the standard are samples; licensed users get the
real ones. So a table set is data. A wrong set encrypts and decrypts perfectly and only a meter
tells: show ``name`` and ``fingerprint`` in diagnostics, and never sell a token of the sample set.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self

from protocols.sts.errors import RangeError, TablesError
from protocols.sts.tables import EncryptionAlgorithm

ROUNDS = 16
NIBBLES = 16
BLOCK_BITS = 64
BLOCK = (1 << BLOCK_BITS) - 1
KEY_ROTATION = 12

Spread = tuple[tuple[int, ...], ...]  # [nibble place][nibble value] -> bits of the block


def rotate_left(word: int, places: int) -> int:
    """Rotate 64 bits to the left."""
    return (word << places | word >> (BLOCK_BITS - places)) & BLOCK


@dataclass(frozen=True, slots=True)
class StaTables:
    """A table set of EA07: SE1 and SE2 (permutations of 0..15), PE (of 0..63).

    Bit i of the block moves to bit PE[i]. The inverses for decryption are derived. TablesError
    names a table that is no permutation.
    """

    name: str
    se1: tuple[int, ...] = field(repr=False)
    se2: tuple[int, ...] = field(repr=False)
    pe: tuple[int, ...] = field(repr=False)
    # Each substitution joined with the permutation that follows it, and each permutation alone.
    encrypting: tuple[Spread, Spread] = field(init=False, repr=False, compare=False)
    decrypting: tuple[Spread, Spread] = field(init=False, repr=False, compare=False)
    permuting: Spread = field(init=False, repr=False, compare=False)
    restoring: Spread = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _require_permutation("SE1", self.se1, NIBBLES)
        _require_permutation("SE2", self.se2, NIBBLES)
        _require_permutation("PE", self.pe, BLOCK_BITS)
        same = tuple(range(NIBBLES))
        pd = _inverse(self.pe)
        sd1, sd2 = _inverse(self.se2), _inverse(self.se1)
        object.__setattr__(
            self, "encrypting", (_spread(self.se1, self.pe), _spread(self.se2, self.pe))
        )
        object.__setattr__(self, "decrypting", (_spread(sd1, pd), _spread(sd2, pd)))
        object.__setattr__(self, "permuting", _spread(same, self.pe))
        object.__setattr__(self, "restoring", _spread(same, pd))

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the 96 numbers SE1, SE2, PE as bytes."""
        return sha256(bytes((*self.se1, *self.se2, *self.pe))).hexdigest()

    @classmethod
    def parse(cls, name: str, document: object) -> Self:
        """Table set from parsed JSON: ``{"SE1": [16], "SE2": [16], "PE": [64]}``.

        SD1, SD2 and PD may stand beside them and must then be the inverses. TablesError names the
        table that is missing, unknown or wrong.
        """
        if not isinstance(document, Mapping):
            raise TablesError("tables", "must be an object with SE1, SE2 and PE")
        if unknown := sorted(str(key) for key in document.keys() - _KNOWN):
            raise TablesError(unknown[0][:16], "is no table of EA07")
        tables = cls(
            name,
            se1=_numbers(document, "SE1"),
            se2=_numbers(document, "SE2"),
            pe=_numbers(document, "PE"),
        )
        for key, expected in (("SD1", tables.se2), ("SD2", tables.se1), ("PD", tables.pe)):
            if key in document and _numbers(document, key) != _inverse(expected):
                raise TablesError(key, "is not the inverse of its encrypting table")
        return tables


_KNOWN = {"SE1", "SE2", "PE", "SD1", "SD2", "PD"}


class Sta:
    """The cipher under one key and one table set; the schedule is derived once."""

    __slots__ = ("_decrypt_rounds", "_encrypt_rounds", "_permuting", "_restoring")

    algorithm = EncryptionAlgorithm.STA

    def __init__(self, key: bytes, tables: StaTables) -> None:
        if len(key) != self.algorithm.key_bytes:
            raise RangeError("decoder_key", "EA07 takes a key of 8 bytes")
        k = int.from_bytes(key)
        encrypting = rotate_left(k ^ BLOCK, BLOCK_BITS - KEY_ROTATION)
        # Encryption looks at the high bit of each key nibble, decryption at the low one.
        self._encrypt_rounds = tuple(
            _chosen(tables.encrypting, rotate_left(encrypting, r) >> 3) for r in range(ROUNDS)
        )
        self._decrypt_rounds = tuple(
            _chosen(tables.decrypting, rotate_left(k, BLOCK_BITS - r)) for r in range(ROUNDS)
        )
        self._permuting, self._restoring = tables.permuting, tables.restoring

    def encrypt(self, block: int) -> int:
        """Encrypt a block of 64 bits: sixteen times substitute, then permute."""
        for spread in self._encrypt_rounds:
            block = _apply(spread, block)
        return block

    def decrypt(self, block: int) -> int:
        """Decrypt a block of 64 bits.

        Sixteen times permute, then substitute. Each round here is a substitution with the *next*
        permutation, so one permutation comes before them and the surplus one is taken back.
        """
        block = _apply(self._restoring, block)
        for spread in self._decrypt_rounds:
            block = _apply(spread, block)
        return _apply(self._permuting, block)


def _apply(spread: Iterable[Sequence[int]], block: int) -> int:
    result = 0
    for nibble in spread:
        result |= nibble[block & 0xF]
        block >>= 4
    return result


def _chosen(pair: tuple[Spread, Spread], key: int) -> Spread:
    first, second = pair
    return tuple(
        second[place] if key >> 4 * place & 1 else first[place] for place in range(NIBBLES)
    )


def _spread(substitution: Sequence[int], permutation: Sequence[int]) -> Spread:
    return tuple(
        tuple(
            sum(1 << permutation[4 * place + bit] for bit in range(4) if value >> bit & 1)
            for value in substitution
        )
        for place in range(NIBBLES)
    )


def _inverse(permutation: Sequence[int]) -> tuple[int, ...]:
    return tuple(permutation.index(value) for value in range(len(permutation)))


def _require_permutation(name: str, numbers: tuple[int, ...], size: int) -> None:
    if sorted(numbers) != list(range(size)):
        raise TablesError(name, f"must hold each number from 0 to {size - 1} once")


def _numbers(document: Mapping[str, object], key: str) -> tuple[int, ...]:
    numbers = document.get(key)
    if not isinstance(numbers, list):
        raise TablesError(key, "is missing or not a list")
    if not all(type(number) is int for number in numbers):
        raise TablesError(key, "must hold whole numbers only")
    return tuple(numbers)


def _sample(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split())


SAMPLE = StaTables(
    "sample",
    se1=_sample("12 10 8 4 3 15 0 2 14 1 5 13 6 9 7 11"),
    se2=_sample("6 9 7 4 3 10 12 14 2 13 1 15 0 11 8 5"),
    pe=_sample("""
        29 27 34  9 16 62 55  2 40 49 38 25 33 61 30 23
         1 41 21 57 42 15  5 58 19 53 22 17 48 28 24 39
         3 60 36 14 11 52 54 12 31 51 10 26  0 45 37 43
        44  6 59  4  7 35 56 50 13 18 32 47 46 63 20  8
    """),
)
