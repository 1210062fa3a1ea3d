"""TIDs: minutes since a base date, rising, never the reserved minute."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sts.errors import BeforeBaseDateError, RangeError, TidExhaustedError
from protocols.sts.tables import BaseDate
from protocols.sts.tid import MINUTE, is_reserved, moment_of, next_tid, reserved_tid, tid_at

MIDNIGHT = datetime(2026, 7, 11, tzinfo=UTC)
bases = st.sampled_from(BaseDate)
# Minutes after the base date of 2035 that both 2014 and 2035 can count.
moments = st.integers(0, 5_000_000).map(lambda minute: BaseDate.Y2035.epoch + minute * MINUTE)


def at(minute: int, second: int = 0) -> datetime:
    return MIDNIGHT + timedelta(minutes=minute, seconds=second)


def test_the_example_of_the_standard():
    assert tid_at(BaseDate.Y1993, datetime(1996, 3, 25, 13, 55, 22, tzinfo=UTC)) == 0x19EB23


def test_the_zone_of_the_clock_does_not_matter():
    harare = timezone(timedelta(hours=2))
    local = datetime(2014, 3, 1, 15, 0, tzinfo=harare)
    assert tid_at(BaseDate.Y2014, local) == 85_740


@pytest.mark.parametrize(
    ("base", "last"),
    [
        (BaseDate.Y1993, datetime(2024, 11, 24, 20, 15, tzinfo=UTC)),
        (BaseDate.Y2014, datetime(2045, 11, 24, 20, 15, tzinfo=UTC)),
        (BaseDate.Y2035, datetime(2066, 11, 24, 20, 15, tzinfo=UTC)),
    ],
)
def test_a_base_date_ends_after_24_bits(base: BaseDate, last: datetime):
    assert tid_at(base, last) == 0xFF_FFFF
    assert moment_of(base, 0xFF_FFFF) == last
    with pytest.raises(TidExhaustedError, match=r"tid: .*20:15 UTC"):
        next_tid(base, last + MINUTE)
    with pytest.raises(TidExhaustedError):
        next_tid(base, last, last=0xFF_FFFF)


def test_nothing_is_issued_before_the_base_date():
    eve = datetime(2013, 12, 31, 23, 59, 59, tzinfo=UTC)
    with pytest.raises(BeforeBaseDateError, match="moment: lies before the base date 2014-01-01"):
        next_tid(BaseDate.Y2014, eve)
    assert next_tid(BaseDate.Y2014, eve + timedelta(seconds=1)) == 0


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(RangeError, match="moment: needs a time zone"):
        tid_at(BaseDate.Y2014, MIDNIGHT.replace(tzinfo=None))


@pytest.mark.parametrize("last", [-1, 0x1000000])
def test_a_last_tid_has_24_bits(last: int):
    with pytest.raises(RangeError, match="last"):
        next_tid(BaseDate.Y2014, MIDNIGHT, last)


def test_the_minute_after_midnight_is_left_out():
    midnight = tid_at(BaseDate.Y2014, MIDNIGHT)
    assert next_tid(BaseDate.Y2014, at(0)) == midnight
    assert next_tid(BaseDate.Y2014, at(1)) == midnight + 2
    assert next_tid(BaseDate.Y2014, at(2)) == midnight + 2
    assert next_tid(BaseDate.Y2014, at(0, 59), last=midnight) == midnight + 2


def test_a_burst_runs_ahead_and_the_clock_catches_up():
    tids: list[int] = []
    for _ in range(3):
        tids.append(next_tid(BaseDate.Y2014, at(3), tids[-1] if tids else None))
    first = tid_at(BaseDate.Y2014, at(3))
    assert tids == [first, first + 1, first + 2]
    assert next_tid(BaseDate.Y2014, at(4), tids[-1]) == first + 3
    assert next_tid(BaseDate.Y2014, at(9), tids[-1]) == first + 6


def test_a_burst_over_midnight_steps_over_the_reserved_minute():
    last = tid_at(BaseDate.Y2014, at(-1))
    tids = []
    for _ in range(3):
        last = next_tid(BaseDate.Y2014, at(-1), last)
        tids.append(moment_of(BaseDate.Y2014, last))
    assert tids == [at(0), at(2), at(3)]


def test_a_clock_set_back_does_not_set_the_tid_back():
    last = tid_at(BaseDate.Y2014, at(100))
    assert next_tid(BaseDate.Y2014, at(50), last) == last + 1


def test_the_reserved_tid_of_a_day_is_one_past_midnight():
    tid = reserved_tid(BaseDate.Y2014, at(777))
    assert is_reserved(tid)
    assert moment_of(BaseDate.Y2014, tid) == at(1)


@pytest.mark.parametrize("tid", [-1, 0x1000000])
def test_only_24_bits_stand_for_a_moment(tid: int):
    with pytest.raises(RangeError, match="tid"):
        moment_of(BaseDate.Y2014, tid)


@given(st.lists(moments, min_size=1, max_size=30), st.sampled_from([2014, 2035]))
def test_tids_rise_whatever_the_clock_does_and_are_never_reserved(clock: list[datetime], year: int):
    base, last = BaseDate(year), None
    for now in clock:
        tid = next_tid(base, now, last)
        assert not is_reserved(tid)
        assert last is None or tid > last
        assert tid >= tid_at(base, now)
        last = tid


@given(bases, st.integers(0, 0xFF_FFFF))
def test_a_tid_and_its_moment_are_one(base: BaseDate, tid: int):
    assert tid_at(base, moment_of(base, tid)) == tid
