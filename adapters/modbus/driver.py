"""ModbusDriver: sessions with the meters of one line, each by its profile."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from adapters.modbus.acquaintance import acquaint
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile import Profile
from adapters.modbus.readings import ReadingSession
from adapters.modbus.stsm import StsmSession
from adapters.modbus.unit import Memory, Unit
from headend.agenda import Urgency
from headend.errors import Misconfigured
from headend.meters import Capability, Meter, ProfileName
from headend.ports import Clock, Session

UNITS = range(1, 248)

_SESSIONS: Mapping[str | None, Callable[..., Session]] = {
    None: ReadingSession,
    "stsm": StsmSession,
}


class ModbusDriver:
    """Satisfies `ports.Driver` for one line.

    The first conversation with a meter, and the first after a silence or a long gap, asks who is
    there before anything else.
    """

    def __init__(
        self, line: ModbusLine, profiles: Mapping[ProfileName, Profile], clock: Clock
    ) -> None:
        self._line = line
        self._profiles = profiles
        self._clock = clock
        self._memories: dict[int, Memory] = {}

    def capabilities(self, profile: ProfileName) -> Capability:
        """What a profile can do; NONE for one that is not of Modbus."""
        found = self._profiles.get(profile)
        return found.can if found else Capability.NONE

    @asynccontextmanager
    async def open(
        self, meter: Meter, *, urgency: Urgency = Urgency.READING
    ) -> AsyncIterator[Session]:
        """Raises Misconfigured (address, profile, another meter there) and NotSent (nobody)."""
        profile = self._profiles.get(meter.profile)
        if profile is None:
            raise Misconfigured(f"no Modbus profile is called {meter.profile}")
        unit = self._unit(meter, urgency)
        known = unit.known(profile.name, meter) or await acquaint(unit, meter, profile)
        unit.meet_with(partial(acquaint, unit, meter, profile))
        session = _SESSIONS[profile.blocks]
        yield session(unit, meter, known=known, clock=self._clock)

    def _unit(self, meter: Meter, urgency: Urgency) -> Unit:
        address = meter.route.address if meter.route else ""
        if not (address.isascii() and address.isdigit()) or int(address) not in UNITS:
            raise Misconfigured(
                f"{address!r} is no unit of a Modbus line: write a number from 1 to 247"
            )
        number = int(address)
        memory = self._memories.setdefault(number, Memory())
        return Unit(self._line, number, memory, urgency=urgency)
