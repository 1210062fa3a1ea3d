"""Wiring of field lines: what is spoken on one, and by which driver each meter is met.

A Modbus TCP gateway speaks Modbus alone. On a serial line, or inside a transparent serial server,
meters of several dialects share the pair of wires and its one owner.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.dlt645.access import Authority, ExternalSigner, load_password
from adapters.dlt645.driver import Dlt645Driver
from adapters.dlt645.profile import Profile as Dlt645Profile
from adapters.dlt645.profile import load_profiles as load_dlt645_profiles
from adapters.iec62056_21.driver import Iec62056Driver
from adapters.iec62056_21.profile import Profile as Iec62056Profile
from adapters.iec62056_21.profile import load_profiles as load_iec62056_profiles
from adapters.modbus.driver import ModbusDriver
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile import Profile as ModbusProfile
from adapters.modbus.profile_files import load_profiles as load_modbus_profiles
from adapters.transport.line import Line
from api.dialects import Dialect
from api.settings import Dlt645, ModbusBus
from headend.agenda import Urgency
from headend.errors import Misconfigured
from headend.meters import Capability, Meter, ProfileName
from headend.ports import Clock, Driver, Session


@dataclass(frozen=True, slots=True)
class LineProfiles:
    """The meter models of every dialect that is spoken on lines."""

    modbus: Mapping[ProfileName, ModbusProfile]
    dlt645: Mapping[ProfileName, Dlt645Profile]
    iec62056_21: Mapping[ProfileName, Iec62056Profile]

    def every(self) -> dict[ProfileName, Capability]:
        """What each model can do."""
        return {
            **{name: profile.can for name, profile in self.modbus.items()},
            **{name: profile.can for name, profile in self.dlt645.items()},
            **dict.fromkeys(self.iec62056_21, Capability.READ),
        }

    def spoken(self, bus: ModbusBus) -> frozenset[ProfileName]:
        """The models that can be met on a bus."""
        return frozenset(self.modbus if bus.framed == "tcp" else self.every())


def load_line_profiles(folders: Sequence[Path]) -> LineProfiles:
    """Shipped profiles and those of the folders `modbus`, `dlt645`, `iec62056-21` in each."""
    return LineProfiles(
        load_modbus_profiles(*(folder / Dialect.MODBUS for folder in folders)),
        load_dlt645_profiles(*(folder / Dialect.DLT645 for folder in folders)),
        load_iec62056_profiles(*(folder / Dialect.IEC62056_21 for folder in folders)),
    )


class SharedLine:
    """Satisfies `ports.Driver` with several dialects; the profile of a meter tells which is its."""

    def __init__(self, drivers: Sequence[Driver]) -> None:
        self._drivers = drivers

    def capabilities(self, profile: ProfileName) -> Capability:
        found = (driver.capabilities(profile) for driver in self._drivers)
        return next((can for can in found if can), Capability.NONE)

    @asynccontextmanager
    async def open(
        self, meter: Meter, *, urgency: Urgency = Urgency.READING
    ) -> AsyncIterator[Session]:
        """Raises Misconfigured for a profile that nobody here knows."""
        for driver in self._drivers:
            if driver.capabilities(meter.profile):
                async with driver.open(meter, urgency=urgency) as session:
                    yield session
                return
        raise Misconfigured(f"no profile of this line is called {meter.profile}")


def open_line(
    settings: ModbusBus, profiles: LineProfiles, clock: Clock, stack: AsyncExitStack
) -> tuple[Driver, ModbusLine]:
    """A driver for all that is spoken on a bus, and its line; closed with the stack.

    Raises ValueError (the URL), Misconfigured.
    """
    if settings.framed == "tcp":
        gateway = ModbusLine(
            settings.url,
            framing="tcp",
            timeout_s=settings.timeout_s,
            in_flight=settings.in_flight,
        )
        stack.push_async_callback(gateway.aclose)
        return ModbusDriver(gateway, profiles.modbus, clock), gateway
    line = Line(settings.url, timeout_s=settings.timeout_s, quiet_s=settings.quiet_s)
    stack.push_async_callback(line.aclose)
    modbus = ModbusLine.on(line)
    dlt645 = settings.dlt645 or Dlt645()
    drivers: Sequence[Driver] = (
        ModbusDriver(modbus, profiles.modbus, clock),
        Dlt645Driver(
            line,
            profiles.dlt645,
            clock,
            zone=dlt645.zone,
            authority=_authority(dlt645, stack),
        ),
        Iec62056Driver(line, profiles.iec62056_21, clock),
    )
    return SharedLine(drivers), modbus


def _authority(settings: Dlt645, stack: AsyncExitStack) -> Authority | None:
    if settings.signer_url is not None:
        token = settings.signer_token
        signer = ExternalSigner(
            settings.signer_url, bearer=token.get_secret_value() if token else None
        )
        stack.push_async_callback(signer.aclose)
        return signer
    return load_password(settings.password_file) if settings.password_file else None
