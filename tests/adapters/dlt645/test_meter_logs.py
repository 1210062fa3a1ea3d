"""Events of DL/T 645 meters: named as ours, numbered, told once, also after a restart."""

from datetime import UTC, datetime, time, timedelta

import pytest

from adapters.dlt645 import session
from adapters.dlt645.driver import Dlt645Driver
from adapters.dlt645.profile import load_profiles
from headend.errors import NoAnswer
from headend.events import EventType, MeterEvent
from headend.meters import BusName, Capability, ProfileName, Route
from tests.adapters.dlt645.meters import a_station, a_unit
from tests.adapters.transport.hearers import Hearers, a_line
from tests.builders import NOW, a_meter
from tests.fakes import FakeClock

pytestmark = pytest.mark.virtual_time
PROFILES = load_profiles()
PROFILE = ProfileName("dlt645-2007")
ADDRESS = "000000000161"
METER = a_meter(profile=PROFILE, route=Route(BusName("line"), "161"))
COUNTS = ("031100", "033000", "033004", "03300D", "03300E", "030700")
COUNTS_OF_PHASES = ("030100", "030200", "030300", "030400", "030E00")


class Watched:
    """A meter, and a head-end that polls its events and remembers the last number."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.unit = a_unit(ADDRESS, self.clock)
        self.hearers = Hearers([a_station(self.unit, self.clock)])
        self.last = 0
        self.restart()

    def restart(self) -> None:
        line = a_line(self.hearers)
        self.driver = Dlt645Driver(line, PROFILES, self.clock, zone=UTC)

    async def poll(self) -> list[MeterEvent]:
        async with self.driver.open(METER) as conversation:
            events = list(await conversation.events(after=self.last))
        numbers = [event.number for event in events if event.number]
        assert numbers == sorted(set(numbers))
        self.last = numbers[-1] if numbers else self.last
        return events

    async def all(self) -> list[MeterEvent]:
        found: list[MeterEvent] = []
        while told := await self.poll():
            found += told
        return found

    def goes_on(self, seconds: float = 60) -> None:
        self.clock.advance(seconds)
        self.unit.meter.advance(self.clock.now())

    def happens(self, *kinds: EventType) -> None:
        for kind in kinds:
            self.goes_on()
            self.unit.meter.circuit.tell(kind, self.clock.now())

    def power_fails(self, times: int = 1) -> None:
        for _ in range(times):
            self.goes_on()
            self.unit.meter.power_cut(self.clock.now())
            self.goes_on(30)
            self.unit.meter.power_on(self.clock.now())


@pytest.fixture
def watched() -> Watched:
    return Watched()


def codes(events: list[MeterEvent]) -> list[EventType | None]:
    return [event.type for event in events]


def test_the_profile_says_that_events_can_be_had():
    assert Capability.EVENTS in PROFILES[PROFILE].can


async def test_what_happened_is_told_once_by_our_names_and_in_order(watched: Watched):
    watched.power_fails()
    watched.happens(EventType.METER_COVER_OPENED, EventType.TERMINAL_COVER_OPENED)
    watched.happens(EventType.TERMINAL_COVER_CLOSED, EventType.UNDERVOLTAGE)
    told = await watched.poll()
    assert codes(told) == [
        EventType.POWER_DOWN,
        EventType.POWER_UP,
        EventType.METER_COVER_OPENED,
        EventType.TERMINAL_COVER_OPENED,
        EventType.TERMINAL_COVER_CLOSED,
        EventType.UNDERVOLTAGE,
    ]
    assert [event.number for event in told] == [1, 2, 3, 4, 5, 6]
    assert told[1].taken_at - told[0].taken_at == timedelta(seconds=30)
    assert told[0].taken_at == NOW + timedelta(seconds=60)
    assert told[5].argument == 1  # the phase
    assert await watched.poll() == []


async def test_nothing_new_costs_no_record(watched: Watched):
    watched.power_fails(3)
    await watched.all()
    before = len(watched.hearers.sent)
    assert await watched.poll() == []
    asked = len(watched.hearers.sent) - before
    assert asked == len(COUNTS) + len(COUNTS_OF_PHASES) + 1  # and the status words


async def test_an_end_is_told_when_it_comes(watched: Watched):
    watched.happens(EventType.TERMINAL_COVER_OPENED)
    assert codes(await watched.poll()) == [EventType.TERMINAL_COVER_OPENED]
    assert await watched.poll() == []
    watched.happens(EventType.TERMINAL_COVER_CLOSED)
    assert codes(await watched.poll()) == [EventType.TERMINAL_COVER_CLOSED]


async def test_a_restart_tells_only_what_is_new(watched: Watched):
    watched.power_fails(2)
    watched.happens(EventType.METER_COVER_OPENED)
    await watched.all()
    watched.restart()
    assert await watched.poll() == []
    watched.restart()
    watched.happens(EventType.UNDERVOLTAGE)
    watched.power_fails()
    told = await watched.poll()
    assert codes(told) == [EventType.UNDERVOLTAGE, EventType.POWER_DOWN, EventType.POWER_UP]
    assert [event.number for event in told] == [6, 7, 8]


async def test_what_was_told_but_not_kept_is_told_again(watched: Watched):
    watched.power_fails()
    told = await watched.poll()
    watched.last = 0
    assert await watched.poll() == told


async def test_of_a_long_log_the_last_ten_are_told_in_pieces(watched: Watched):
    watched.power_fails(30)
    first = await watched.poll()
    assert len(first) == 8
    rest = await watched.all()
    assert len(rest) == 12
    assert EventType.EVENT_LOG_GAP not in codes(first + rest)
    assert watched.last == 60


async def test_what_was_lost_meanwhile_is_told_as_a_gap(watched: Watched):
    watched.power_fails()
    await watched.all()
    watched.power_fails(13)
    told = await watched.all()
    assert (told[0].type, told[0].argument, told[0].number) == (EventType.EVENT_LOG_GAP, 6, 8)
    assert len(told) == 21
    assert watched.last == 28


async def test_logs_that_were_cleared_begin_anew(watched: Watched):
    watched.power_fails(3)
    await watched.all()
    watched.unit.logs.clear()
    assert await watched.poll() == []
    watched.happens(EventType.METER_COVER_OPENED)
    told = await watched.poll()
    assert [(event.type, event.number) for event in told] == [(EventType.METER_COVER_OPENED, 1)]
    assert await watched.poll() == []


async def test_a_record_that_the_meter_does_not_give_is_a_gap(watched: Watched):
    watched.happens(EventType.METER_COVER_OPENED)
    watched.unit.values["03300D01"] = None
    assert codes(await watched.poll()) == [EventType.EVENT_LOG_GAP]
    del watched.unit.values["03300D01"]
    watched.happens(EventType.METER_COVER_OPENED)
    assert codes(await watched.all()) == [EventType.METER_COVER_OPENED]


async def test_what_stands_now_is_told_once_a_day_where_no_log_tells_it(watched: Watched):
    words = bytearray(14)
    words[0] = 0b1000  # a battery
    words[6], words[10] = 0b10, 0b10  # undervoltage of phases 1 and 3
    words[12] = 0b1000  # currents
    watched.unit.values |= {"040005FF": bytes(words), "03020000": None}
    told = await watched.poll()
    midnight = datetime.combine(NOW.date(), time(), UTC)
    assert {(event.type, event.argument, event.number, event.taken_at) for event in told} == {
        (EventType.BATTERY_LOW, 1, 0, midnight),
        (EventType.UNDERVOLTAGE, 0b101, 0, midnight),
        (EventType.NEUTRAL_MISSING, 1, 0, midnight),
    }
    # The store keeps one event of a meter, code, time and number.
    assert [event.taken_at for event in await watched.poll()] == [midnight] * 3
    del watched.unit.values["03020000"]
    watched.restart()
    assert EventType.UNDERVOLTAGE not in codes(await watched.poll())


async def test_logs_that_take_too_long_are_no_answer_and_come_later(watched: Watched, monkeypatch):
    watched.power_fails()
    monkeypatch.setattr(session, "EVENTS_S", 0.1)
    with pytest.raises(NoAnswer, match="no time for its logs"):
        await watched.poll()
    monkeypatch.undo()
    assert codes(await watched.poll()) == [EventType.POWER_DOWN, EventType.POWER_UP]


async def test_a_meter_without_logs_is_asked_for_them_once(watched: Watched):
    absent = [f"{one}00" for one in (*COUNTS, *COUNTS_OF_PHASES)]
    watched.unit.values |= dict.fromkeys([*absent, "040005FF"])
    assert await watched.poll() == []
    before = len(watched.hearers.sent)
    assert await watched.poll() == []
    assert len(watched.hearers.sent) == before
