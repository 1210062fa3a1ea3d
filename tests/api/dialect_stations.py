"""One meter of each dialect but Modbus, for lines of commands."""

from collections.abc import Sequence
from datetime import UTC

from adapters.simulators.dlt645_unit import Dlt645Unit
from adapters.simulators.read_out_unit import ReadOutUnit
from adapters.simulators.rs485 import AnyStation
from adapters.simulators.sdm_registers import EnergyMeter
from adapters.simulators.stations import Dlt645Station, Habits, ReadOutStation
from tests.adapters.simulators.benches import a_meter

DLT645_ADDRESS, READ_OUT_ADDRESS = "000000000161", "47111"


def a_dlt645_meter(habits: Habits) -> Sequence[AnyStation]:
    meter = a_meter(now=habits.clock.now(), load=460)
    return [Dlt645Station(Dlt645Unit(meter, DLT645_ADDRESS, zone=UTC), habits)]


def a_read_out_meter(habits: Habits) -> Sequence[AnyStation]:
    meter = EnergyMeter(habits.clock.now(), load=417)
    # It stays at the speed of the line.
    return [ReadOutStation(ReadOutUnit(meter, READ_OUT_ADDRESS), habits)]


def one_of_each(habits: Habits) -> Sequence[AnyStation]:
    return [*a_dlt645_meter(habits), *a_read_out_meter(habits)]
