"""When a vending key may issue."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sts.errors import (
    BeforeBaseDateError,
    KeyExpiredError,
    RangeError,
    TidExhaustedError,
)
from protocols.sts.keys import VendingKey
from protocols.sts.tables import BaseDate, Dkga
from protocols.sts.validity import (
    is_expired,
    issue_tid,
    last_minute,
    last_tid,
    require_change_to,
    require_unexpired,
)

LAST_MINUTE = datetime(2024, 9, 18, 22, 55, tzinfo=UTC)  # of KEN 85 from 2014


def key(ken: int = 85, base: BaseDate = BaseDate.Y2014) -> VendingKey:
    return VendingKey(bytes(range(20)), Dkga.HMAC_SHA_256, 1, 1, base, ken)


def test_a_key_issues_up_to_its_last_minute():
    assert last_minute(BaseDate.Y2014, 85) == LAST_MINUTE
    assert issue_tid(key(), LAST_MINUTE) == last_tid(85)
    with pytest.raises(KeyExpiredError, match="ken: the vending key expired at 2024-09-18 22:55"):
        issue_tid(key(), LAST_MINUTE + timedelta(minutes=1))


def test_a_burst_does_not_run_past_the_expiry():
    with pytest.raises(KeyExpiredError):
        issue_tid(key(), LAST_MINUTE, last=last_tid(85))


def test_the_last_expiry_number_lasts_as_long_as_the_base_date():
    assert last_minute(BaseDate.Y2014, 255) == datetime(2045, 11, 24, 20, 15, tzinfo=UTC)
    assert issue_tid(key(255), datetime(2045, 11, 24, 20, 15, tzinfo=UTC)) == 0xFF_FFFF
    with pytest.raises(TidExhaustedError):
        issue_tid(key(255), datetime(2045, 11, 24, 20, 16, tzinfo=UTC))


def test_a_key_does_not_issue_before_its_base_date():
    with pytest.raises(BeforeBaseDateError):
        issue_tid(key(base=BaseDate.Y2035), LAST_MINUTE)


def test_meters_are_changed_only_to_a_living_key():
    require_change_to(key(), LAST_MINUTE)
    with pytest.raises(KeyExpiredError):
        require_change_to(key(), LAST_MINUTE + timedelta(minutes=1))
    with pytest.raises(BeforeBaseDateError):
        require_change_to(key(base=BaseDate.Y2035), LAST_MINUTE)


def test_the_published_refusal():
    with pytest.raises(KeyExpiredError):
        require_unexpired(key(), 9_899_040)


@given(st.integers(0, 0xFF_FFFF), st.integers(0, 255))
def test_expiry_is_judged_by_the_top_byte(tid: int, ken: int):
    assert is_expired(tid, ken) is (tid > last_tid(ken))


@pytest.mark.parametrize(("tid", "ken"), [(-1, 0), (0x1000000, 0), (0, -1), (0, 256)])
def test_only_24_bits_and_a_byte_are_compared(tid: int, ken: int):
    with pytest.raises(RangeError):
        is_expired(tid, ken)


@pytest.mark.parametrize("ken", [-1, 256])
def test_an_expiry_number_is_a_byte(ken: int):
    with pytest.raises(RangeError, match="ken"):
        last_tid(ken)
