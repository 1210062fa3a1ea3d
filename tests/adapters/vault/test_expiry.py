"""Keys that end are known ahead of time: by their expiry number, or with their base date."""

from datetime import UTC, datetime, timedelta

from adapters.vault.expiry import end_of, expiring
from adapters.vault.key_import import check_key
from headend.meters import TenantId
from tests.adapters.vault.conftest import NOW, TENANT, a_key

END_OF_KEN_85 = datetime(2024, 9, 18, 22, 55, tzinfo=UTC)
YEAR = timedelta(days=365)


def the_end_of(**changed):
    key, _ = check_key(TENANT, a_key(**changed))
    return end_of(key)


def test_a_key_ends_with_its_number_or_with_its_base_date():
    assert (the_end_of(ken=85).at, the_end_of(ken=85).with_base_date) == (END_OF_KEN_85, False)
    for base_date, year in [(1993, 2024), (2014, 2045), (2035, 2066)]:
        end = the_end_of(base_date=base_date)
        assert end.at == datetime(year, 11, 24, 20, 15, tzinfo=UTC)
        assert end.with_base_date


async def test_keys_that_end_soon_or_have_ended_are_listed_soonest_first(shelf, add_keys):
    await add_keys(
        a_key(krn=1),
        a_key(krn=2, ken=103),
        a_key(krn=3, ken=85),
        a_key(krn=4, base_date=1993),
    )
    await add_keys(a_key(krn=5, ken=102), tenant=TenantId("town"))
    listed = await expiring(shelf.as_store, NOW, YEAR)
    assert [(end.key.tenant, end.key.krn) for end in listed] == [
        ("city", 3), ("city", 4), ("town", 5), ("city", 2),
    ]  # fmt: skip
    assert listed[0].at < listed[1].at < NOW < listed[2].at < listed[3].at < NOW + YEAR


async def test_a_key_ends_exactly_within(shelf, add_keys):
    await add_keys(a_key(ken=85))
    day = timedelta(days=1)
    assert not await expiring(shelf.as_store, END_OF_KEN_85 - day, day)
    assert await expiring(shelf.as_store, END_OF_KEN_85 - day + timedelta(minutes=1), day)


async def test_retired_keys_warn_nobody(shelf, add_keys):
    await add_keys(a_key(ken=85))
    await shelf.vending_keys.retire(TENANT, "201457", 1, NOW)
    assert not await expiring(shelf.as_store, NOW, YEAR)
