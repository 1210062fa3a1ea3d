"""EA07 against the printed example, a plain reading of the text, and bad table sets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sts.errors import RangeError, TablesError
from protocols.sts.sta import SAMPLE, Sta, StaTables
from protocols.sts.tables import EncryptionAlgorithm
from tests.protocols.sts.strategies import blocks

KEY = bytes.fromhex("0abc12def3456789")
DOCUMENT = {"SE1": list(SAMPLE.se1), "SE2": list(SAMPLE.se2), "PE": list(SAMPLE.pe)}
table_sets = st.builds(
    StaTables,
    st.just("drawn"),
    st.permutations(range(16)).map(tuple),
    st.permutations(range(16)).map(tuple),
    st.permutations(range(64)).map(tuple),
)
keys = st.binary(min_size=8, max_size=8)


def plainly_encrypted(key: int, block: int, tables: StaTables) -> int:
    """The algorithm bit by bit, as its text has it."""
    mask = 2**64 - 1
    key = ~key & mask
    key = (key >> 12 | key << 52) & mask
    for _ in range(16):
        substituted = 0
        for place in range(16):
            table = tables.se2 if key >> (4 * place + 3) & 1 else tables.se1
            substituted |= table[block >> 4 * place & 0xF] << 4 * place
        block = sum(1 << tables.pe[bit] for bit in range(64) if substituted >> bit & 1)
        key = (key << 1 | key >> 63) & mask
    return block


def test_the_printed_example():
    sta = Sta(KEY, SAMPLE)
    assert sta.encrypt(0x0B19EB230100C207) == 0xC45ED1619406DF95
    assert sta.decrypt(0xC45ED1619406DF95) == 0x0B19EB230100C207
    assert sta.algorithm is EncryptionAlgorithm.STA


@given(keys, blocks, table_sets)
def test_every_table_set_encrypts_as_the_text_says_and_decrypts(
    key: bytes, block: int, tables: StaTables
):
    sta = Sta(key, tables)
    encrypted = sta.encrypt(block)
    assert encrypted == plainly_encrypted(int.from_bytes(key), block, tables)
    assert sta.decrypt(encrypted) == block


@pytest.mark.parametrize("length", [0, 7, 9, 16])
def test_a_key_has_8_bytes(length: int):
    with pytest.raises(RangeError, match="decoder_key: EA07 takes a key of 8 bytes"):
        Sta(b"k" * length, SAMPLE)


def test_a_table_set_is_read_from_json_and_known_by_its_fingerprint():
    tables = StaTables.parse("sample", json.loads(json.dumps(DOCUMENT)))
    assert tables == SAMPLE
    assert tables.fingerprint == SAMPLE.fingerprint
    assert len(tables.fingerprint) == 64
    assert "12, 10" not in repr(tables)


def test_another_table_set_has_another_fingerprint():
    swapped = StaTables("swapped", SAMPLE.se2, SAMPLE.se1, SAMPLE.pe)
    assert swapped.fingerprint != SAMPLE.fingerprint


def test_inverses_may_stand_in_the_file_if_they_fit():
    inverse = [SAMPLE.pe.index(place) for place in range(64)]
    document = {**DOCUMENT, "SD1": DOCUMENT["SE1"], "SD2": DOCUMENT["SE2"], "PD": inverse}
    assert StaTables.parse("sample", document) == SAMPLE


@pytest.mark.parametrize("name", ["SD1", "SD2", "PD"])
def test_an_inverse_that_does_not_fit_is_refused(name: str):
    wrong = list(range(64 if name == "PD" else 16))
    with pytest.raises(TablesError, match=f"{name}: is not the inverse"):
        StaTables.parse("wrong", {**DOCUMENT, name: wrong})


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "tables"),
        (None, "tables"),
        ({}, "SE1"),
        ({**DOCUMENT, "SE2": None}, "SE2"),
        ({**DOCUMENT, "SE1": "12 10"}, "SE1"),
        ({**DOCUMENT, "SE1": [0] * 16}, "SE1"),
        ({**DOCUMENT, "SE2": list(range(15))}, "SE2"),
        ({**DOCUMENT, "PE": list(range(63))}, "PE"),
        ({**DOCUMENT, "PE": [1.5] * 64}, "PE"),
        ({**DOCUMENT, "SE1": [True, False, *range(2, 16)]}, "SE1"),
        ({**DOCUMENT, "SE3": []}, "SE3"),
    ],
)
def test_a_bad_table_set_is_refused_by_the_name_of_the_table(document: object, field: str):
    with pytest.raises(TablesError) as caught:
        StaTables.parse("bad", document)
    assert caught.value.field == field
