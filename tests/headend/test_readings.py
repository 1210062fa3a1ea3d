"""Judging readings: suspect ones are marked, and kept."""

from datetime import UTC, datetime, timedelta

import pytest

from headend.meters import Drn, TenantId
from headend.readings import Quality, Reading, ReadingType, judge

T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def a_reading(
    value: int,
    *,
    minutes: int = 0,
    kind: ReadingType = ReadingType.ENERGY_IMPORT_WH,
    received_at: datetime | None = None,
    quality: Quality = Quality.GOOD,
) -> Reading:
    at = T0 + timedelta(minutes=minutes)
    return Reading(
        tenant=TenantId("t"),
        drn=Drn("12345678903"),
        type=kind,
        value=value,
        taken_at=at,
        received_at=received_at or at,
        quality=quality,
    )


@pytest.mark.parametrize(
    ("value", "quality"),
    [(1000, Quality.GOOD), (1500, Quality.GOOD), (999, Quality.SUSPECT), (10**9, Quality.SUSPECT)],
)
def test_a_register_that_runs_backwards_or_jumps_is_suspect(value, quality):
    assert judge(a_reading(value, minutes=15), a_reading(1000)) is quality


def test_a_late_older_reading_is_compared_the_right_way_round():
    assert judge(a_reading(900, minutes=-15), a_reading(1000)) is Quality.GOOD
    assert judge(a_reading(1100, minutes=-15), a_reading(1000)) is Quality.SUSPECT


def test_a_meter_whose_clock_runs_ahead_is_suspect():
    ahead = a_reading(1000, minutes=10, received_at=T0)
    assert judge(ahead, None) is Quality.SUSPECT


def test_power_may_fall():
    power = ReadingType.POWER_W
    assert judge(a_reading(5, minutes=1, kind=power), a_reading(9, kind=power)) is Quality.GOOD


def test_what_the_meter_itself_calls_stale_stays_stale():
    stale = a_reading(1, minutes=1, quality=Quality.STALE)
    assert judge(stale, a_reading(1000)) is Quality.STALE
