"""A small world in virtual time: simulated meters on one wire, a store, and processes that die.

The head-end in it is the real one: desks, buses, tending, intake and the software vault. Only the
wire is short: sessions speak to the simulated meters directly, with their faults.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from adapters.simulators.logs import TokenEntry
from adapters.simulators.meter import MeterDown, SimulatedMeter
from adapters.simulators.plate import MeterSettings, Plate
from adapters.simulators.supply_port import SupplyCommand
from adapters.simulators.supply_port import SupplyOrder as MeterOrder
from adapters.simulators.token_port import Busy
from adapters.vault.key_import import KeyToImport, import_keys
from adapters.vault.master_key import MasterKey, MasterKeys
from adapters.vault.software import SoftwareVault
from headend.agenda import Urgency
from headend.bus import Bus
from headend.bus_ports import BusPorts
from headend.command_desk import CommandDesk
from headend.commands import SetSupply
from headend.credit_parameters import CreditParameters
from headend.deliveries import Confirmation, Delivery
from headend.errors import NoAnswer, NotSent, Unsupported
from headend.events import MeterEvent
from headend.intake import Intake
from headend.key_desk import KeyDesk
from headend.meters import (
    BusName,
    Capability,
    Drn,
    Keypad,
    KeyType,
    Meter,
    ProfileName,
    Route,
    Service,
    StsConfiguration,
    TenantId,
)
from headend.polling import Poll
from headend.ports import Alert, Dispatch, Note
from headend.quantities import Unit, Units
from headend.readings import Reading, ReadingType
from headend.recharge_desk import RechargeDesk
from headend.recharges import Recharge, RechargeOrder
from headend.store import Store, Transaction
from headend.supply import Contacts, Supply, SupplyAction
from headend.supply_groups import SupplyGroup
from headend.supply_signs import SupplySigns, judge_supply
from headend.tending import Tending
from headend.tokens import Token, TokenOutcome
from headend.usage_points import Contact, ContactKind
from headend.watching import Watch
from protocols.sts.keys import VendingKey
from protocols.sts.tables import BaseDate, Dkga
from protocols.sts.tables import KeyType as StsKeyType
from tests.fakes import SeededChance

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
TENANT = TenantId("town")
BUS = BusName("wire")
SGC = "201457"
TEST_KEY = "abababababababab949494949494949401234567"
NEIGHBOUR = Contact(ContactKind.SMS, "+27820000001")
ANSWER_TIMEOUT_S = 2.0
ALL = ~Capability.NONE


class Killed(BaseException):
    """The process is dead: nothing that it still tries has any effect."""


@dataclass
class LoopClock:
    """Wall time that follows the loop's clock, which jumps in tests of virtual time."""

    start: datetime = START

    def now(self) -> datetime:
        return self.start + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass
class Fuse:
    """Kills a process at the n-th thing it does to the world; None never burns."""

    left: int | None = None
    burnt: bool = False
    seen: int = 0

    def touch(self) -> None:
        """One more step; raises Killed when this is the last, and for ever after."""
        self.seen += 1
        if self.left is not None and self.seen > self.left:
            self.burnt = True
        if self.burnt:
            raise Killed


class MortalStore:
    """A store as one process sees it: before and after each commit the process may die."""

    def __init__(self, store: Store, fuse: Fuse) -> None:
        self._store, self._fuse = store, fuse

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        self._fuse.touch()
        async with self._store.begin() as tx:
            yield tx
            if self._fuse.burnt:
                raise Killed
        self._fuse.touch()

    @asynccontextmanager
    async def look(self) -> AsyncIterator[Transaction]:
        if self._fuse.burnt:
            raise Killed
        async with self._store.look() as tx:
            yield tx


