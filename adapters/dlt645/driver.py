"""Dlt645Driver: sessions with the DL/T 645 meters of one line."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import tzinfo

from adapters.dlt645.access import Authority
from adapters.dlt645.meter_logs import LogMarks
from adapters.dlt645.profile import Profile
from adapters.dlt645.session import Dlt645Session
from adapters.dlt645.station import Station
from adapters.transport.line import Line
from headend.agenda import Urgency
from headend.errors import Misconfigured
from headend.meters import Capability, Meter, ProfileName
from headend.ports import Clock, Session
from protocols.dlt645.frame import ADDRESS_DIGITS


class Dlt645Driver:
    """Satisfies `ports.Driver`. `zone` is that of the meters' clocks, `authority` may be missing:
    then meters can be read only.
    """

    def __init__(
        self,
        line: Line,
        profiles: Mapping[ProfileName, Profile],
        clock: Clock,
        *,
        zone: tzinfo,
        authority: Authority | None = None,
    ) -> None:
        self._line = line
        self._profiles = profiles
        self._clock = clock
        self._zone = zone
        self._authority = authority
        self._marks: dict[str, LogMarks] = {}

    def capabilities(self, profile: ProfileName) -> Capability:
        """What a profile can do; NONE for one of another dialect."""
        found = self._profiles.get(profile)
        return found.can if found else Capability.NONE

    @asynccontextmanager
    async def open(
        self, meter: Meter, *, urgency: Urgency = Urgency.READING
    ) -> AsyncIterator[Session]:
        """Raises Misconfigured (address, profile)."""
        profile = self._profiles.get(meter.profile)
        if profile is None:
            raise Misconfigured(f"no DL/T 645 profile is called {meter.profile}")
        address = _address(meter)
        yield Dlt645Session(
            Station(self._line, address, urgency=urgency),
            meter,
            profile,
            marks=self._marks.setdefault(address, LogMarks()),
            authority=self._authority,
            zone=self._zone,
            clock=self._clock,
        )


def _address(meter: Meter) -> str:
    address = meter.route.address if meter.route else ""
    if not (address.isascii() and address.isdigit()) or len(address) > ADDRESS_DIGITS:
        raise Misconfigured(
            f"{address!r} is no DL/T 645 address: write its digits, at most {ADDRESS_DIGITS}"
        )
    return address.rjust(ADDRESS_DIGITS, "0")
