"""The event log and the history of an STSM meter, against recorded exchanges."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.modbus.driver import ModbusDriver
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import SHIPPED, load_profiles
from headend.errors import NoAnswer
from headend.events import EventType, MeterEvent
from headend.meters import BusName, Drn, ProfileName, Route
from headend.readings import Quality, Reading, ReadingType
from tests.adapters.frames.replay import Replay
from tests.adapters.modbus.clocks import NOON, StillClock
from tests.builders import a_meter

pytestmark = pytest.mark.virtual_time

DRN = Drn("12345678903")
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
OURS = """
format = 1
inherits = "stsm"
title = "Acme K1"
source = "Acme K1 event list"
[events.codes]
F001 = "MAGNET"
"""


async def events_of(name: str, *, after: int, folder: Path | None = None) -> list[MeterEvent]:
    replay, driver = played(name, folder)
    profile = ProfileName("acme-k1" if folder else "stsm")
    async with driver.open(at_17(profile)) as session:
        found = list(await session.events(after=after))
    assert replay.finished
    return found


async def history_of(name: str, *, since: datetime | None) -> list[Reading]:
    replay, driver = played(name)
    async with driver.open(at_17(ProfileName("stsm"))) as session:
        found = list(await session.history(since=since))
    assert replay.finished
    return found


def played(name: str, folder: Path | None = None) -> tuple[Replay, ModbusDriver]:
    replay = Replay(f"stsm/{name}")
    line = ModbusLine("tcp://replay:1", opener=replay.open)
    profiles = load_profiles(*([folder] if folder else []))
    return replay, ModbusDriver(line, profiles, StillClock())


def at_17(profile: ProfileName):
    return a_meter(drn=DRN, profile=profile, route=Route(BusName("line"), "17"))


async def test_what_was_logged_since_is_told_oldest_first():
    events = await events_of("events", after=40)
    assert [(each.number, each.code) for each in events] == [
        (41, EventType.POWER_DOWN),
        (42, EventType.POWER_UP),
        (43, 0xF001),
    ]
    assert events[2].type is None
    assert events[2].argument == 7
    assert events[0].taken_at == NOON - timedelta(hours=1)
    assert {each.received_at for each in events} == {NOON}


async def test_a_code_of_the_maker_is_named_by_his_profile_and_kept(tmp_path: Path):
    (tmp_path / "acme-k1.toml").write_text(OURS)
    events = await events_of("events", after=40, folder=tmp_path)
    assert (events[2].code, events[2].raw_code) == (EventType.MAGNET, 0xF001)
    assert events[0].raw_code is None


async def test_nothing_new_costs_one_register():
    assert await events_of("events-none", after=40) == []


async def test_a_log_that_ran_over_tells_the_gap():
    gap, cover, lock = await events_of("events-gap", after=40)
    assert (gap.code, gap.number, gap.argument) == (EventType.EVENT_LOG_GAP, 49, 9)
    assert (cover.code, lock.code) == (EventType.METER_COVER_OPENED, EventType.TAMPER_LOCK)


async def test_more_than_a_window_is_read_window_by_window():
    events = await events_of("events-many", after=0)
    assert [each.number for each in events] == list(range(1, 17))


async def test_a_log_that_was_begun_anew_is_read_from_its_beginning():
    events = await events_of("events-anew", after=500)
    assert [each.number for each in events] == [1, 2]
    assert events[1].taken_at == NOON  # the meter had no time to tell


async def test_a_window_that_somebody_moved_is_not_taken_for_ours():
    with pytest.raises(NoAnswer, match="from 7, not from 41"):
        await events_of("events-other-window", after=40)


async def test_a_meter_without_log_and_history_is_asked_for_none():
    assert await events_of("no-log", after=0) == []
    assert await history_of("no-log", since=None) == []


async def test_days_and_months_are_told_at_their_end():
    history = await history_of("history", since=None)
    day, register = ReadingType.ENERGY_IMPORT_DAY_WH, ReadingType.ENERGY_IMPORT_WH
    bought = ReadingType.CREDIT_BOUGHT_MONTH_MILLI
    assert [(each.type, each.value, each.taken_at, each.quality) for each in history] == [
        (day, 3300, MIDNIGHT, Quality.GOOD),
        (day, 2200, MIDNIGHT - timedelta(days=1), Quality.GOOD),
        (register, 123_450_000, MIDNIGHT, Quality.GOOD),
        (bought, 25_000, MIDNIGHT, Quality.GOOD),
        (register, 123_000_000, datetime(2026, 2, 1, tzinfo=UTC), Quality.SUSPECT),
        (bought, 0, datetime(2026, 2, 1, tzinfo=UTC), Quality.SUSPECT),
        (register, 122_000_000, datetime(2026, 1, 1, tzinfo=UTC), Quality.GOOD),
        (bought, 0, datetime(2026, 1, 1, tzinfo=UTC), Quality.GOOD),
    ]


async def test_only_what_ended_since_is_told():
    history = await history_of("history", since=MIDNIGHT - timedelta(days=1))
    assert {each.taken_at for each in history} == {MIDNIGHT}


async def test_a_day_that_is_known_is_not_read_again():
    assert await history_of("history-none", since=MIDNIGHT) == []


async def test_a_meter_without_time_has_no_history():
    assert await history_of("history-clockless", since=None) == []


def test_the_shipped_profile_has_both():
    text = (SHIPPED / "stsm.toml").read_text()
    assert "[events]" in text
    assert "[history]" in text
