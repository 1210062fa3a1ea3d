"""RS485 lines of simulated SDM630 meters, and a master that reads them round and round.

The same on virtual time, where nothing but the rules of the line takes time, and on a pseudo-
terminal in real time, with the meters in a process of their own.
"""

import asyncio
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from adapters.modbus.driver import ModbusDriver
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import load_profiles
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.rs485 import Rs485Line
from adapters.simulators.sdm_registers import EnergyMeter, SdmRegisters
from adapters.simulators.stations import Habits, Manners, ModbusStation
from adapters.transport.address import SerialAddress
from adapters.transport.wire import Wire
from headend.agenda import Urgency
from headend.errors import Resting, WireError
from headend.lines import LineStatus, StationStatus
from headend.meters import BusName, Drn, Meter, ProfileName, Route
from tests.builders import a_meter

PROFILE = ProfileName("eastron-sdm630")
T0 = datetime(2026, 3, 1, tzinfo=UTC)
SLAVES = 32
# A common meter: 20 to 30 ms from the end of the question.
DELAY_S, JITTER_S = 0.02, 0.01
CONVERSATIONS = 4


class StillClock:
    def now(self) -> datetime:
        return T0


class SeededChance:
    """The same chance in every run of one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def nibble(self) -> int:
        return self._random.getrandbits(4)

    def spread(self) -> float:
        return self._random.random()

    def ident(self, now: datetime) -> str:
        return f"{self._random.getrandbits(64):026d}"


def a_line(
    address: SerialAddress,
    *,
    dead: Iterable[int] = (),
    seed: int = 1,
    manners: Manners | None = None,
) -> Rs485Line:
    """32 meters, those in `dead` silent."""
    units = [
        (number, ModbusUnit(SdmRegisters(meter), meter, meter.faults))
        for number, meter in ((one, EnergyMeter(T0, load=400)) for one in range(1, SLAVES + 1))
    ]
    for number in dead:
        units[number - 1][1].faults.silent = True
    manners = manners or Manners(delay_s=DELAY_S, jitter_s=JITTER_S)
    chance = SeededChance(seed)
    habits = Habits(manners, clock=StillClock(), chance=chance)
    stations = [ModbusStation(number, unit, habits) for number, unit in units]
    return Rs485Line(address, stations, chance=chance, manners=manners)


def the_meter(unit: int) -> Meter:
    drn = Drn(f"{unit:011d}")
    return a_meter(drn=drn, profile=PROFILE, route=Route(BusName("line"), str(unit)))


@dataclass
class Round:
    """What was read in a time: conversations by unit, and what they would have taken at best."""

    elapsed_s: float = 0.0
    ideal_s: float = 0.0
    wire_s: float = 0.0
    transactions: int = 0
    read: dict[int, int] = field(default_factory=dict)

    @property
    def readings(self) -> int:
        return sum(self.read.values())

    @property
    def efficiency(self) -> float:
        return self.ideal_s / self.elapsed_s

    @property
    def wire_share(self) -> float:
        return self.wire_s / self.elapsed_s


class Master:
    """Our driver on one line, asking each meter as soon as it can be asked again."""

    def __init__(self, line: ModbusLine, address: SerialAddress) -> None:
        self.line = line
        self.driver = ModbusDriver(line, load_profiles(), StillClock())
        self._wire = Wire(address)
        self.round = Round()

    async def read_on(self, seconds: float, units: Sequence[int] = range(1, SLAVES + 1)) -> Round:
        """Read round and round for so long."""
        loop = asyncio.get_running_loop()
        self.round = Round(read=dict.fromkeys(units, 0))
        began, before = loop.time(), self.line.way.status()
        queue: asyncio.Queue[int] = asyncio.Queue()
        for unit in units:
            queue.put_nowait(unit)
        workers = [
            asyncio.create_task(self._work(queue, began + seconds)) for _ in range(CONVERSATIONS)
        ]
        await asyncio.gather(*workers)
        self.round.elapsed_s = loop.time() - began
        self._at_best(before, self.line.way.status())
        return self.round

    def _at_best(self, before: LineStatus, after: LineStatus) -> None:
        """T(N) of each answered question, with the delay that the meters were given."""
        count = after.count(_replies) - before.count(_replies)
        assert before.wire_s is not None
        assert after.wire_s is not None
        wire_s = after.wire_s - before.wire_s
        silence_s = self._wire.silence_s
        self.round.transactions = count
        self.round.wire_s = wire_s
        self.round.ideal_s = wire_s + count * (max(silence_s, DELAY_S + JITTER_S / 2) + silence_s)

    async def _work(self, queue: asyncio.Queue[int], until: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            if queue.empty():
                await asyncio.sleep(0.01)
                continue
            unit = queue.get_nowait()
            again_s = await self._converse(unit)
            if again_s:
                loop.call_later(again_s, queue.put_nowait, unit)
            else:
                queue.put_nowait(unit)

    async def _converse(self, unit: int) -> float:
        """Read one meter once; how long it is to be left alone."""
        try:
            async with self.driver.open(the_meter(unit), urgency=Urgency.READING) as session:
                await session.read()
        except Resting as resting:
            return resting.again_s
        except WireError:
            return 0.0
        self.round.read[unit] += 1
        return 0.0


def _replies(station: StationStatus) -> int:
    return station.replies
