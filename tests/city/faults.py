"""What is done to a city while it is busy: each kind by its own luck, at its own pace.

Processes are killed and frozen by their keeper (`keeper`), people err by themselves (`people`).
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any

from adapters.simulators.faults import Dying
from tests.city.broker import Broker
from tests.city.database import Database
from tests.city.gateways import CityGateway
from tests.city.lines import CityLine
from tests.city.meters import CityMeter
from tests.city.people import People
from tests.city.site import HostClock, Kind, Site
from tests.city.trace import EVERYBODY

# How long an outage of a wire or the database lasts, at most.
OUTAGE_S = 40.0
WRONG_CLOCK_S = (2.0, 2.0, 90.0, 90.0, 600.0, 3 * 3600.0)


class Faults:
    """Starts what happens in this run, and mends everything in the end."""

    def __init__(
        self,
        site: Site,
        *,
        database: Database,
        broker: Broker,
        line: CityLine,
        gateways: list[CityGateway],
        people: People,
        clock: HostClock,
        changed: Callable[[], None],
    ) -> None:
        self._site = site
        self._database = database
        self._broker = broker
        self._line = line
        self._gateways = gateways
        self._people = people
        self._clock = clock
        self._changed = changed
        self._drns = list(site.meters)

    async def happen(self) -> None:
        """Every kind of this run, until cancelled; see `mend`."""
        self._always()
        async with asyncio.TaskGroup() as group:
            for kind, (act, every_s) in self._acts().items():
                if kind in self._site.kinds:
                    group.create_task(self._again(kind, act, every_s))

    def mend(self) -> None:
        """All wires, meters and servers are well from now on; only the dead stay dead."""
        self._site.calm = True
        self._broker.weather.__init__()  # type: ignore[misc] # as new
        self._database.mischief.__init__()  # type: ignore[misc] # as new
        self._line.cable.__init__()  # type: ignore[misc] # as new
        self._people.provider.__init__()  # type: ignore[misc] # as new
        self._clock.set_right()
        for gateway in self._gateways:
            gateway.set_online(True)
        for meter in self._site.meters.values():
            self._repair(meter)
        self._changed()
        self._site.trace.tell(EVERYBODY, "everything is mended")

    def _repair(self, meter: CityMeter) -> None:
        now = self._site.now()
        meter.faults.clear()
        meter.faults.silent = meter.gone
        meter.advance(now)
        meter.power_on(now)

    def _always(self) -> None:
        """What holds for the whole busy time."""
        weather, mischief = self._broker.weather, self._database.mischief
        kinds, luck = self._site.kinds, self._site.plan.luck("weather")
        weather.doubles = 0.1 * luck.random() if Kind.DUPLICATE in kinds else 0.0
        weather.overtakes = 0.1 * luck.random() if Kind.REORDER in kinds else 0.0
        weather.delays = 0.03 * luck.random() if Kind.DELAY in kinds else 0.0
        mischief.loses_answer = 0.03 * luck.random() if Kind.COMMIT_LOST in kinds else 0.0
        mischief.fails = 0.03 * luck.random() if Kind.COMMIT_FAILED in kinds else 0.0
        self._people.provider.lies = 0.2 if Kind.PROVIDER in kinds else 0.0
        self._line.cable.hop_s = luck.choice((0.002, 0.01, 0.1))
        for drn in self._drns if Kind.GONE in kinds else ():
            self._site.meters[drn].gone = luck.random() < 0.08

    def _acts(
        self,
    ) -> Mapping[Kind, tuple[Callable[[random.Random], Coroutine[Any, Any, None]], float]]:
        """How each kind happens, and how many seconds lie between, on average."""
        return {
            Kind.LOST: (self._lose, 4),
            Kind.LATE: (self._late, 6),
            Kind.GARBLED: (self._garble, 8),
            Kind.SILENT: (self._silent, 15),
            Kind.BUSY: (self._busy, 15),
            Kind.POWER: (self._power, 10),
            Kind.GONE: (self._gone, 120),
            Kind.RELAY: (self._relay, 60),
            Kind.DRIFT: (self._drift, 40),
            Kind.GATEWAY: (self._gateway, 60),
            Kind.BROKER: (self._outage_of_broker, 90),
            Kind.LINE: (self._outage_of_line, 60),
            Kind.STORE: (self._outage_of_store, 60),
            Kind.PROVIDER: (self._outage_of_provider, 60),
            Kind.CLOCK: (self._wrong_clock, 90),
        }

    async def _again(
        self, kind: Kind, act: Callable[[random.Random], Coroutine[Any, Any, None]], every_s: float
    ) -> None:
        luck = self._site.plan.luck(f"fault {kind}")
        every_s *= 0.5 + 1.5 * luck.random()
        while True:
            await asyncio.sleep(luck.expovariate(1 / every_s))
            await act(luck)

    def _meter(self, luck: random.Random) -> CityMeter:
        return self._site.meters[luck.choice(self._drns)]

    def _tell(self, kind: Kind, about: str, text: str) -> None:
        self._site.trace.fault(kind, about, text)

    # --- meters --------------------------------------------------------------------------------

    async def _lose(self, luck: random.Random) -> None:
        meter = self._meter(luck)
        if luck.random() < 0.5:
            meter.faults.lose(luck.randint(1, 3))
        else:
            meter.faults.lose_commands(luck.randint(1, 2))
        self._tell(Kind.LOST, meter.drn, "the next answers are lost")

    async def _late(self, luck: random.Random) -> None:
        meter = self._meter(luck)
        meter.faults.late(luck.randint(1, 3), by_s=luck.choice((0.5, 1.5, 5.0, 30.0)))
        self._tell(Kind.LATE, meter.drn, f"the next answers come {meter.faults.late_s} s late")

    async def _garble(self, luck: random.Random) -> None:
        meter = self._meter(luck)
        meter.faults.garble(luck.randint(1, 3))
        self._tell(Kind.GARBLED, meter.drn, "the next answers are garbled")

    async def _silent(self, luck: random.Random) -> None:
        meter = self._meter(luck)
        await self._for_a_while(Kind.SILENT, meter, "silent", luck.random() * 120)

    async def _busy(self, luck: random.Random) -> None:
        meter = self._meter(luck)
        await self._for_a_while(Kind.BUSY, meter, "busy", luck.random() * 30)

    async def _for_a_while(self, kind: Kind, meter: CityMeter, what: str, for_s: float) -> None:
        self._tell(kind, meter.drn, f"the meter is {what} for {for_s:.0f} s")
        setattr(meter.faults, what, True)

        def over() -> None:
            setattr(meter.faults, what, meter.gone and what == "silent")

        self._site.loop.later(for_s, over)

    async def _power(self, luck: random.Random) -> None:
        meter = self._meter(luck)
        down_s = luck.random() * 60
        meter.faults.down_s = down_s
        if luck.random() < 0.3:
            self._tell(Kind.POWER, meter.drn, f"the meter is without power for {down_s:.0f} s")
            meter.advance(self._site.now())
            meter.power_cut(self._site.now(), back_in_s=down_s)
            return
        meter.faults.dying = luck.choice((Dying.BEFORE, Dying.AFTER))
        self._tell(Kind.POWER, meter.drn, f"power will go {meter.faults.dying} the next token")

    async def _gone(self, luck: random.Random) -> None:
        for meter in self._site.meters.values():
            if meter.gone and not meter.faults.silent:
                meter.faults.silent = True
                self._tell(Kind.GONE, meter.drn, "the meter is gone for good")
                return

    async def _relay(self, luck: random.Random) -> None:
        meter = self._meter(luck)
        now = self._site.now()
        self._tell(Kind.RELAY, meter.drn, "the contacts stay where they are")
        meter.set_relay_fault(True, now)
        await asyncio.sleep(luck.random() * 60)
        meter.set_relay_fault(False, self._site.now())

    async def _drift(self, luck: random.Random) -> None:
        meter = self._meter(luck)
        off_s = luck.choice((-7200, -90, -5, 5, 90, 7200))
        now = self._site.now()
        self._tell(Kind.DRIFT, meter.drn, f"the meter's clock is {off_s} s off")
        meter.advance(now)
        meter.clock.set(meter.clock.at(now) + _seconds(off_s), now)

    # --- wires and servers ---------------------------------------------------------------------

    async def _gateway(self, luck: random.Random) -> None:
        gateway = luck.choice(self._gateways)
        if luck.random() < 0.5:
            self._tell(Kind.GATEWAY, EVERYBODY, f"{gateway.name} boots again")
            gateway.reboot(forgets=luck.random() < 0.3)
            return
        self._tell(Kind.GATEWAY, EVERYBODY, f"{gateway.name} has no network")
        gateway.set_online(False)
        await asyncio.sleep(luck.random() * 60)
        gateway.set_online(True)

    async def _outage_of_broker(self, luck: random.Random) -> None:
        self._tell(Kind.BROKER, EVERYBODY, "the broker is away")
        self._broker.fall()
        await asyncio.sleep(luck.random() * OUTAGE_S)
        self._broker.weather.down = False

    async def _outage_of_line(self, luck: random.Random) -> None:
        if luck.random() < 0.5:
            self._tell(Kind.LINE, EVERYBODY, "the line is mute")
            self._line.cable.mute = True
        else:
            self._tell(Kind.LINE, EVERYBODY, "the line is cut")
            self._line.break_off()
        await asyncio.sleep(luck.random() * OUTAGE_S)
        self._line.cable.mute = self._line.cable.down = False

    async def _outage_of_store(self, luck: random.Random) -> None:
        if luck.random() < 0.3:
            self._tell(Kind.STORE, EVERYBODY, "the database is slow")
            self._database.mischief.slow_s = 2.0 * luck.random()
        else:
            self._tell(Kind.STORE, EVERYBODY, "the database is away")
            self._database.mischief.down = True
        self._changed()
        await asyncio.sleep(luck.random() * OUTAGE_S)
        self._database.mischief.slow_s = 0.0
        self._database.mischief.down = False
        self._changed()

    async def _outage_of_provider(self, luck: random.Random) -> None:
        how = luck.choice(("down", "hangs"))
        self._tell(Kind.PROVIDER, EVERYBODY, f"the message provider: {how}")
        setattr(self._people.provider, how, True)
        self._changed()
        await asyncio.sleep(luck.random() * 2 * OUTAGE_S)
        setattr(self._people.provider, how, False)
        self._changed()

    async def _wrong_clock(self, luck: random.Random) -> None:
        by_s = luck.choice((-1, 1)) * luck.choice(WRONG_CLOCK_S) * luck.random()
        self._tell(Kind.CLOCK, EVERYBODY, f"our clock is set by {by_s:.1f} s")
        self._clock.jump(by_s)
        self._changed()


def _seconds(count: float) -> timedelta:
    return timedelta(seconds=count)