@dataclass
class WireSession:
    """A conversation with one simulated meter."""

    meter: SimulatedMeter
    fuse: Fuse
    clock: LoopClock

    async def read(self) -> Sequence[Reading]:
        await self._hop()
        values = {
            ReadingType.CREDIT_LEFT_MILLI: self.meter.credit_milli,
            ReadingType.ENERGY_IMPORT_WH: self.meter.import_milli,
        }
        await self._answer()
        now = self.clock.now()
        return [
            Reading(
                tenant=TENANT,
                drn=Drn(self.meter.drn),
                type=kind,
                value=value,
                taken_at=now,
                received_at=now,
            )
            for kind, value in values.items()
        ]

    async def enter_token(self, token: Token, *, attempt: int) -> TokenOutcome:
        await self._hop()
        request = f"{token.id}.{attempt}"
        try:
            self.meter.submit(request, token.digits, self.clock.now())
        except Busy as error:
            raise NotSent("busy") from error
        await asyncio.sleep(self.meter.settings.processing_s + 0.01)
        self._live()
        entry = self.meter.token_port.known(request) or self.meter.token_port.shown
        await self._answer()
        if entry is None or entry.request_id != request:
            raise NoAnswer("no result of this entry")
        return outcome_of(entry)

    async def token_outcome(self, token: Token) -> TokenOutcome | None:
        await self._hop()
        entries = [
            entry
            for entry in self.meter.tokens.newest_first()
            if token.tid is not None and entry.tid == token.tid and entry.result.taken
        ]
        await self._answer()
        return outcome_of(entries[0]) if entries else None

    async def supply(self) -> Supply:
        await self._hop()
        circuit, relay = self.meter.circuit, self.meter.relay
        signs = SupplySigns(
            contacts=Contacts.CLOSED if relay.closed else Contacts.OPEN,
            control=relay.control,
            told=frozenset({circuit.cause} if circuit.cause else ()),
            credit_milli=self.meter.credit_milli,
            reconnect_milli=circuit.reconnect_milli,
            debt_milli=circuit.debt_milli or None,
            grid_mv=circuit.grid_mv,
            load_mv=circuit.load_mv,
        )
        seen = judge_supply(signs, self.clock.now())
        await self._answer()
        return seen

    async def set_supply(self, order: SetSupply, *, order_id: str) -> None:
        await self._hop()
        opens = order.action is SupplyAction.OPEN
        command = SupplyCommand.OPEN if opens else SupplyCommand.PERMIT_CLOSE
        now = self.clock.now()
        self.meter.order_supply(
            MeterOrder(id=order_id, command=command, due_at=now, until=order.expires_at), now
        )
        await self._answer()

    async def events(self, *, after: int) -> Sequence[MeterEvent]:
        raise Unsupported("no event log")

    async def history(self, *, since: datetime | None) -> Sequence[Reading]:
        raise Unsupported("no history")

    async def set_clock(self, now: datetime) -> Confirmation:
        await self._hop()
        self.meter.set_clock(now, self.clock.now())
        await self._answer()
        return Confirmation.READ_BACK

    async def set_credit_parameters(self, change: CreditParameters) -> None:
        raise Unsupported("no credit parameters")

    async def sts_configuration(self) -> StsConfiguration:
        await self._hop()
        held = self.meter.decoder
        configuration = StsConfiguration(
            sgc=f"{held.sgc:06d}",
            krn=held.krn,
            tariff_index=held.tariff_index,
            key_type=KeyType(held.key_type),
            ea=int(held.algorithm),
        )
        await self._answer()
        return configuration

    async def _hop(self) -> None:
        """The request travels; after it the meter may know."""
        self.fuse.touch()
        await asyncio.sleep(0.05)
        if self.meter.faults.busy:
            raise NotSent("busy")
        if self.meter.faults.silent:
            await asyncio.sleep(ANSWER_TIMEOUT_S)
            raise NoAnswer("silence")
        self._live()

    def _live(self) -> None:
        try:
            self.meter._wake(self.clock.now())
        except MeterDown as error:
            raise NoAnswer("silence") from error

    async def _answer(self) -> None:
        """The answer travels back, unless it is lost; before it arrives we may be dead."""
        fate = self.meter.faults.next_fate()
        if fate.lost or fate.garbled or fate.delay_s > ANSWER_TIMEOUT_S:
            await asyncio.sleep(ANSWER_TIMEOUT_S)
            raise NoAnswer("silence")
        await asyncio.sleep(0.05 + fate.delay_s)
        self.fuse.touch()


