"""Wiring: the only module that knows every concrete class, and puts them together.

Everything else is given what it works with. A part that holds something (a port, a connection, a
child) is closed when the `async with` block is left, in the reverse order.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias

from pydantic import SecretStr

from adapters.chance import SystemChance
from adapters.clock import WallClock
from adapters.modbus.line import Way
from adapters.mqtt.address import parse_broker_url
from adapters.mqtt.broker import MqttLink
from adapters.mqtt.driver import MqttDriver
from adapters.mqtt.embedded import EmbeddedBroker
from adapters.mqtt.profile import Profile as MqttProfile
from adapters.mqtt.profile import load_profiles as load_mqtt_profiles
from adapters.mqtt.topics import FILTERS
from adapters.store import migrate as schema
from adapters.store.transaction import SqlStore
from api.backoffice_wiring import Bells, open_backoffice
from api.catalog import KnownModels, Switchboard
from api.folders import make_folder
from api.handover_wiring import open_router, receipt_books
from api.harm_wiring import open_harm_bounds
from api.head_end import HeadEnd, Work
from api.job_wiring import job_work
from api.line_wiring import LineProfiles, load_line_profiles, open_line
from api.settings import ModbusBus, MqttBus, Role, Settings, SettingsRefused
from api.vault_wiring import open_vending
from headend.bus import Bus
from headend.bus_ports import BusPorts
from headend.cap_desk import CapDesk
from headend.command_desk import CommandDesk
from headend.errors import HeadendError, Misconfigured, StoreDown
from headend.intake import Intake
from headend.job_desk import JobDesk
from headend.key_desk import KeyDesk
from headend.lending import Lender
from headend.lines import WatchedLine
from headend.listening import listen
from headend.meter_desk import MeterDesk
from headend.meters import BusName, ProfileName
from headend.outbox import Bell
from headend.ports import Driver
from headend.recharge_desk import RechargeDesk
from headend.store import Store
from headend.tending import Tending
from headend.watching import Watch
from headend.worklist_desk import WorkListDesk

# Credit that waits for the proof of a key change is issued by the sweeper.
SWEEP_EVERY_S = 10.0
EMBEDDED_BUS = BusName("mqtt")
MQTT = "mqtt"
MqttProfiles: TypeAlias = Mapping[ProfileName, MqttProfile]


class SchemaOld(HeadendError):
    """The database is not at the version that this release wants; the text says what to run."""


def new_clock() -> WallClock:
    return WallClock()


def new_chance() -> SystemChance:
    return SystemChance()


# --- the store --------------------------------------------------------------------------------


@asynccontextmanager
async def open_store(settings: Settings, announced: Bell | None = None) -> AsyncIterator[Store]:
    """The database, at the version of this release; raises SettingsRefused, SchemaOld, StoreDown.

    SQLite is brought up to date here; PostgreSQL wants `headend migrate`, run by a person.
    """
    url = settings.database_url.get_secret_value()
    try:
        if settings.embedded_database:
            await _migrate_file(url)
        else:
            await _require_newest(url)
        store = SqlStore.open(url, announced=announced)
    except ValueError as error:
        raise SettingsRefused(f"database_url: {error}") from None
    try:
        yield store
    finally:
        await store.aclose()


async def migrate_database(settings: Settings) -> tuple[str | None, str]:
    """Bring the schema to the newest version; the version before, and the one now."""
    url = settings.database_url.get_secret_value()
    try:
        if settings.embedded_database:
            make_folder(Path(url.partition("///")[2]).parent)
        before = await schema.current(url)
        await schema.migrate(url)
    except ValueError as error:
        raise SettingsRefused(f"database_url: {error}") from None
    return before, schema.newest()


async def database_version(settings: Settings) -> tuple[str | None, str]:
    """The version of the schema, None where there is none yet, and the one that is wanted.

    Changes nothing; raises SettingsRefused, StoreDown.
    """
    url = settings.database_url.get_secret_value()
    if settings.embedded_database and not _is_made(url):
        return None, schema.newest()
    try:
        return await schema.current(url), schema.newest()
    except ValueError as error:
        raise SettingsRefused(f"database_url: {error}") from None


def _is_made(url: str) -> bool:
    return Path(url.partition("///")[2]).exists()


async def _migrate_file(url: str) -> None:
    make_folder(Path(url.partition("///")[2]).parent)
    if await schema.current(url) != schema.newest():
        await schema.migrate(url)


async def _require_newest(url: str) -> None:
    version = await schema.current(url)
    if version != schema.newest():
        raise SchemaOld(
            f"the database is at version {version or 'none (empty)'}, this release wants"
            f" {schema.newest()}; run: headend migrate"
        )


# --- the head-end -----------------------------------------------------------------------------


@asynccontextmanager
async def head_end(settings: Settings) -> AsyncIterator[HeadEnd]:
    """Everything a process of this role needs, not yet running; closed when the block is left.

    Raises HeadendError for settings, keys or a database that cannot be used.
    """
    async with AsyncExitStack() as stack:
        yield await _assemble(settings, stack)


async def _assemble(settings: Settings, stack: AsyncExitStack) -> HeadEnd:
    clock, chance = new_clock(), new_chance()
    buses = _buses(settings)
    models = _models(settings, buses)
    if settings.embedded_broker is not None and settings.role is not Role.API:
        await stack.enter_async_context(EmbeddedBroker(settings.embedded_broker))
    bells = Bells()
    store = await stack.enter_async_context(open_store(settings, bells.announced))
    vending = await open_vending(settings, store, clock=clock, stack=stack)
    board = Switchboard(models)
    desk = RechargeDesk(store, vending.module, board, clock=clock, chance=chance)
    intake = Intake(store, clock, chance, announce_readings=settings.outbox.readings)
    ports = BusPorts(store=store, clock=clock, chance=chance, intake=intake)
    wires = _Wires(settings, ports, board, stack)
    lasts = timedelta(hours=settings.approvals_expire_h)
    commands = CommandDesk(store, board, clock=clock, chance=chance, approval_lasts=lasts)
    keys = KeyDesk(store, vending.module, board, clock=clock, chance=chance, approval_lasts=lasts)
    bounds = open_harm_bounds(store, commands, keys, clock=clock, chance=chance)
    if settings.role is not Role.API:
        wires.works += bounds.works
        desks = desk, commands, keys
        wires.works.append(job_work(ports, vending.module, board, desks, approval_lasts=lasts))
        for name, bus in buses.items():
            wires.add(name, bus)
        wires.works += await _tending(settings, ports, board, desk, stack)
    backoffice = open_backoffice(settings, store, bells, clock=clock, chance=chance, stack=stack)
    wires.works += backoffice.works
    return HeadEnd(
        store=store,
        vending=vending,
        clock=clock,
        chance=chance,
        catalog=models,
        recharges=desk,
        meters=_meter_desk(settings, store, models),
        commands=commands,
        keys=keys,
        approvals=bounds.approvals,
        caps=CapDesk(store, clock=clock, chance=chance, approval_lasts=lasts),
        worklist=WorkListDesk(store, clock=clock, chance=chance, wake=board.wake),
        jobs=JobDesk(store, clock=clock),
        intake=ports.intake,
        webhooks=backoffice.webhooks,
        streams=backoffice.streams,
        event_source=settings.outbox.source,
        works=wires.works,
        linked=wires.linked,
        receipt_books=receipt_books(settings.handover),
        lines=wires.lines,
    )


@asynccontextmanager
async def open_meters(settings: Settings) -> AsyncIterator[tuple[Store, MeterDesk]]:
    """The store and the desk of the meters, for work that needs no wire."""
    async with open_store(settings) as store:
        yield store, _meter_desk(settings, store, _models(settings, _buses(settings)))


def _meter_desk(settings: Settings, store: Store, models: KnownModels) -> MeterDesk:
    every_s = settings.poll_interval_s
    return MeterDesk(store, models, clock=new_clock(), poll_interval_s=every_s)


# --- buses ------------------------------------------------------------------------------------


def bus_names(settings: Settings) -> Sequence[BusName]:
    """The buses of the settings by name, the embedded broker's too."""
    return sorted(_buses(settings))


