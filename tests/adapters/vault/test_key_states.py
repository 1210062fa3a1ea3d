"""Keys go out of use and come back into it; nothing that was sealed is lost."""

from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.vault.key_states import activate_key, retire_key
from adapters.vault.master_key import MasterKeys, SealBroken, UnknownMasterKey
from headend.meters import TenantId
from headend.refusals import NoVendingKey
from tests.adapters.vault.conftest import (
    MASTER,
    NOW,
    OTHER_MASTER,
    TENANT,
    VK64,
    a_key,
)
from tests.adapters.vault.test_software import DKGA04_EA11_FIRST, an_order

LATER = NOW + timedelta(days=1)


@pytest.fixture
def activate(shelf, masters):
    async def act(*, tenant=TENANT, krn=1, now=LATER, masters=masters):
        return await activate_key(
            shelf.as_store, masters, tenant=tenant, sgc="201457", krn=krn, now=now
        )

    return act


async def test_a_retired_key_makes_nothing_until_it_is_activated(shelf, vault, add_keys, activate):
    await add_keys(a_key())
    retired = await retire_key(shelf.as_store, TENANT, "201457", 1, NOW)
    assert (retired.sgc, retired.krn) == ("201457", 1)
    with pytest.raises(NoVendingKey, match="no vending key in use"):
        await vault.issue(an_order(), message_id="m1")
    assert await activate() == retired
    issued = await vault.issue(an_order(), message_id="m1")
    assert issued.tokens[0].digits == DKGA04_EA11_FIRST


async def test_only_a_key_in_use_can_be_retired(shelf, add_keys):
    await add_keys(a_key())
    await retire_key(shelf.as_store, TENANT, "201457", 1, NOW)
    for tenant, krn in [(TENANT, 1), (TENANT, 2), (TenantId("town"), 1)]:
        with pytest.raises(NoVendingKey, match="is in use"):
            await retire_key(shelf.as_store, tenant, "201457", krn, NOW)


async def test_activating_a_key_in_use_changes_nothing(shelf, add_keys, activate):
    await add_keys(a_key())
    before = list(shelf.vending_keys.rows)
    assert await activate() == before[0].key
    assert shelf.vending_keys.rows == before


async def test_a_key_that_never_was_cannot_be_activated(add_keys, activate):
    await add_keys(a_key())
    for tenant, krn in [(TENANT, 2), (TenantId("town"), 1)]:
        with pytest.raises(NoVendingKey, match="ever imported"):
            await activate(tenant=tenant, krn=krn)


async def test_the_key_that_was_retired_last_comes_back(shelf, add_keys, activate):
    await add_keys(a_key())
    await retire_key(shelf.as_store, TENANT, "201457", 1, NOW)
    await add_keys(a_key(key=VK64, dkga=2))
    await retire_key(shelf.as_store, TENANT, "201457", 1, LATER)
    assert (await activate(now=LATER)).dkga == 2
    assert len(shelf.vending_keys.rows) == 3


async def test_a_key_comes_back_under_the_newest_master_key(shelf, add_keys, activate):
    await add_keys(a_key())
    await retire_key(shelf.as_store, TENANT, "201457", 1, NOW)
    await activate(masters=MasterKeys(OTHER_MASTER, MASTER))
    assert shelf.vending_keys.rows[-1].master_id == OTHER_MASTER.id


async def test_a_key_that_does_not_open_is_not_activated(shelf, add_keys, activate):
    await add_keys(a_key())
    await retire_key(shelf.as_store, TENANT, "201457", 1, NOW)
    with pytest.raises(UnknownMasterKey):
        await activate(masters=MasterKeys(OTHER_MASTER))
    [row] = shelf.vending_keys.rows
    shelf.vending_keys.rows[0] = replace(row, key=replace(row.key, ken=1))
    with pytest.raises(SealBroken):
        await activate()
    assert len(shelf.vending_keys.rows) == 1