def outcome_of(entry: TokenEntry) -> TokenOutcome:
    return TokenOutcome(
        result=entry.result,
        tid=entry.tid,
        amount=Decimal(entry.amount_milli) / 1000 if entry.result.taken else None,
        credit_after=Decimal(entry.credit_after_milli) / 1000,
        lockout_s=entry.lockout_s,
        at=entry.at,
    )


@dataclass
class Wire:
    """The driver of the world's one bus."""

    meters: dict[Drn, SimulatedMeter]
    fuse: Fuse
    clock: LoopClock
    can: Capability = ALL

    def capabilities(self, profile: ProfileName) -> Capability:
        return self.can

    def open(
        self, meter: Meter, *, urgency: Urgency = Urgency.READING
    ) -> AbstractAsyncContextManager[WireSession]:
        return self._open(meter)

    @asynccontextmanager
    async def _open(self, meter: Meter) -> AsyncIterator[WireSession]:
        yield WireSession(self.meters[meter.drn], self.fuse, self.clock)


@dataclass
class Postman:
    """Hands notes over, and keeps them; `down` tells nobody."""

    fuse: Fuse = field(default_factory=Fuse)
    given: list[Note] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    down: bool = False

    async def tell(self, alert: Alert) -> None:
        self.fuse.touch()
        await asyncio.sleep(0.2)
        if self.down:
            raise NotSent("nobody answers")
        self.alerts.append(alert)
        self.fuse.touch()

    async def give(self, note: Note) -> Sequence[Dispatch]:
        self.fuse.touch()
        await asyncio.sleep(0.2)
        if self.down:
            raise NotSent("nobody answers")
        self.given.append(note)
        self.fuse.touch()
        return [Dispatch(contact=to, provider="postman", reference=note.id) for to in note.contacts]


class World:
    """Meters, store and people outlive every process of the head-end."""

    def __init__(self, store: Store, *, seed: int = 1, start: datetime = START) -> None:
        self.store = store
        self.clock = LoopClock(start)
        self.chance = SeededChance(seed)
        self.meters: dict[Drn, SimulatedMeter] = {}
        self.base_date = BaseDate.Y2014
        self.postman = Postman()
        self.masters = MasterKeys(MasterKey(bytes(range(32))))

    async def set_up(self, *drns: str, base_date: int = 2014, **settings: object) -> None:
        """A tenant with the public test key, and meters with 5 kWh each."""
        now = self.clock.now()
        self.base_date = BaseDate(base_date)
        key = KeyToImport(sgc=SGC, krn=1, base_date=base_date, ken=255, mark="test", key=TEST_KEY)
        async with self.store.begin() as tx:
            await tx.tenants.ensure(TENANT, now)
        await import_keys(self.store, self.masters, [key], tenant=TENANT, now=now)
        for drn in drns:
            await self.add_meter(drn, **settings)

    async def add_meter(self, drn: str, **settings: object) -> None:
        plate = Plate.keyed(
            drn,
            VendingKey(
                value=bytes.fromhex(TEST_KEY),
                dkga=Dkga.HMAC_SHA_256,
                sgc=int(SGC),
                krn=1,
                base_date=self.base_date,
                ken=255,
                key_type=StsKeyType.UNIQUE,
            ),
            made_at=datetime(2020, 1, 1, tzinfo=UTC),
        )
        self.meters[Drn(drn)] = SimulatedMeter(
            plate,
            self.clock.now(),
            settings=MeterSettings(**settings),  # type: ignore[arg-type] # tests name the fields
            credit_milli=5_000,
        )
        async with self.store.begin() as tx:
            await tx.meters.add(a_record(drn, self.clock.now()))

    async def put_group(self, **changes: object) -> None:
        group = SupplyGroup(tenant=TENANT, sgc=SGC, changed_at=self.clock.now())
        async with self.store.begin() as tx:
            changed = replace(group, **changes)  # type: ignore[arg-type] # tests name the fields
            await tx.supply_groups.put(changed, was=None)

    def process(self, fuse: Fuse | None = None) -> "Process":
        return Process(self, fuse or Fuse())

    async def recharge_of(self, ident: str) -> Recharge | None:
        async with self.store.look() as tx:
            return await tx.recharges.find(TENANT, ident)

    async def delivery_of(self, ident: str) -> Delivery | None:
        async with self.store.look() as tx:
            return await tx.deliveries.of(ident, TENANT)

    def credited(self, drn: str) -> Decimal:
        """What the meter was credited since set-up, in kWh."""
        meter = self.meters[Drn(drn)]
        return Decimal(meter.credit_milli + meter.import_milli - 5_000) / 1000


