"""Wiring for a person in the field: one line, opened by a command instead of by the head-end.

A line of the settings is borrowed first, so that it never has two masters.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum, unique
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import ValidationError

from adapters.dlt645.alone import AloneByDlt645
from adapters.iec62056_21.alone import AloneByReadOut
from adapters.modbus.driver import UNITS
from adapters.modbus.line import LineFraming, ModbusLine
from adapters.modbus.profile import Profile
from adapters.modbus.strangers import meter_told, models_of, narrowed, read_stranger, stranger
from adapters.modbus.survey import Survey
from adapters.transport.address import parse_address
from adapters.transport.line import Line
from api.dialects import Dialect
from api.line_wiring import LineProfiles, load_line_profiles, open_line
from api.settings import ModbusBus, Settings, SettingsRefused
from api.wiring import new_chance, new_clock, open_store
from headend.discovery import Alone
from headend.errors import Misconfigured, NotSent
from headend.field_readings import FieldReading
from headend.lending import Borrower, LineNotLent
from headend.meters import BusName, ProfileName
from headend.ports import Clock, Driver

AUTO = "auto"


@unique
class PointToPoint(StrEnum):
    """The dialects in which whoever is alone on a line can be asked who it is."""

    DLT645 = Dialect.DLT645
    IEC62056_21 = Dialect.IEC62056_21


Tell = Callable[[str], None]
Framing = LineFraming


@dataclass(frozen=True, slots=True)
class ChosenLine:
    """What LINE of a command means; `bus` is its name in the settings, if it is there."""

    settings: ModbusBus
    bus: BusName | None

    @property
    def serial(self) -> bool:
        """A port of this machine, which one process can open at a time."""
        return self.settings.url.startswith("serial:")

    @property
    def label(self) -> str:
        return str(parse_address(self.settings.url)) if self.bus is None else str(self.bus)


def choose_line(
    settings: Settings, text: str, *, framing: Framing | None, timeout_s: float | None
) -> ChosenLine:
    """A bus of the settings by name or by its address, or any URL of a line.

    Raises SettingsRefused.
    """
    told = {"framing": framing.value if framing else None, "timeout_s": timeout_s}
    more = {name: value for name, value in told.items() if value is not None}
    lines = {BusName(k): bus for k, bus in settings.buses.items() if isinstance(bus, ModbusBus)}
    if known := lines.get(BusName(text)):
        return ChosenLine(known.model_copy(update=more), BusName(text))
    if "://" not in text:
        names = ", ".join(sorted(lines)) or "none"
        raise SettingsRefused(
            f"no line called {text} in the settings; there are: {names}. Or write a URL such as"
            " serial:///dev/ttyUSB0?baud=9600&parity=E or tcp://10.0.0.5:502"
        )
    try:
        address = parse_address(text)
        asked = ModbusBus.model_validate({"url": text, **more})
    except (ValidationError, ValueError) as error:
        raise SettingsRefused(f"{text}: {error}") from None
    same = (name for name, bus in lines.items() if str(parse_address(bus.url)) == str(address))
    return ChosenLine(asked, next(same, None))


class OurLine:
    """A line that is ours, and how long it has been."""

    def __init__(
        self,
        chosen: ChosenLine,
        driver: Driver,
        line: ModbusLine,
        *,
        profiles: LineProfiles,
        clock: Clock,
        stack: AsyncExitStack,
    ) -> None:
        self._stack = stack
        self.chosen = chosen
        self.line = line
        self.clock = clock
        self.profiles = profiles
        self._driver = driver
        self._alone: Line | None = None

    @property
    def models(self) -> Sequence[Profile]:
        """Every Modbus model, by name."""
        return [self.profiles.modbus[name] for name in sorted(self.profiles.modbus)]

    async def read(self, address: str, model: str) -> FieldReading:
        """All that one meter tells; AUTO names its model first.

        Raises the errors of the wire; Misconfigured for another model, or one that is not known.
        """
        try:
            return await self._read(address, model)
        except NotSent as error:
            raise self.explained(error) from error

    async def _read(self, address: str, model: str) -> FieldReading:
        name = ProfileName(model)
        if name in self.profiles.every() and name not in self.profiles.modbus:
            return await self._read_out(address, name)
        if not (address.isascii() and address.isdigit()) or int(address) not in UNITS:
            raise Misconfigured(f"{address!r} is no Modbus unit: write a number from 1 to 247")
        unit = stranger(self.line, int(address))
        if model != AUTO:
            if name not in self.profiles.modbus:
                names = ", ".join(sorted(self.profiles.every()))
                raise Misconfigured(f"no model is called {model}; there are: {names}, or {AUTO}")
            return await read_stranger(unit, self.profiles.modbus[name], self.clock)
        found = await narrowed(unit, await models_of(unit, self.models), self.clock)
        if len(found) == 1:
            return await read_stranger(unit, found[0], self.clock)
        if not found:
            raise Misconfigured(
                f"unit {address} answers, but is none of the models known here; say which with"
                " --model, or write one: docs/meter-models.md"
            )
        names = ", ".join(profile.name for profile in found)
        raise Misconfigured(
            f"unit {address} may be one of {names}, whose registers look alike: see its plate, and"
            " say which with --model"
        )

    async def survey(self, baud: int | None = None) -> Survey:
        """To ask who is on the line; `baud` changes its speed, which needs an idle line."""
        if baud is not None:
            await self.line.aclose()
            self.line = ModbusLine(
                _at(self.chosen.settings.url, baud), timeout_s=self.chosen.settings.timeout_s
            )
            self._stack.push_async_callback(self.line.aclose)
        return Survey(self.line, self.models, self.clock)

    async def alone(
        self, dialects: Sequence[PointToPoint], baud: int | None = None
    ) -> Sequence[Alone]:
        """To ask the one meter of a line that has no other; `baud` as in `survey`."""
        await self.line.aclose()
        settings = self.chosen.settings
        url = settings.url if baud is None else _at(settings.url, baud)
        line = Line(url, timeout_s=settings.timeout_s, quiet_s=settings.quiet_s)
        self._stack.push_async_callback(line.aclose)
        if self._alone is not None:
            await self._alone.aclose()
        self._alone = line
        known: Mapping[PointToPoint, Alone] = {
            PointToPoint.DLT645: AloneByDlt645(line, list(self.profiles.dlt645.values())),
            PointToPoint.IEC62056_21: AloneByReadOut(
                line, list(self.profiles.iec62056_21.values())
            ),
        }
        return [known[dialect] for dialect in dialects]

    async def _read_out(self, address: str, name: ProfileName) -> FieldReading:
        """By another dialect than Modbus."""
        if name in self.profiles.dlt645:
            expected = list(self.profiles.dlt645[name].readings)
        else:
            expected = list(self.profiles.iec62056_21[name].readings.values())
        meter = meter_told(None, name, address, self.clock.now())
        async with self._driver.open(meter) as session:
            readings = await session.read()
        kinds = {reading.type for reading in readings}
        untold = [kind for kind in expected if kind not in kinds]
        return FieldReading(profile=name, drn=None, readings=readings, untold=untold)

    def explained(self, error: NotSent) -> NotSent | LineNotLent:
        """What to do about a line that could never be opened."""
        if self.line.connections:
            return error
        advice = "see that nothing else has it open, and that it is plugged in"
        if self.chosen.bus is None:
            advice += "; if a head-end serves it, write the name of its bus"
        return LineNotLent(f"{error}; {advice}")


class Outage:
    """How long a head-end was without its line; None where none was."""

    def __init__(self) -> None:
        self.seconds: float | None = None

    @contextmanager
    def counted(self) -> Iterator[Callable[[], None]]:
        """From when the yielded function is called until the block is left."""
        loop = asyncio.get_running_loop()
        began: list[float] = []
        try:
            yield lambda: began.append(loop.time())
        finally:
            if began:
                self.seconds = round(loop.time() - began[0], 3)


@asynccontextmanager
async def our_line(
    settings: Settings,
    chosen: ChosenLine,
    *,
    work: str,
    tell: Tell,
    outage: Outage,
    unserved: bool = False,
) -> AsyncIterator[OurLine]:
    """A line in our hands as long as the block lasts.

    `unserved`: a person says that no head-end serves it. Raises LineNotLent, SettingsRefused,
    StoreDown.
    """
    async with AsyncExitStack() as stack:
        clock = new_clock()
        if chosen.bus is not None:
            begin = stack.enter_context(outage.counted())
            store = await stack.enter_async_context(open_store(settings))
            name = f"{work}, process {os.getpid()} at {socket.gethostname()}"
            borrower = Borrower(store, clock=clock, chance=new_chance(), name=name, tell=tell)
            ours = await stack.enter_async_context(borrower.borrow(chosen.bus))
            if ours.granted:
                begin()
                # A reply to what the head-end asked last may still be on its way.
                await asyncio.sleep(chosen.settings.quiet_s)
            else:
                _check_unserved(chosen, unserved=unserved)
                tell(f"no head-end serves {chosen.bus}: no outage")
        elif not chosen.serial:
            tell(f"{chosen.label} is no line of the settings: nothing keeps other masters off it")
        profiles = load_line_profiles(settings.profile_folders)
        try:
            driver, line = open_line(chosen.settings, profiles, clock, stack)
        except ValueError as error:
            raise SettingsRefused(f"{chosen.settings.url}: {error}") from None
        yield OurLine(chosen, driver, line, profiles=profiles, clock=clock, stack=stack)


def _check_unserved(chosen: ChosenLine, *, unserved: bool) -> None:
    """A serial port keeps a second master out by itself; a network does not."""
    if not chosen.serial and not unserved:
        raise LineNotLent(
            f"no head-end has taken notice that {chosen.bus} is wanted. If one serves it, see that"
            " it uses this database; if none does, say so with --unserved"
        )


def _at(url: str, baud: int) -> str:
    """The same serial port at another speed."""
    parts = urlsplit(url)
    settings = dict(parse_qsl(parts.query)) | {"baud": str(baud)}
    return f"serial://{parts.path}?{urlencode(settings)}"
