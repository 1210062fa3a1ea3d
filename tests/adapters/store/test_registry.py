"""Contract of the store port: tenants, meters, usage points, supply groups, keys."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from headend.errors import Stale
from headend.meters import Drn, MeterState, TenantId, UsagePointId
from headend.pages import Cursor
from headend.refusals import MalformedOrder, MeterExists
from headend.supply_groups import Reveal
from tests.builders import (
    DRN,
    NOW,
    OTHER_TENANT,
    STS,
    TENANT,
    a_drn,
    a_meter,
    a_sealed_key,
    a_supply_group,
    a_usage_point,
    a_vending_key,
    an_api_key,
)

NINE = [a_drn(serial) for serial in range(1, 10)]


async def test_a_tenant_is_made_once(store):
    async with store.begin() as tx:
        await tx.tenants.ensure(TenantId("new"), NOW)
        await tx.tenants.ensure(TenantId("new"), NOW + timedelta(days=1))
    async with store.look() as tx:
        assert await tx.tenants.exists(TenantId("new"))
        assert not await tx.tenants.exists(TenantId("nobody"))


# --- meters ------------------------------------------------------------------------------------


async def test_a_meter_comes_back_as_it_went(store):
    meter = a_meter(drn=a_drn(77), usage_point=UsagePointId("house-1"), state=MeterState.SUSPENDED)
    keypad_only = a_meter(drn=a_drn(78), route=None, currency="ZAR")
    async with store.begin() as tx:
        await tx.meters.add(meter)
        await tx.meters.add(keypad_only)
    async with store.look() as tx:
        assert await tx.meters.find(TENANT, meter.drn) == meter
        assert await tx.meters.find(TENANT, keypad_only.drn) == keypad_only


async def test_a_taken_meter_number_is_refused_and_the_transaction_goes_on(store):
    async with store.begin() as tx:
        with pytest.raises(MeterExists):
            await tx.meters.add(a_meter())
        await tx.meters.add(a_meter(drn=a_drn(77)))
    async with store.look() as tx:
        assert await tx.meters.find(TENANT, a_drn(77)) is not None


async def test_a_meter_of_another_tenant_is_unknown(store):
    async with store.begin() as tx:
        await tx.meters.add(a_meter(tenant=OTHER_TENANT, drn=a_drn(77)))
    async with store.look() as tx:
        assert await tx.meters.find(TENANT, a_drn(77)) is None
        assert await tx.meters.known(TENANT, [a_drn(77)]) == frozenset()
        assert a_drn(77) not in [m.drn for m in (await tx.meters.page(TENANT, Cursor())).items]


async def test_a_meter_is_saved_over_the_version_that_was_read_only(store):
    suspended = a_meter(state=MeterState.SUSPENDED, version=2)
    async with store.begin() as tx:
        await tx.meters.save(suspended, was=1)
    async with store.begin() as tx:
        with pytest.raises(Stale):
            await tx.meters.save(a_meter(version=2), was=1)
        with pytest.raises(Stale):
            await tx.meters.save(a_meter(drn=a_drn(77)), was=1)
    async with store.look() as tx:
        assert await tx.meters.find(TENANT, DRN) == suspended
        assert await tx.meters.find(OTHER_TENANT, DRN) == a_meter(tenant=OTHER_TENANT)


async def test_known_meters_are_told_from_thousands(store):
    unknown = [Drn(f"{number:011d}") for number in range(10**9, 10**9 + 2_000)]
    async with store.look() as tx:
        assert await tx.meters.known(TENANT, [*unknown, *NINE]) == frozenset(NINE)
        assert await tx.meters.known(TENANT, []) == frozenset()


async def test_meters_are_paged_by_number_and_group(store):
    stranger = a_meter(drn=a_drn(3), sts=replace(STS, sgc="999999"), version=2)
    async with store.begin() as tx:
        await tx.meters.save(stranger, was=1)
    async with store.look() as tx:
        first = await tx.meters.page(TENANT, Cursor(limit=4))
        second = await tx.meters.page(TENANT, Cursor(limit=4, after=first.next))
        third = await tx.meters.page(TENANT, Cursor(limit=4, after=second.next))
        group = await tx.meters.page(TENANT, Cursor(), sgc="999999")
        exact = await tx.meters.page(TENANT, Cursor(limit=9))
    every = [meter.drn for page in (first, second, third) for meter in page.items]
    assert every == sorted(NINE)
    assert third.next is None
    assert exact.next is None
    assert list(group.items) == [stranger]


@pytest.mark.parametrize("after", ["", "%%%", "bm9uc2Vuc2U", "WzFd", "W10", "e30", "a" * 5000, "é"])
async def test_a_cursor_that_cannot_be_read_is_refused(store, after):
    async with store.look() as tx:
        with pytest.raises(MalformedOrder):
            await tx.meters.page(TENANT, Cursor(after=after))


# --- usage points and supply groups ------------------------------------------------------------


async def test_a_usage_point_is_put_over_what_was_read_only(store):
    point = a_usage_point()
    moved = replace(point, contacts=(), language=None, protected=True, version=2)
    async with store.begin() as tx:
        with pytest.raises(Stale):
            await tx.usage_points.put(point, was=1)
        await tx.usage_points.put(point, was=None)
    async with store.look() as tx:
        assert await tx.usage_points.find(TENANT, point.id) == point
        assert await tx.usage_points.find(OTHER_TENANT, point.id) is None
    async with store.begin() as tx:
        with pytest.raises(Stale):
            await tx.usage_points.put(moved, was=None)
        await tx.usage_points.put(moved, was=1)
        with pytest.raises(Stale):
            await tx.usage_points.put(moved, was=1)
    async with store.look() as tx:
        assert await tx.usage_points.find(TENANT, point.id) == moved


async def test_usage_points_are_paged_by_id(store):
    points = [a_usage_point(id=UsagePointId(f"house-{letter}")) for letter in "cab"]
    async with store.begin() as tx:
        for point in points:
            await tx.usage_points.put(point, was=None)
    async with store.look() as tx:
        first = await tx.usage_points.page(TENANT, Cursor(limit=2))
        second = await tx.usage_points.page(TENANT, Cursor(limit=2, after=first.next))
    assert [p.id for p in (*first.items, *second.items)] == ["house-a", "house-b", "house-c"]
    assert second.next is None


async def test_a_supply_group_keeps_its_limits_exactly(store):
    group = a_supply_group(
        limit_per_recharge=Decimal("0.1"),
        limit_per_day=Decimal("12345678901234567890.123456789"),
        reveal_at={"till-1": Reveal.AT_ONCE, "web": Reveal.NEVER},
    )
    changed = replace(group, limit_per_day=None, reveal_at={}, version=2)
    async with store.begin() as tx:
        await tx.supply_groups.put(group, was=None)
        with pytest.raises(Stale):
            await tx.supply_groups.put(group, was=None)
    async with store.look() as tx:
        assert await tx.supply_groups.find(TENANT, group.sgc) == group
        assert await tx.supply_groups.find(OTHER_TENANT, group.sgc) is None
        assert list((await tx.supply_groups.page(TENANT, Cursor())).items) == [group]
    async with store.begin() as tx:
        with pytest.raises(Stale):
            await tx.supply_groups.put(changed, was=7)
        await tx.supply_groups.put(changed, was=1)
    async with store.look() as tx:
        assert await tx.supply_groups.find(TENANT, group.sgc) == changed


# --- keys --------------------------------------------------------------------------------------


async def test_an_api_key_is_revoked_once(store):
    key, other = an_api_key(), an_api_key(tenant=OTHER_TENANT, scopes=frozenset())
    async with store.begin() as tx:
        await tx.api_keys.add(key)
        await tx.api_keys.add(other)
        with pytest.raises(Stale):
            await tx.api_keys.add(key)
    async with store.begin() as tx:
        assert await tx.api_keys.find(key.id) == key
        assert await tx.api_keys.all(OTHER_TENANT) == [other]
        assert await tx.api_keys.revoke(key.id, NOW)
        assert not await tx.api_keys.revoke(key.id, NOW + timedelta(days=1))
        assert not await tx.api_keys.revoke("unknown", NOW)
    async with store.look() as tx:
        assert await tx.api_keys.find(key.id) == replace(key, revoked_at=NOW)
        assert await tx.api_keys.find("unknown") is None


async def test_one_vending_key_of_a_name_is_in_use(store):
    retired = a_sealed_key(retired_at=NOW)
    in_use = a_sealed_key(ciphertext=b"\x00\xff")
    others = a_sealed_key(key=a_vending_key(tenant=OTHER_TENANT))
    async with store.begin() as tx:
        await tx.vending_keys.add(retired)
        await tx.vending_keys.add(in_use)
        await tx.vending_keys.add(others)
        with pytest.raises(Stale):
            await tx.vending_keys.add(in_use)
    async with store.look() as tx:
        assert await tx.vending_keys.find(TENANT, STS.sgc, STS.krn) == in_use
        assert await tx.vending_keys.find(TENANT, STS.sgc, 9) is None
        assert await tx.vending_keys.all(TENANT) == [retired, in_use]
        assert await tx.vending_keys.all(None) == [retired, in_use, others]


async def test_a_vending_key_is_retired_once_and_makes_room(store):
    old, new = a_sealed_key(), a_sealed_key(created_at=NOW + timedelta(days=2))
    others = a_sealed_key(key=a_vending_key(tenant=OTHER_TENANT))
    then = NOW + timedelta(days=1)
    async with store.begin() as tx:
        await tx.vending_keys.add(old)
        await tx.vending_keys.add(others)
    async with store.begin() as tx:
        assert not await tx.vending_keys.retire(TENANT, STS.sgc, 9, then)
        assert await tx.vending_keys.retire(TENANT, STS.sgc, STS.krn, then)
        assert not await tx.vending_keys.retire(TENANT, STS.sgc, STS.krn, NOW)
        assert await tx.vending_keys.find(TENANT, STS.sgc, STS.krn) is None
        await tx.vending_keys.add(new)
    async with store.look() as tx:
        assert await tx.vending_keys.find(TENANT, STS.sgc, STS.krn) == new
        assert await tx.vending_keys.all(TENANT) == [replace(old, retired_at=then), new]
        assert await tx.vending_keys.all(OTHER_TENANT) == [others]


def resealed(sealed):
    return replace(sealed, nonce=b"n" * 12, ciphertext=b"\xff\x00", master_id="master-2")


async def test_vending_keys_are_resealed_in_use_or_retired(store):
    retired = a_sealed_key(retired_at=NOW)
    in_use = a_sealed_key(created_at=NOW + timedelta(days=1))
    others = a_sealed_key(key=a_vending_key(tenant=OTHER_TENANT))
    async with store.begin() as tx:
        for sealed in (retired, in_use, others):
            await tx.vending_keys.add(sealed)
    async with store.begin() as tx:
        await tx.vending_keys.reseal(resealed(in_use), was="master-1")
    async with store.look() as tx:
        assert await tx.vending_keys.all(None) == [retired, resealed(in_use), others]
    async with store.begin() as tx:
        # Whoever seals anew need not know that it was retired; it stays so.
        await tx.vending_keys.reseal(replace(resealed(retired), retired_at=None), was="master-1")
    async with store.look() as tx:
        assert await tx.vending_keys.all(None) == [resealed(retired), resealed(in_use), others]


async def test_a_key_that_is_not_there_as_it_was_is_not_resealed(store):
    known = a_sealed_key()
    strangers = [
        replace(known, key=a_vending_key(krn=9)),
        replace(known, key=a_vending_key(check_value="000000")),
        replace(known, key=a_vending_key(tenant=OTHER_TENANT)),
        replace(known, created_at=NOW + timedelta(microseconds=1)),
    ]
    async with store.begin() as tx:
        await tx.vending_keys.add(known)
        for stranger in strangers:
            with pytest.raises(Stale):
                await tx.vending_keys.reseal(resealed(stranger), was="master-1")
        with pytest.raises(Stale):
            await tx.vending_keys.reseal(resealed(known), was="master-2")
    async with store.look() as tx:
        assert await tx.vending_keys.all(None) == [known]
