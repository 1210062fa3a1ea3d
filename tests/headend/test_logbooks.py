"""Logbooks in a poll: where they are read on, and what a failure there costs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from headend.agenda import Urgency
from headend.errors import Misconfigured, NoAnswer, Unsupported, WireError
from headend.events import EventType, MeterEvent, Severity
from headend.logbooks import NOTHING, Known, known_of, not_believed
from headend.looking import look, look_back
from headend.meters import Capability, Meter, ProfileName
from headend.ports import Driver, Report
from headend.readings import Reading, ReadingType
from headend.supply import Contacts, Supply
from tests.builders import BUS, DRN, NOW, TENANT, a_meter, a_reading, an_event
from tests.fakes import FakeClock
from tests.memory_store import MemoryStore

ALL = Capability.READ | Capability.SUPPLY | Capability.EVENTS | Capability.HISTORY
DUE = Known(event_number=40, day_end=NOW - timedelta(days=2), day_due=True)


@dataclass
class Told:
    """What a session was asked, and what it answers; only what a poll asks."""

    fails: dict[str, WireError] = field(default_factory=dict)
    asked: list[object] = field(default_factory=list)

    async def read(self) -> Sequence[Reading]:
        self._note("read", "read")
        return [a_reading()]

    async def supply(self) -> Supply:
        self._note("supply", "supply")
        return Supply(contacts=Contacts.CLOSED, taken_at=NOW)

    async def events(self, *, after: int) -> Sequence[MeterEvent]:
        self._note("events", ("events", after))
        return [an_event(number=after + 1)]

    async def history(self, *, since: datetime | None) -> Sequence[Reading]:
        self._note("history", ("history", since))
        return [a_reading(type=ReadingType.ENERGY_IMPORT_DAY_WH)]

    def _note(self, name: str, asked: object) -> None:
        self.asked.append(asked)
        if name in self.fails:
            raise self.fails[name]


@dataclass
class Wire:
    """Opens one session; satisfies what a poll asks of a driver."""

    told: Told = field(default_factory=Told)
    can: Capability = ALL
    urgencies: list[Urgency] = field(default_factory=list)

    def capabilities(self, profile: ProfileName) -> Capability:
        return self.can

    @asynccontextmanager
    async def open(
        self, meter: Meter, *, urgency: Urgency = Urgency.READING
    ) -> AsyncIterator[Told]:
        self.urgencies.append(urgency)
        yield self.told


async def looked(wire: Wire, known: Known = NOTHING) -> tuple[Report, ...]:
    driver: Driver = wire  # type: ignore[assignment]  # a poll asks no more of a session than this
    return await look(driver, a_meter(), (), known=known, clock=FakeClock(NOW), within_s=60)


async def looked_back(wire: Wire, known: Known) -> tuple[Report, ...]:
    driver: Driver = wire  # type: ignore[assignment]  # nor does this
    return await look_back(driver, a_meter(), known, clock=FakeClock(NOW), within_s=60)


async def test_a_poll_asks_for_the_present_and_for_events_that_are_new():
    wire = Wire()
    (present,) = await looked(wire, DUE)
    assert wire.told.asked == ["read", "supply", ("events", 40)]
    assert wire.urgencies == [Urgency.READING, Urgency.SUPPLY]
    assert present.readings == (a_reading(),)
    assert present.supply == Supply(contacts=Contacts.CLOSED, taken_at=NOW)
    assert [event.number for event in present.events] == [41]
    assert not present.stored


async def test_past_days_are_asked_for_behind_everybody_else():
    wire = Wire()
    (past,) = await looked_back(wire, DUE)
    assert wire.told.asked == [("history", DUE.day_end)]
    assert wire.urgencies == [Urgency.HISTORY]
    assert [reading.type for reading in past.readings] == [ReadingType.ENERGY_IMPORT_DAY_WH]
    assert past.stored


async def test_a_day_that_has_not_ended_is_not_asked_for():
    wire = Wire()
    assert await looked_back(wire, NOTHING) == ()
    assert wire.told.asked == []


async def test_a_model_without_log_is_not_asked_for_it():
    wire = Wire(can=Capability.READ)
    await looked(wire, DUE)
    assert await looked_back(wire, DUE) == ()
    assert wire.told.asked == ["read"]


@pytest.mark.parametrize("error", [NoAnswer("silence"), Unsupported("no such registers")])
async def test_what_a_log_cannot_give_now_costs_no_reading(error: WireError):
    (report,) = await looked(Wire(Told({"events": error})), DUE)
    assert report.readings == (a_reading(),)
    assert report.events == ()


@pytest.mark.parametrize("error", [NoAnswer("silence"), Unsupported("no such registers")])
async def test_days_that_cannot_be_had_now_are_nothing_told(error: WireError):
    assert await looked_back(Wire(Told({"history": error})), DUE) == ()


async def test_silence_is_nothing_told():
    assert await looked(Wire(Told({"read": NoAnswer("silence")})), DUE) == ()


async def test_another_model_than_the_record_says_is_told_as_an_event():
    (report,) = await looked(Wire(Told({"read": Misconfigured("impossible")})), DUE)
    assert [event.type for event in report.events] == [EventType.ROUTE_MISCONFIGURED]
    assert report.readings == ()


async def test_where_to_go_on_is_in_the_store():
    store = MemoryStore()
    day = a_reading(type=ReadingType.ENERGY_IMPORT_DAY_WH, taken_at=NOW - timedelta(hours=30))
    async with store.begin() as tx:
        assert await known_of(tx, a_meter(), ALL, now=NOW) == Known(day_due=True)
        await tx.events.add([an_event(number=7), an_event(number=6, code=2)])
        await tx.readings.add([day])
        known = await known_of(tx, a_meter(), ALL, now=NOW)
        assert known == Known(event_number=7, day_end=day.taken_at, day_due=True)
        early = await known_of(tx, a_meter(), ALL, now=NOW - timedelta(hours=12))
        assert not early.day_due
        assert await known_of(tx, a_meter(), Capability.READ, now=NOW) == Known()


def test_a_meter_that_is_not_believed_is_told_once_a_day():
    who = Report(tenant=TENANT, drn=DRN, bus=BUS, address="17")
    report = not_believed(who, now=NOW)
    (event,) = report.events
    assert event.type is EventType.ROUTE_MISCONFIGURED
    assert event.type.severity is Severity.MAJOR
    assert event.taken_at == datetime(NOW.year, NOW.month, NOW.day, tzinfo=UTC)
    assert not report.alive
    assert not_believed(who, now=NOW + timedelta(hours=1)).events[0].taken_at == event.taken_at
