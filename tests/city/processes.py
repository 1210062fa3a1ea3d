"""Processes of the head-end: what `api/wiring.py` puts together, on the city's wires and store.

Desks, buses, drivers, listener, intake, tending, sweeper and vault are the real ones.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol, TypeVar

from adapters.modbus.driver import ModbusDriver
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import load_profiles as load_modbus_profiles
from adapters.mqtt.broker import MqttLink
from adapters.mqtt.driver import MqttDriver
from adapters.mqtt.profile import load_profiles as load_mqtt_profiles
from adapters.mqtt.topics import FILTERS
from adapters.vault.master_key import MasterKey, MasterKeys
from adapters.vault.software import SoftwareVault
from api.catalog import KnownModels, Switchboard
from api.harm_wiring import open_harm_bounds
from headend.bus import Bus
from headend.bus_ports import BusPorts
from headend.command_desk import CommandDesk
from headend.errors import HeadendError, ModuleDown, StoreDown
from headend.intake import Intake
from headend.key_desk import KeyDesk
from headend.listening import listen
from headend.meters import BusName, ProfileName
from headend.outbox import Bell
from headend.ports import Alert, Dispatch, Handover, Note
from headend.posting import PostingPorts, PostOffice
from headend.recharge_desk import RechargeDesk
from headend.store import Store
from headend.tending import Tending
from headend.tokens import Issued, TokenOrder
from headend.watching import Watch
from tests.city.books import Books, PlainSeals, Wire
from tests.city.broker import Broker, Link
from tests.city.database import Database
from tests.city.lines import CityLine
from tests.city.lives import Killed, Life
from tests.city.site import HostClock, Kind, Site
from tests.fakes import SeededChance

T = TypeVar("T")
SWEEP_EVERY_S = 10.0
BROKER_SLOTS = 8
LINE, BROKER = BusName("line"), BusName("broker")
STSM, GATEWAY = ProfileName("stsm"), ProfileName("amr-v1")
MASTERS = MasterKeys(MasterKey(bytes(range(32))))


class Surroundings(Protocol):
    """What a process reaches, beyond the site."""

    @property
    def site(self) -> Site: ...
    @property
    def database(self) -> Database: ...
    @property
    def broker(self) -> Broker: ...
    @property
    def line(self) -> CityLine: ...
    @property
    def books(self) -> Books: ...
    @property
    def chance(self) -> SeededChance: ...

    async def carry(self, note: Note) -> None: ...


@cache
def models() -> KnownModels:
    """What the shipped profiles can do, and which bus speaks which dialect."""
    modbus, mqtt = load_modbus_profiles(), load_mqtt_profiles()
    return KnownModels(
        every={
            **{name: one.can for name, one in modbus.items()},
            **{name: one.can for name, one in mqtt.items()},
        },
        spoken={LINE: frozenset(modbus), BROKER: frozenset(mqtt)},
    )


@dataclass(frozen=True, slots=True)
class Gone:
    """No answer: the process died, or took too long, or said that the caller shall come again."""

    why: str


@dataclass
class Post:
    """The way to the message provider from one process."""

    life: Life
    carry: Callable[[Note], Coroutine[Any, Any, None]]

    async def give(self, note: Note) -> Sequence[Dispatch]:
        self.life.require()
        await self.carry(note)
        self.life.require()
        reference = f"{note.id}/{note.taken}"
        return [
            Dispatch(contact=one, provider="city", reference=reference) for one in note.contacts
        ]


@dataclass
class Alarm:
    """The people in charge, who only listen."""

    life: Life

    async def tell(self, alert: Alert) -> None:
        self.life.require()


class ShakyVault(SoftwareVault):
    """The vault, which is away now and then."""

    def __init__(self, store: Store, site: Site, clock: HostClock) -> None:
        super().__init__(store, MASTERS, clock=clock)
        self._site = site
        self._luck = site.plan.luck(f"module {clock.loop.time()}")

    async def issue(self, order: TokenOrder, *, message_id: str) -> Issued:
        if self._site.has(Kind.MODULE) and self._luck.random() < 0.1:
            self._site.trace.fault(Kind.MODULE, order.drn, "the security module is away")
            raise ModuleDown("away")
        return await super().issue(order, message_id=message_id)


class Process:
    """One life of the head-end. `works`: it owns buses and tends; `answers`: it has REST."""

    def __init__(
        self, around: Surroundings, name: str, clock: HostClock, *, works: bool, answers: bool
    ) -> None:
        site = around.site
        self.life = Life(site.loop, name)
        self.works = works
        self.answers = answers
        self._site = site
        self._board = Switchboard(models())
        self._jobs: dict[str, Callable[[], Awaitable[None]]] = {}
        self._links: list[Link] = []
        self._serving: asyncio.Task[None] | None = None
        self._around = around
        self.life.context.run(self._put_together, around, clock)

    def _put_together(self, around: Surroundings, clock: HostClock) -> None:
        store: Store = around.database.client(self.life)
        chance = around.chance
        vault = ShakyVault(store, self._site, clock)
        self.recharges = RechargeDesk(store, vault, self._board, clock=clock, chance=chance)
        self.keys = KeyDesk(store, vault, self._board, clock=clock, chance=chance)
        self.commands = CommandDesk(store, self._board, clock=clock, chance=chance)
        self.intake = Intake(store, clock, chance)
        if not self.works:
            return
        ports = BusPorts(store=store, clock=clock, chance=chance, intake=self.intake)
        self._add_line(around, ports)
        self._add_broker(around, ports)
        post: Handover = Post(self.life, around.carry)
        tending = Tending(store, post, clock=clock, chance=chance, wake=self._board.wake_all)
        watch = Watch(store, Alarm(self.life), clock=clock, chance=chance)
        bounds = open_harm_bounds(store, self.commands, self.keys, clock=clock, chance=chance)
        self._jobs |= {work.name: work.run for work in bounds.works}
        office = PostOffice(
            PostingPorts(
                store=store,
                receivers=Wire(around.books, self.life),
                seals=PlainSeals(),
                clock=clock,
                chance=chance,
                announced=Bell(),
                ordered=Bell(),
            ),
            source="urn:city",
        )
        self._jobs |= {
            "tending": tending.serve,
            "watch": watch.serve,
            "post office": office.serve,
            "sweeper": partial(_sweep, self.recharges),
        }

    def _add_line(self, around: Surroundings, ports: BusPorts) -> None:
        line = ModbusLine(
            "tcp://line:502",
            framing=around.line.framing_name,
            timeout_s=1.0,
            quiet_s=0.5,
            opener=around.line.opener(self.life),
        )
        driver = ModbusDriver(line, load_modbus(), ports.clock)
        self._serve_bus(Bus(LINE, slots=1, driver=driver, ports=ports))

    def _add_broker(self, around: Surroundings, ports: BusPorts) -> None:
        link = Link(
            around.broker,
            self.life,
            client_id=f"headend-{BROKER}",
            filters=FILTERS,
            chance=ports.chance,
        )
        driver = MqttDriver(
            cast_link(link),
            bus=BROKER,
            profiles=load_mqtt(),
            clock=ports.clock,
            chance=ports.chance,
        )
        self._links.append(link)
        self._jobs |= {"link": driver.run, "listener": partial(listen, driver, self.intake)}
        self._serve_bus(Bus(BROKER, slots=BROKER_SLOTS, driver=driver, ports=ports))

    def _serve_bus(self, bus: Bus) -> None:
        self._board.served[bus.name] = bus
        self._jobs[f"bus {bus.name}"] = bus.serve

    # --- its life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Run everything of it, as `api/serving.py` does."""
        self._serving = self.life.run(self._serve())

    async def _serve(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for job in self._jobs.values():
                    group.create_task(_run(job))
        except BaseExceptionGroup as errors:
            self._crashed(errors)
        finally:
            if not self.life.dead and self.works:
                self._site.loop.later(0.0, self.life.kill)

    def _crashed(self, errors: BaseExceptionGroup[BaseException]) -> None:
        """A programming error ends a process: that must never happen."""
        if self.life.dead or errors.split(Killed)[1] is None:
            return
        self._site.violated("a process ended by an error", "", f"{self.life.name}: {_all(errors)}")

    def stop(self) -> None:
        """SIGTERM: buses give back their leases."""
        if self._serving is not None:
            self._serving.cancel()

    def freeze(self) -> None:
        """SIGSTOP, and what the others notice of it."""
        self.life.freeze()
        self._around.database.hangs(self.life)
        for link in self._links:
            link.hangs()

    async def ask(
        self, asked: Callable[["Process"], Coroutine[Any, Any, T]], timeout_s: float
    ) -> T | Gone | HeadendError:
        """One request to its REST interface; an OrderRefused comes back as the answer it is."""
        task = self.life.run(asked(self))
        await asyncio.wait(
            {task, self.life.died}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if not task.done() or self.life.dead:
            task.add_done_callback(_looked_at)
            return Gone("no answer")
        error = task.exception()
        if error is None:
            answer: T = task.result()
            return answer
        if isinstance(error, HeadendError):
            return error
        if not isinstance(error, Killed):
            self._site.violated("REST answers 500", "", repr(error))
        return Gone(repr(error))


@cache
def load_modbus() -> Mapping[ProfileName, Any]:
    return load_modbus_profiles()


@cache
def load_mqtt() -> Mapping[ProfileName, Any]:
    return load_mqtt_profiles()


def cast_link(link: Link) -> MqttLink:
    """It satisfies by shape what the driver asks of its link."""
    return link  # type: ignore[return-value] # the driver names the class, and asks four methods


async def _run(job: Callable[[], Awaitable[None]]) -> None:
    await job()


async def _sweep(desk: RechargeDesk) -> None:
    while True:
        with suppress(StoreDown):
            await desk.finish_open_recharges()
        await asyncio.sleep(SWEEP_EVERY_S)


def _looked_at(task: "asyncio.Future[Any]") -> None:
    if not task.cancelled():
        task.exception()


def _all(errors: BaseExceptionGroup[BaseException]) -> str:
    return "; ".join(
        _all(error) if isinstance(error, BaseExceptionGroup) else repr(error)
        for error in errors.exceptions
    )
