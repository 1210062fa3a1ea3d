"""CRC of tokens."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.sts.crc import crc, crc_c


def test_the_check_value_of_the_polynomial_has_its_bytes_swapped():
    assert crc(b"123456789") == 0x374B


def test_the_examples_of_the_standard():
    assert crc(bytes.fromhex("000b19eb230100")) == 0xC207
    assert crc(bytes.fromhex("00004a2d900ff2")) == 0x0FFA


def test_credit_in_currency_has_a_crc_of_its_own():
    protected = bytes.fromhex("00485b5f6060a9")
    assert crc_c(protected) == 0xB0A7
    assert crc(protected) != 0xB0A7


@given(st.binary(min_size=1, max_size=8), st.integers(0, 63))
def test_one_flipped_bit_never_passes(protected: bytes, place: int):
    flipped = bytearray(protected)
    flipped[place // 8 % len(flipped)] ^= 1 << place % 8
    assert crc(bytes(flipped)) != crc(protected)
