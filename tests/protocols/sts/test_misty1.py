"""EA11 against RFC 2994."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sts.errors import RangeError
from protocols.sts.misty1 import S7, S9, Misty1
from protocols.sts.tables import EncryptionAlgorithm
from tests.protocols.sts.strategies import blocks

RFC_KEY = bytes.fromhex("00112233445566778899aabbccddeeff")


@pytest.mark.parametrize(
    ("plain", "cipher"),
    [(0x0123456789ABCDEF, 0x8B1DA5F56AB3D07C), (0xFEDCBA9876543210, 0x04B68240B13BE95D)],
)
def test_the_vectors_of_the_rfc(plain: int, cipher: int):
    misty1 = Misty1(RFC_KEY)
    assert misty1.encrypt(plain) == cipher
    assert misty1.decrypt(cipher) == plain


def test_the_substitutions_are_permutations():
    assert sorted(S7) == list(range(128))
    assert sorted(S9) == list(range(512))


@given(st.binary(min_size=16, max_size=16), blocks)
def test_decryption_undoes_encryption_under_every_key(key: bytes, block: int):
    misty1 = Misty1(key)
    assert misty1.decrypt(misty1.encrypt(block)) == block
    assert misty1.encrypt(misty1.decrypt(block)) == block


@pytest.mark.parametrize("length", [0, 8, 15, 17])
def test_a_key_has_16_bytes(length: int):
    with pytest.raises(RangeError, match="decoder_key: EA11 takes a key of 16 bytes"):
        Misty1(b"k" * length)


def test_a_cipher_says_its_algorithm_and_never_its_key():
    misty1 = Misty1(RFC_KEY)
    assert misty1.algorithm is EncryptionAlgorithm.MISTY1
    assert "112233" not in repr(misty1)