def a_poll_of(drn: str, due_at: datetime, *, interval_s: int) -> Poll:
    return Poll(tenant=TENANT, drn=Drn(drn), bus=BUS, due_at=due_at, interval_s=interval_s)


def a_record(drn: str, now: datetime) -> Meter:
    return Meter(
        tenant=TENANT,
        drn=Drn(drn),
        service=Service.ELECTRICITY,
        profile=ProfileName("stsm"),
        route=Route(BUS, drn),
        sts=StsConfiguration(SGC, 1, 1, KeyType.UNIQUE, 11),
        keypad=Keypad.METER,
        changed_at=now,
    )


class Process:
    """One life of the head-end, until cancelled or killed."""

    def __init__(self, world: World, fuse: Fuse) -> None:
        self.fuse = fuse
        store = MortalStore(world.store, fuse)
        world.postman.fuse = fuse
        wire = Wire(world.meters, fuse, world.clock)
        intake = Intake(store, world.clock, world.chance)
        ports = BusPorts(store=store, clock=world.clock, chance=world.chance, intake=intake)
        self.bus = Bus(BUS, slots=4, driver=wire, ports=ports)
        self.intake = intake
        vault = SoftwareVault(store, world.masters, clock=world.clock)
        self.desk = RechargeDesk(store, vault, self, clock=world.clock, chance=world.chance)
        self.keys = KeyDesk(store, vault, self, clock=world.clock, chance=world.chance)
        self.commands = CommandDesk(store, self, clock=world.clock, chance=world.chance)
        self.tending = Tending(
            store,
            world.postman,
            clock=world.clock,
            chance=world.chance,
            wake=self.bus.wake,
        )

        self.watch = Watch(store, world.postman, clock=world.clock, chance=world.chance)

    def capabilities(self, meter: Meter) -> Capability:
        return ALL

    def wake(self, bus: BusName) -> None:
        self.bus.wake()

    async def serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.bus.serve())
            group.create_task(self.tending.serve())
            group.create_task(self.watch.serve())
            group.create_task(self._sweep())

    async def _sweep(self) -> None:
        while True:
            await self.desk.finish_open_recharges()
            await asyncio.sleep(60)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Process"]:
        """Serve in the background; a process that was killed on the way just stops."""
        serving = asyncio.create_task(self.serve())
        try:
            yield self
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError, BaseExceptionGroup, Killed):
                await serving


def order(ident: str, drn: str, kwh: str = "10", **more: object) -> RechargeOrder:
    plain = RechargeOrder(
        tenant=TENANT,
        id=ident,
        drn=drn,
        amount=Units.parse(kwh, Unit.KWH),
        fallback_to=(NEIGHBOUR,),
    )
    return replace(plain, **more)  # type: ignore[arg-type] # tests name the fields


async def until(fact: Callable[[], object], *, within_s: float) -> None:
    """Wait, in the loop's time, until a coroutine function tells something true."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while loop.time() < end:
        told = fact()
        if await told if asyncio.iscoroutine(told) else told:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {within_s} s")