def _buses(settings: Settings) -> Mapping[BusName, ModbusBus | MqttBus]:
    """The buses of the settings, and that of the embedded broker."""
    buses = {BusName(name): bus for name, bus in settings.buses.items()}
    if settings.embedded_broker is None:
        return buses
    if EMBEDDED_BUS in buses:
        raise SettingsRefused(
            f"buses.{EMBEDDED_BUS}: the embedded broker has this name; leave out one of both"
        )
    return buses | {
        EMBEDDED_BUS: MqttBus(url=SecretStr(EmbeddedBroker(settings.embedded_broker).url))
    }


def _models(settings: Settings, buses: Mapping[BusName, ModbusBus | MqttBus]) -> KnownModels:
    lines, mqtt = _profiles(settings)
    return KnownModels(
        every=lines.every() | {name: profile.can for name, profile in mqtt.items()},
        spoken={
            name: lines.spoken(bus) if isinstance(bus, ModbusBus) else frozenset(mqtt)
            for name, bus in buses.items()
        },
    )


def _profiles(settings: Settings) -> tuple[LineProfiles, MqttProfiles]:
    """Shipped profiles, and those in the folder of each dialect in each set folder."""
    folders = settings.profile_folders
    return (
        load_line_profiles(folders),
        load_mqtt_profiles(*(folder / MQTT for folder in folders)),
    )


