"""Keys that end are known ahead of time: by their expiry number, or with their base date."""

from datetime import UTC, datetime

from adapters.vault.expiry import end_of
from adapters.vault.key_import import check_key
from tests.adapters.vault.conftest import TENANT, a_key

END_OF_KEN_85 = datetime(2024, 9, 18, 22, 55, tzinfo=UTC)


def the_end_of(**changed):
    key, _ = check_key(TENANT, a_key(**changed))
    return end_of(key)


def test_a_key_ends_with_its_number_or_with_its_base_date():
    assert (the_end_of(ken=85).at, the_end_of(ken=85).with_base_date) == (END_OF_KEN_85, False)
    for base_date, year in [(1993, 2024), (2014, 2045), (2035, 2066)]:
        end = the_end_of(base_date=base_date)
        assert end.at == datetime(year, 11, 24, 20, 15, tzinfo=UTC)
        assert end.with_base_date
