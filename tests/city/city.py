"""A city: meters on a line and behind gateways, a head-end, a back-office, customers, and a seed.

One run is busy for some minutes of its own time, then everything is mended and it comes to rest;
then it is judged. The same plan gives the same run, to the last step.
"""

import asyncio
import gc
import logging
from collections import Counter
from dataclasses import dataclass, field

import structlog

from adapters.simulators.modbus_framing import MbapFraming, RtuFraming
from adapters.simulators.modbus_server import SimulatedLine
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.plate import MeterSettings
from adapters.simulators.stsm_registers import StsmRegisters
from adapters.vault.key_import import KeyToImport, import_keys
from headend.meters import Drn, Keypad, KeyType, Meter, Route, Service, StsConfiguration
from headend.polling import Poll
from headend.ports import Note
from headend.supply_groups import Reveal, SupplyGroup
from headend.webhooks import Webhook
from tests.city.books import TYPES, URL, Books, PlainSeals
from tests.city.broker import Broker
from tests.city.database import Database
from tests.city.faults import Faults
from tests.city.gateways import CityGateway
from tests.city.invariants import Judge
from tests.city.invariants_of_books import judge_books
from tests.city.keeper import Keeper
from tests.city.lines import CityLine
from tests.city.lives import CityLoop, TimeStands
from tests.city.meters import KEYS, SGC, CityMeter, a_meter
from tests.city.office import TILL, Office
from tests.city.people import People
from tests.city.processes import BROKER, GATEWAY, LINE, MASTERS, STSM
from tests.city.site import HostClock, Kind, Plan, Site, Violation
from tests.city.trace import EVERYBODY, Trace
from tests.fakes import SeededChance
from tests.flows.world import TENANT

