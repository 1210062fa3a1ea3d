"""Key changes: the sets, and a meter that puts them together again."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sts.drn import MeterPan
from protocols.sts.errors import (
    CrcError,
    FunctionError,
    IncompleteError,
    KeyTypeError,
    RangeError,
    UnsupportedError,
)
from protocols.sts.keychange import (
    FirstSection,
    FourthSection,
    GroupSection,
    HeldSections,
    KeyChange,
    KeySection,
    SecondSection,
    ThirdSection,
    read_section,
    require_key_type_change,
)
from protocols.sts.keys import DecoderKey, VendingKey
from protocols.sts.tables import BaseDate, Dkga, EncryptionAlgorithm, KeyType
from protocols.sts.token import clear_block, decode, encode, encode_key_change
from tests.protocols.sts.strategies import CIPHERS, MISTY1, STA, key_changes

PAN = MeterPan("600727000000000009")
VALUE = bytes.fromhex("abababababababab949494949494949401234567")
EA07, EA11 = EncryptionAlgorithm.STA, EncryptionAlgorithm.MISTY1


def vending_key(
    base: BaseDate = BaseDate.Y2014,
    *,
    sgc: int = 201_457,
    krn: int = 1,
    key_type: KeyType = KeyType.UNIQUE,
) -> VendingKey:
    return VendingKey(VALUE, Dkga.HMAC_SHA_256, sgc, krn, base, ken=255, key_type=key_type)


def a_change(algorithm: EncryptionAlgorithm = EA11) -> KeyChange:
    return KeyChange.between(vending_key(), vending_key(), PAN, tariff_index=2, algorithm=algorithm)


def changed(record: Any, field: str, value: object) -> Any:
    return replace(record, **{field: value})


def held(algorithm: EncryptionAlgorithm, sections: tuple[KeySection, ...]) -> HeldSections:
    holding = HeldSections(algorithm)
    for section in sections:
        holding = holding.take(section)
    return holding


def test_four_published_sections_of_ea11_over_a_rollover():
    change = KeyChange.between(
        vending_key(),
        vending_key(BaseDate.Y2035, sgc=203_557, krn=6),
        PAN,
        tariff_index=2,
        algorithm=EA11,
    )
    assert change.key.value.hex() == "39fa45a353cb729549dc515a68a25c98"
    assert [f"{clear_block(section):016x}" for section in change.sections()] == [
        "3f6a39fa45a37b82",
        "4f0268a25c98ca17",
        "8b2553cb7295efc9",
        "903149dc515a3259",
    ]


def test_three_published_sections_of_ea07():
    sections = a_change(EA07).sections(three_kct=True)
    assert [f"{clear_block(section):016x}" for section in sections] == [
        "3f167f78cdd2390c",
        "4f0220be39b836f9",
        "80312f10000053d5",
    ]


def test_the_second_token_is_the_same_in_both_sets_of_ea07():
    change = a_change(EA07)
    two, three = change.sections(), change.sections(three_kct=True)
    assert len(two) == 2
    assert two[1] == three[1]
    assert two[0] == changed(three[0], "three_kct", False)


def test_only_another_base_date_is_a_rollover():
    for base in BaseDate:
        change = KeyChange.between(
            vending_key(), vending_key(base, krn=2), PAN, tariff_index=1, algorithm=EA11
        )
        assert change.rollover is (base is not BaseDate.Y2014)


@given(key_changes(EA11), st.permutations(range(4)))
def test_sections_of_ea11_come_in_any_order(change: KeyChange, order: list[int]):
    tokens = encode_key_change(change, MISTY1)
    sections = [decode(tokens[place], MISTY1) for place in order]
    holding = HeldSections(EA11)
    for taken, section in enumerate(sections):
        assert len(holding.missing) == 4 - taken
        assert isinstance(section, KeySection)
        holding = holding.take(section)
    assert holding.assemble() == change


@given(key_changes(EA07), st.booleans(), st.randoms())
def test_sections_of_ea07_come_in_any_order(change: KeyChange, three_kct: bool, random):
    tokens = list(encode_key_change(change, STA, three_kct=three_kct))
    random.shuffle(tokens)
    holding = HeldSections(EA07)
    for section in (decode(digits, STA) for digits in tokens):
        assert isinstance(section, KeySection)
        holding = holding.take(section)
    assert holding.assemble() == (change if three_kct else replace(change, sgc=None))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_an_ea07_meter_waits_for_the_third_only_if_the_first_says_so(order: tuple[int, ...]):
    sections = a_change(EA07).sections(three_kct=True)
    holding = HeldSections(EA07)
    for place in order[:2]:
        holding = holding.take(sections[place])
    assert holding.missing == (order[2] + 1,) or (order[2] == 0 and holding.missing == (1,))
    with pytest.raises(IncompleteError, match="sections: still missing"):
        holding.assemble()
    assert holding.take(sections[order[2]]).missing == ()


def test_a_third_token_of_another_set_brings_nothing_to_a_set_of_two():
    two = a_change(EA07).sections()
    assert held(EA07, (*two, GroupSection(5))).assemble().sgc is None


def test_a_repeated_section_replaces_the_earlier():
    sections = a_change().sections()
    other = changed(sections[1], "word", 0)
    assert held(EA11, (other, *sections)).assemble() == a_change()


def test_a_section_of_the_other_algorithm_is_not_taken():
    with pytest.raises(FunctionError, match="subclass"):
        HeldSections(EA07).take(ThirdSection(0, 0))
    with pytest.raises(FunctionError, match="subclass"):
        HeldSections(EA11).take(GroupSection(0))
    with pytest.raises(FunctionError, match="subclass"):
        HeldSections(EA07).take(FourthSection(0, 0))


def test_a_fourth_token_does_not_exist_under_ea07():
    token = encode(FourthSection(0, 0), STA)
    with pytest.raises(FunctionError, match="subclass"):
        decode(token, STA)


def test_a_set_only_opens_under_the_old_key():
    first, *_ = encode_key_change(a_change(), MISTY1)
    with pytest.raises(CrcError):
        decode(first, STA)


@pytest.mark.parametrize("old", CIPHERS, ids=["EA07", "EA11"])
def test_tokens_cannot_change_the_algorithm_of_a_meter(old):
    other = EA11 if old.algorithm is EA07 else EA07
    with pytest.raises(UnsupportedError, match="ea: tokens cannot change"):
        encode_key_change(a_change(other), old)


def test_a_set_that_carries_the_group_must_know_it():
    with pytest.raises(RangeError, match="sgc: is needed"):
        replace(a_change(), sgc=None).sections()
    with pytest.raises(RangeError, match="sgc: is needed"):
        replace(a_change(EA07), sgc=None).sections(three_kct=True)
    assert len(replace(a_change(EA07), sgc=None).sections()) == 2


def test_ea11_has_no_set_of_three():
    with pytest.raises(RangeError, match="three_kct: an EA11 set always has four tokens"):
        a_change().sections(three_kct=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("krn", 0),
        ("krn", 10),
        ("tariff_index", 100),
        ("tariff_index", -1),
        ("ken", 256),
        ("ken", -1),
        ("sgc", 1_000_000),
        ("sgc", -1),
    ],
)
def test_a_change_out_of_range_is_refused_by_name(field: str, value: int):
    with pytest.raises(RangeError) as caught:
        changed(a_change(), field, value)
    assert caught.value.field == field


def test_an_initialisation_key_has_no_revision():
    assert replace(a_change(), key_type=KeyType.INITIALIZATION, krn=0).krn == 0


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        (FirstSection(15, 1, False, False, KeyType.UNIQUE, 0), "ken_high", 16),
        (FirstSection(15, 1, False, False, KeyType.UNIQUE, 0), "krn", 0),
        (FirstSection(15, 1, False, False, KeyType.UNIQUE, 0), "key_type", 4),
        (FirstSection(15, 1, False, False, KeyType.UNIQUE, 0), "word", 1 << 32),
        (SecondSection(15, 1, 0), "ken_low", 16),
        (SecondSection(15, 1, 0), "tariff_index", 100),
        (SecondSection(15, 1, 0), "word", -1),
        (ThirdSection(1, 0), "sgc_low", 0x1000),
        (ThirdSection(1, 0), "word", 1 << 32),
        (FourthSection(1, 0), "sgc_high", 0x1000),
        (FourthSection(1, 0), "word", 1 << 32),
        (GroupSection(1), "sgc", 1_000_000),
    ],
)
def test_a_section_out_of_range_is_refused_by_name(section: KeySection, field: str, value: int):
    with pytest.raises(RangeError) as caught:
        changed(section, field, value)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (0x3F0200000000, "krn"),
        (0x3FA200000000, "krn"),
        (0x4F6400000000, "tariff_index"),
        (0x8F4240000000 | 0xF4240 << 20, "sgc"),
        (0x80312F100001, "pad"),
    ],
)
def test_a_genuine_section_with_an_impossible_value_is_out_of_range(content: int, field: str):
    with pytest.raises(RangeError) as caught:
        read_section(content, EA07)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (KeyType.UNIQUE, KeyType.INITIALIZATION),
        (KeyType.DEFAULT, KeyType.INITIALIZATION),
        (KeyType.COMMON, KeyType.UNIQUE),
        (KeyType.UNIQUE, KeyType.COMMON),
    ],
)
def test_a_forbidden_change_of_key_type_is_refused(old: KeyType, new: KeyType):
    with pytest.raises(KeyTypeError, match=f"key_type: .* from {old.name} to {new.name}"):
        require_key_type_change(old, new)


def test_the_matrix_of_key_types_is_a_table_that_may_be_replaced():
    require_key_type_change(KeyType.UNIQUE, KeyType.DEFAULT)
    with pytest.raises(KeyTypeError):
        require_key_type_change(KeyType.UNIQUE, KeyType.DEFAULT, allowed={})


def test_a_change_between_vending_keys_minds_the_key_type():
    common = vending_key(key_type=KeyType.COMMON)
    with pytest.raises(KeyTypeError):
        KeyChange.between(vending_key(), common, PAN, tariff_index=1, algorithm=EA11)


def test_no_part_of_a_new_key_shows_itself():
    change = a_change()
    shown = repr(change) + "".join(repr(section) for section in change.sections())
    words = [change.key.value[at : at + 4] for at in range(0, 16, 4)]
    assert all(word.hex() not in shown for word in words)
    assert all(str(int.from_bytes(word)) not in shown for word in words)
    assert repr(DecoderKey(b"k" * 8, EA07)) == "DecoderKey(algorithm=<EncryptionAlgorithm.STA: 7>)"