class _Wires:
    """The buses of this process and what runs for them, as they are put together."""

    def __init__(
        self, settings: Settings, ports: BusPorts, board: Switchboard, stack: AsyncExitStack
    ) -> None:
        self._ports = ports
        self._board = board
        self._stack = stack
        self._lines, self._mqtt = _profiles(settings)
        self.works: list[Work] = []
        self.linked: dict[BusName, Callable[[], bool]] = {}
        self.lines: dict[BusName, WatchedLine] = {}

    def add(self, name: BusName, settings: ModbusBus | MqttBus) -> None:
        """Put one bus together; raises SettingsRefused."""
        lender = None
        try:
            match settings:
                case ModbusBus():
                    driver, way = self._line(settings)
                    self.lines[name] = way
                    store, clock = self._ports.store, self._ports.clock
                    lender = Lender(name, way, store=store, clock=clock)
                case MqttBus():
                    driver = self._mqtt_driver(name, settings)
        except (ValueError, Misconfigured) as error:
            raise SettingsRefused(f"buses.{name}.url: {error}") from None
        bus = Bus(name, slots=settings.slots, driver=driver, ports=self._ports, lender=lender)
        self._board.served[name] = bus
        self.works.append(Work(f"bus {name}", bus.serve))

    def _line(self, settings: ModbusBus) -> tuple[Driver, Way]:
        driver, line = open_line(settings, self._lines, self._ports.clock, self._stack)
        return driver, line.way

    def _mqtt_driver(self, name: BusName, settings: MqttBus) -> MqttDriver:
        link = MqttLink(
            parse_broker_url(settings.url.get_secret_value()),
            client_id=settings.client_id or f"headend-{name}",
            filters=FILTERS,
            chance=self._ports.chance,
        )
        driver = MqttDriver(
            link,
            bus=name,
            profiles=self._mqtt,
            clock=self._ports.clock,
            chance=self._ports.chance,
        )
        self.works += [
            Work(f"link {name}", driver.run),
            Work(f"listener {name}", partial(listen, driver, self._ports.intake)),
        ]
        self.linked[name] = lambda: link.connected
        return driver


# --- people -----------------------------------------------------------------------------------


async def _tending(
    settings: Settings,
    ports: BusPorts,
    board: Switchboard,
    desk: RechargeDesk,
    stack: AsyncExitStack,
) -> Sequence[Work]:
    router = open_router(settings.handover, ports.clock)
    stack.push_async_callback(router.aclose)
    tending = Tending(
        ports.store, router, clock=ports.clock, chance=ports.chance, wake=board.wake_all
    )
    watch = Watch(ports.store, router, clock=ports.clock, chance=ports.chance)
    return [
        Work("tending", tending.serve),
        Work("watch", watch.serve),
        Work("sweeper", partial(_sweep, desk)),
    ]


async def _sweep(desk: RechargeDesk) -> None:
    """Finish what a crash has left open: at start, and every ten seconds."""
    while True:
        with suppress(StoreDown):
            await desk.finish_open_recharges()
        await asyncio.sleep(SWEEP_EVERY_S)