FALLBACK_S, DEADLINE_S = 60, 420
POLL_S = 60
GATEWAYS = 2
WEBHOOK = "office"
LOOK_S = 5.0
# Past every deadline that was set by a clock that was right, and the outages before it.
REST_S = DEADLINE_S + 200.0
SETTLE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run. `hash` is that of its trace, `stories` those of the first violations."""

    plan: Plan
    recharges: int
    virtual_s: float
    hash: str
    faults: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    doubtful: int = 0
    events_told: int = 0
    violations: tuple[Violation, ...] = ()
    stories: tuple[str, ...] = ()


def run(plan: Plan) -> Outcome:
    """One run of a plan."""
    # Nobody is collected midway: a process that was killed does nothing more, not even that.
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=CityLoop) as runner:
            return runner.run(_run(plan))
    except TimeStands as stands:
        return _stood_still(plan, stands)
    finally:
        gc.enable()
        gc.collect()


def _stood_still(plan: Plan, stands: TimeStands) -> Outcome:
    violation = Violation(invariant="time goes on", drn="", since_s=0.0, detail=str(stands))
    return Outcome(
        plan=plan, recharges=0, virtual_s=0.0, hash="", violations=(violation,), stories=("",)
    )


async def _run(plan: Plan) -> Outcome:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    city = City(plan)
    await city.set_up()
    try:
        await city.live()
    finally:
        await city.keeper.bury()
    return city.outcome()


class City:
    """Everything of one run."""

    def __init__(self, plan: Plan) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CityLoop)
        self.trace = Trace(loop.time)
        self.site = Site(plan=plan, loop=loop, trace=self.trace, kinds=plan.happening())
        self.clock = HostClock(loop)
        self.chance = SeededChance(plan.seed)
        self._luck = plan.luck("city")
        self._meters = [self._meter(serial) for serial in range(1, plan.meters + 1)]
        self.site.meters |= {Drn(one.drn): one for one in self._meters}
        self.people = People(self.site)
        self.books = Books(self.site)
        self.office = Office(self.site, self.people, lambda: self.keeper.api, self._last_tid)
        self.judge = Judge(self.site, self.people, self.clock, self.office.sales)
        self.database = Database(
            loop, plan.luck("database"), told=self._fault, committed=self.judge.committed
        )
        self.judge.database = self.database
        self.broker = Broker(loop, plan.luck("broker"), told=self._fault)
        self._on_line = self._meters[::2]
        self._behind = self._meters[1::2]
        self.line = self._line(loop)
        self._gateways = [self._gateway(number) for number in range(GATEWAYS)]
        self.keeper = Keeper(self, self.clock, changed=self._changed)
        self._faults = Faults(
            self.site,
            database=self.database,
            broker=self.broker,
            line=self.line,
            gateways=self._gateways,
            people=self.people,
            clock=self.clock,
            changed=self._changed,
        )

    async def carry(self, note: Note) -> None:
        """Give a note to the message provider; raises NotSent."""
        await self.people.carry(note)

    # --- its parts -----------------------------------------------------------------------------

    def _meter(self, serial: int) -> CityMeter:
        luck = self._luck
        settings = MeterSettings(
            needs_button=luck.random() < 0.2, processing_s=luck.choice((0.1, 0.2, 1.5))
        )
        return a_meter(
            serial,
            self.site.now(),
            self.trace,
            settings=settings,
            credit_milli=luck.choice((0, 50, 5_000)),
            load=luck.choice((0, 1_000, 3_000)),
        )

    def _line(self, loop: CityLoop) -> CityLine:
        units = {
            unit: ModbusUnit(StsmRegisters(meter), meter, meter.faults)
            for unit, meter in enumerate(self._on_line, start=1)
        }
        name, framing = self._luck.choice((("tcp", MbapFraming), ("rtu", RtuFraming)))
        line = SimulatedLine(units, clock=self.site)
        return CityLine(loop, line, framing, name)

    def _gateway(self, number: int) -> CityGateway:
        meters = {meter.drn: meter for meter in self._behind[number::GATEWAYS]}
        name = f"gw{number}"
        return CityGateway(self.broker, name, meters, tenant=TENANT, clock=self.site)

    async def set_up(self) -> None:
        """Keys, the supply group and the records of the meters."""
        store, now = self.database, self.clock.now()
        async with store.begin() as tx:
            await tx.tenants.ensure(TENANT, now)
            group = SupplyGroup(
                tenant=TENANT,
                sgc=SGC,
                fallback_after_s=FALLBACK_S,
                deadline_after_s=DEADLINE_S,
                reveal_at={TILL: Reveal.AT_ONCE},
                changed_at=now,
            )
            await tx.supply_groups.put(group, was=None)
            for place, meter in enumerate(self._meters):
                record = self._record(place, meter)
                await tx.meters.add(record)
                await tx.polls.put(_poll(record, place))
        keys = [
            KeyToImport(sgc=SGC, krn=krn, base_date=2014, ken=255, mark="test", key=key)
            for krn, key in KEYS.items()
        ]
        await import_keys(store, MASTERS, keys, tenant=TENANT, now=now)
        secret = PlainSeals().seal(b"city", bound_to=WEBHOOK)
        async with store.begin() as tx:
            webhook = Webhook(
                id=WEBHOOK,
                tenant=TENANT,
                url=URL,
                types=TYPES,
                secret=secret,
                created_at=now,
                changed_at=now,
            )
            await tx.webhooks.add(webhook)

    def _record(self, place: int, meter: CityMeter) -> Meter:
        on_line = place % 2 == 0
        route = (
            Route(LINE, str(place // 2 + 1))
            if on_line
            else Route(BROKER, f"gw{place // 2 % GATEWAYS}")
        )
        return Meter(
            tenant=TENANT,
            drn=Drn(meter.drn),
            service=Service.ELECTRICITY,
            profile=STSM if on_line else GATEWAY,
            route=route,
            sts=StsConfiguration(SGC, 1, 1, KeyType.UNIQUE, 11),
            keypad=Keypad.METER,
            changed_at=self.clock.now(),
        )

    # --- its life ------------------------------------------------------------------------------

    async def live(self) -> None:
        """The busy time, the rest, and the end."""
        self.site.loop.set_exception_handler(self._unhandled)
        site, loop = self.site, self.site.loop
        self.trace.tell(EVERYBODY, f"happening: {', '.join(sorted(site.kinds))}")
        gateways = [loop.create_task(one.run()) for one in self._gateways]
        keeping = loop.create_task(self.keeper.keep())
        faults = loop.create_task(self._faults.happen())
        working = [loop.create_task(self.office.sell_all())]
        if Kind.KEY_CHANGE in site.kinds:
            working.append(loop.create_task(self.office.change_keys()))
        if Kind.SUPPLY in site.kinds:
            working.append(loop.create_task(self.office.order_supply()))
        await asyncio.sleep(site.plan.busy_s)
        await _ended([faults])
        self._faults.mend()
        self.keeper.calm()
        await asyncio.wait(working, timeout=REST_S)
        await self._come_to_rest()
        self.judge.judge()
        judge_books(site, self.database, self.books)
        for task in working:
            if not task.done():
                site.violated("every post is answered", "", repr(task))
            elif error := task.exception():
                raise error
        await _ended([keeping, *working, *gateways])
        if not keeping.cancelled():
            keeping.result()

    async def _come_to_rest(self) -> None:
        """Until nothing is open any more, or for as long as anything may be."""
        loop = self.site.loop
        until_s = loop.time() + REST_S
        while loop.time() < until_s and (self.judge.open or self.people.busy):
            await asyncio.sleep(LOOK_S)
        await asyncio.sleep(SETTLE_S)

    def _changed(self) -> None:
        """Somebody came, went, or is told another time."""
        provider, mischief = self.people.provider, self.database.mischief
        reached = not (mischief.down or mischief.slow_s or provider.down or provider.hangs)
        self.judge.health(self.keeper.worked and reached)

    def _fault(self, kind: str, text: str) -> None:
        self.trace.fault(kind, EVERYBODY, text)

    def _last_tid(self, drn: Drn) -> int | None:
        return self.judge.last_tid.get(drn)

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        self.site.violated("nothing goes wrong unseen", "", repr(context))

    # --- its end -------------------------------------------------------------------------------

    def outcome(self) -> Outcome:
        """What came of it."""
        site, violations = self.site, tuple(self.site.violations)
        states = Counter(str(one.state) for one in self.database.tables["recharges"].rows.values())
        return Outcome(
            plan=site.plan,
            recharges=sum(sale.answered_s is not None for sale in self.office.sales.values()),
            virtual_s=site.loop.time(),
            hash=self.trace.hash,
            faults=self.trace.faults,
            states=states,
            doubtful=self.judge.doubtful,
            events_told=len(self.books.told),
            violations=violations,
            stories=tuple(
                "\n".join(self.trace.story(one.drn, since_s=one.since_s)) for one in violations[:3]
            ),
        )


async def _ended(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _poll(record: Meter, place: int) -> Poll:
    assert record.route is not None
    return Poll(
        tenant=TENANT,
        drn=record.drn,
        bus=record.route.bus,
        due_at=record.changed_at,
        interval_s=POLL_S + place,
    )
