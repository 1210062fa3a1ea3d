"""Iec62056Driver: sessions with the meters of one line that are read out by IEC 62056-21."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import NoReturn

from adapters.iec62056_21.profile import Profile
from adapters.iec62056_21.readout import numeric, read_out, reduced, require_maker
from adapters.transport.line import Line
from headend.agenda import Urgency
from headend.commands import SetSupply
from headend.credit_parameters import CreditParameters
from headend.deliveries import Confirmation
from headend.errors import Misconfigured, Unsupported
from headend.events import MeterEvent
from headend.meters import Capability, Meter, ProfileName, StsConfiguration
from headend.ports import Clock, Session
from headend.readings import Reading, ReadingType
from headend.supply import Supply
from headend.tokens import Token, TokenOutcome
from protocols.iec62056_21.messages import DataSet
from protocols.iec62056_21.sign_on import request

# Ours are thousandths of V, A, Hz and kW(h).
_MILLI = {"kWh": 1000, "kW": 1000, "V": 1000, "A": 1000, "Hz": 1000, "": 1000}
_WHOLE = {"Wh": 1, "W": 1, "MWh": 1_000_000, "mV": 1, "mA": 1}


class Iec62056Driver:
    """Satisfies `ports.Driver` for one line; its meters can be read and nothing else."""

    def __init__(self, line: Line, profiles: Mapping[ProfileName, Profile], clock: Clock) -> None:
        self._line = line
        self._profiles = profiles
        self._clock = clock

    def capabilities(self, profile: ProfileName) -> Capability:
        """What a profile can do; NONE for one of another dialect."""
        return Capability.READ if profile in self._profiles else Capability.NONE

    @asynccontextmanager
    async def open(
        self, meter: Meter, *, urgency: Urgency = Urgency.READING
    ) -> AsyncIterator[Session]:
        """Raises Misconfigured (address, profile)."""
        profile = self._profiles.get(meter.profile)
        if profile is None:
            raise Misconfigured(f"no IEC 62056-21 profile is called {meter.profile}")
        address = meter.route.address if meter.route else ""
        try:
            request(address)
        except ValueError as error:
            raise Misconfigured(f"{address!r}: {error}") from error
        yield ReadOutSession(self._line, meter, profile, clock=self._clock, urgency=urgency)


class ReadOutSession:
    """A meter that is read out whole. Satisfies `ports.Session`."""

    def __init__(
        self, line: Line, meter: Meter, profile: Profile, *, clock: Clock, urgency: Urgency
    ) -> None:
        self._line = line
        self._meter = meter
        self._profile = profile
        self._clock = clock
        self._urgency = urgency

    async def read(self) -> Sequence[Reading]:
        """What the read-out has of the profile's readings."""
        assert self._meter.route is not None
        address = self._meter.route.address
        taken_at = self._clock.now()
        who, data = await read_out(self._line, address, self._profile.check, urgency=self._urgency)
        require_maker(who, self._profile.maker, address)
        received_at = self._clock.now()
        found: dict[ReadingType, int] = {}
        for one in data:
            kind = self._profile.readings.get(reduced(one.address))
            if kind is not None and kind not in found:
                found[kind] = _value(one)
        return [
            Reading(
                tenant=self._meter.tenant,
                drn=self._meter.drn,
                type=kind,
                value=value,
                taken_at=taken_at,
                received_at=received_at,
            )
            for kind, value in found.items()
        ]

    async def events(self, *, after: int) -> Sequence[MeterEvent]:
        self._refuse()

    async def history(self, *, since: datetime | None) -> Sequence[Reading]:
        self._refuse()

    async def enter_token(self, token: Token, *, attempt: int) -> TokenOutcome:
        self._refuse()

    async def token_outcome(self, token: Token) -> TokenOutcome | None:
        self._refuse()

    async def supply(self) -> Supply:
        self._refuse()

    async def set_supply(self, order: SetSupply, *, order_id: str) -> None:
        self._refuse()

    async def set_clock(self, now: datetime) -> Confirmation:
        self._refuse()

    async def set_credit_parameters(self, change: CreditParameters) -> None:
        self._refuse()

    async def sts_configuration(self) -> StsConfiguration:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise Unsupported(f"a meter of profile {self._profile.name} is only read out")


def _value(one: DataSet) -> int:
    """In the unit of our reading types; raises NoAnswer for what is no number."""
    factor = (_MILLI | _WHOLE).get(one.unit)
    if factor is None:
        raise Misconfigured(f"{one.address} is told in {one.unit!r}, a unit that is not known")
    return int((Decimal(numeric(one)) * factor).to_integral_value())
