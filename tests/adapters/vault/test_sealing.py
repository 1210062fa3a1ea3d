"""Vending keys at rest: bound to their row, and sealed anew under a newer master key."""

from dataclasses import replace

import pytest

from adapters.vault.key_import import check_key
from adapters.vault.master_key import MasterKeys, SealBroken, UnknownMasterKey
from adapters.vault.sealing import reseal, seal, unseal
from headend.meters import KeyType, TenantId
from headend.vending_keys import KeyMark
from tests.adapters.vault.conftest import (
    MASTER,
    NOW,
    OTHER_MASTER,
    TENANT,
    VK160,
    a_key,
    assert_hidden,
)


@pytest.fixture
def row(masters):
    key, material = check_key(TENANT, a_key())
    return seal(key, material, masters, created_at=NOW)


def test_what_is_sealed_comes_back(row, masters):
    key = unseal(row, masters)
    assert key.value.hex() == VK160
    assert (key.sgc, key.krn, key.base_date, key.ken) == (201457, 1, 2014, 255)


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant": TenantId("town")},
        {"sgc": "201458"},
        {"krn": 2},
        {"key_type": KeyType.COMMON},
        {"base_date": 2035},
        {"ken": 254},
        {"dkga": 2},
        {"mark": KeyMark.PRIVATE},
        {"check_value": "000000"},
    ],
    ids=str,
)
def test_a_row_of_other_attributes_does_not_open(row, masters, changed):
    with pytest.raises(SealBroken, match="import it anew"):
        unseal(replace(row, key=replace(row.key, **changed)), masters)


def test_the_seal_of_another_row_does_not_open(row, masters):
    key, material = check_key(TENANT, a_key(krn=2))
    other = seal(key, material, masters, created_at=NOW)
    with pytest.raises(SealBroken):
        unseal(replace(row, nonce=other.nonce, ciphertext=other.ciphertext), masters)


def test_a_key_is_sealed_anew_under_the_newest_master_key(row):
    both = MasterKeys(OTHER_MASTER, MASTER)
    renewed = reseal(row, both)
    assert renewed.master_id == OTHER_MASTER.id
    assert (renewed.key, renewed.created_at) == (row.key, row.created_at)
    assert unseal(renewed, MasterKeys(OTHER_MASTER)).value.hex() == VK160
    assert reseal(renewed, both) is renewed


def test_sealing_anew_needs_the_old_master_key(row):
    with pytest.raises(UnknownMasterKey, match=MASTER.id):
        reseal(row, MasterKeys(OTHER_MASTER))


def test_a_row_neither_holds_nor_prints_the_key(row):
    secret = bytes.fromhex(VK160)
    assert secret not in row.ciphertext
    assert_hidden(repr(row), secret, row.ciphertext)
