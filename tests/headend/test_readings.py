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


def test_every_reading_type_has_codes_of_its_own():
    electricity = [kind for kind in ReadingType if kind.obis is not None]
    assert len({kind.obis for kind in electricity}) == len(electricity) == len(ReadingType) - 3
    named = [kind for kind in ReadingType if kind.cim is not None]
    assert len({kind.cim for kind in named}) == len(named) == len(ReadingType) - 2


def test_a_reading_type_says_what_it_is_in_the_words_of_the_standards():
    assert ReadingType.ENERGY_IMPORT_WH.cim == "0.0.0.1.1.1.12.0.0.0.0.0.0.0.0.0.72.0"
    assert ReadingType.VOLTAGE_L2_MV.obis == "1-0:52.7.0"
    assert ReadingType.VOLTAGE_L2_MV.cim == "0.0.0.6.0.1.54.0.0.0.0.0.0.0.65.-3.29.0"
    assert ReadingType.ENERGY_IMPORT_T2_WH.cim == "0.0.0.1.1.1.12.0.0.0.0.2.0.0.0.0.72.0"
    assert ReadingType.CREDIT_LEFT_MILLI.cim is None


def test_each_reading_type_is_told_in_units_of_its_kind():
    assert all(kind.units for kind in ReadingType)
    assert ReadingType.ENERGY_EXPORT_WH.units["kWh"] == 1000
    assert ReadingType.CREDIT_LEFT_MILLI.units["ZAR"] == 1000
    assert "kWh" not in ReadingType.POWER_W.units


def test_registers_that_only_rise_are_those_of_energy_and_volume():
    assert ReadingType.ENERGY_IMPORT_L3_WH.cumulative
    assert ReadingType.REACTIVE_EXPORT_VARH.cumulative
    assert not ReadingType.ENERGY_NET_WH.cumulative
    assert not ReadingType.ENERGY_IMPORT_DAY_WH.cumulative
    assert not ReadingType.POWER_W.cumulative
