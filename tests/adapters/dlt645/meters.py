"""Simulated DL/T 645 meters for tests: on the clock of a test, as stations of a line."""

from datetime import UTC

from adapters.simulators.dlt645_unit import Dlt645Unit
from adapters.simulators.stations import Dlt645Station, Habits, Manners
from tests.adapters.simulators.benches import a_meter
from tests.adapters.transport.wires import SeededChance
from tests.fakes import FakeClock


def a_unit(address: str, clock: FakeClock, **attributes) -> Dlt645Unit:
    """A meter with credit; supply that was opened from afar comes back by the button."""
    return Dlt645Unit(a_meter(now=clock.now(), **attributes), address, zone=UTC)


def a_station(unit: Dlt645Unit, clock: FakeClock) -> Dlt645Station:
    return Dlt645Station(unit, Habits(Manners(), clock=clock, chance=SeededChance()))
