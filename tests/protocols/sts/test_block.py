"""The clear block: content, and a CRC that knows the class."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sts.block import TimedContent, has_crc_c, seal, unseal
from protocols.sts.errors import CrcError
from protocols.sts.tables import TokenClass

contents = st.integers(0, 2**48 - 1)
classes = st.sampled_from(TokenClass)


@given(classes, contents)
def test_a_sealed_block_opens(token_class: TokenClass, content: int):
    assert unseal(token_class, seal(token_class, content)) == content


@given(classes, contents, st.integers(0, 63))
def test_one_flipped_bit_does_not_open(token_class: TokenClass, content: int, place: int):
    with pytest.raises(CrcError):
        unseal(token_class, seal(token_class, content) ^ 1 << place)


@given(st.permutations(list(TokenClass)), contents)
def test_a_relabelled_block_does_not_open(two: list[TokenClass], content: int):
    with pytest.raises(CrcError):
        unseal(two[0], seal(two[1], content))


@given(contents)
def test_fields_of_a_content_come_back(content: int):
    assert TimedContent.unpack(content).pack() == content


def test_only_currency_credit_has_crc_c():
    marked = {(c, s) for c in TokenClass for s in range(16) if has_crc_c(c, s)}
    assert marked == {(TokenClass.CREDIT, subclass) for subclass in (4, 5, 6, 7)}
