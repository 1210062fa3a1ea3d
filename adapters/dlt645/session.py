"""A conversation with a DL/T 645 meter: readings, supply, clock, events. Satisfies `ports.Session`.

Tokens do not travel by this dialect: recharges of such meters need the utility's security module,
or the keypad.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import NoReturn

from adapters.dlt645.access import Authority
from adapters.dlt645.meter_logs import LogMarks, MeterLogs
from adapters.dlt645.profile import Profile
from adapters.dlt645.station import Station
from headend.commands import SetSupply
from headend.credit_parameters import CreditParameters
from headend.deliveries import Confirmation
from headend.errors import Misconfigured, NoAnswer, Refused, Unsupported, WireError
from headend.events import MeterEvent
from headend.meters import Meter, StsConfiguration
from headend.ports import Clock
from headend.readings import CLOCK_DRIFT, Reading
from headend.supply import Contacts, ControlState, Supply, SupplyAction
from headend.tokens import Token, TokenOutcome
from protocols.dlt645.data import QUANTITIES, time_of
from protocols.dlt645.errors import MalformedData
from protocols.dlt645.orders import (
    DATE_IDENTIFIER,
    TIME_IDENTIFIER,
    Control,
    set_date_value,
    set_time_value,
)
from protocols.dlt645.status import STATUS_WORD_3, supply_status

_ORDERS = {
    SupplyAction.OPEN: Control.TRIP,
    SupplyAction.PERMIT_CLOSE: Control.PERMIT_CLOSE,
}
# Logs take many questions; on a crowded line they must not cost the readings before them.
EVENTS_S = 25.0
# Its units are kW, kWh, V, A and Hz; ours are thousandths of them.
_MILLI = 1000


class Dlt645Session:
    """One meter, as long as the conversation lasts."""

    def __init__(
        self,
        station: Station,
        meter: Meter,
        profile: Profile,
        *,
        marks: LogMarks,
        authority: Authority | None,
        zone: tzinfo,
        clock: Clock,
    ) -> None:
        self._station = station
        self._meter = meter
        self._profile = profile
        self._marks = marks
        self._authority = authority
        self._zone = zone
        self._clock = clock

    async def read(self) -> Sequence[Reading]:
        """What the meter has of the profile's readings."""
        readings = []
        for kind, identifier in self._profile.readings.items():
            taken_at = self._clock.now()
            try:
                raw = await self._station.read(identifier)
            except Unsupported:
                continue
            try:
                value = QUANTITIES[identifier].value(raw)
            except MalformedData as error:
                raise NoAnswer(f"meter {self._station.address}: {error}") from error
            if value is not None:
                readings.append(
                    Reading(
                        tenant=self._meter.tenant,
                        drn=self._meter.drn,
                        type=kind,
                        value=int((value * _MILLI).to_integral_value()),
                        taken_at=taken_at,
                        received_at=self._clock.now(),
                    )
                )
        return readings

    async def supply(self) -> Supply:
        raw = await self._station.read(STATUS_WORD_3)
        try:
            status = supply_status(raw)
        except MalformedData as error:
            raise NoAnswer(f"meter {self._station.address}: {error}") from error
        if status.open_ordered:
            control = ControlState.DISCONNECTED
        else:
            control = ControlState.READY if status.relay_open else ControlState.CONNECTED
        return Supply(
            contacts=Contacts.OPEN if status.relay_open else Contacts.CLOSED,
            control=control,
            taken_at=self._clock.now(),
        )

    async def set_supply(self, order: SetSupply, *, order_id: str) -> None:
        request = await self._obeyed.control(
            self._station.address,
            _ORDERS[order.action],
            until=order.expires_at.astimezone(self._zone),
        )
        await self._station.ask(request)

    async def set_clock(self, now: datetime) -> Confirmation:
        """Date and time are two parameters; at midnight the second one is made anew."""
        address, local = self._station.address, now.astimezone(self._zone)
        date = await self._obeyed.write(address, DATE_IDENTIFIER, set_date_value(local))
        await self._station.ask(date)
        try:
            local = self._clock.now().astimezone(self._zone)
            time = await self._obeyed.write(address, TIME_IDENTIFIER, set_time_value(local))
            await self._station.ask(time)
        except WireError as error:
            raise NoAnswer(f"the date was set, the time perhaps not: {error}") from error
        return await self._clock_read_back()

    async def _clock_read_back(self) -> Confirmation:
        try:
            date = await self._station.read(DATE_IDENTIFIER)
            time = await self._station.read(TIME_IDENTIFIER)
            shown = time_of(time + date[1:], self._zone)
        except Unsupported:
            return Confirmation.ECHO
        except (WireError, MalformedData) as error:
            raise NoAnswer(f"the clock was set, and not read back: {error}") from error
        off = None if shown is None else abs(shown - self._clock.now())
        if off is None or off > CLOCK_DRIFT:
            told = "no time" if off is None else f"{off.total_seconds():.0f} s off"
            raise Refused(f"the meter's clock shows {told} after it was set")
        return Confirmation.READ_BACK

    @property
    def _obeyed(self) -> Authority:
        if self._authority is None:
            raise Misconfigured(
                "this line has neither a password nor a signer for orders to DL/T 645 meters"
            )
        return self._authority

    async def events(self, *, after: int) -> Sequence[MeterEvent]:
        """What its logs have above this number, and what stands now, told once a day."""
        logs = MeterLogs(self._station, self._meter, self._marks, zone=self._zone)
        try:
            async with asyncio.timeout(EVENTS_S):
                return await logs.events(after=after, received_at=self._clock.now())
        except TimeoutError as error:
            raise NoAnswer(f"meter {self._station.address}: no time for its logs") from error

    async def history(self, *, since: datetime | None) -> Sequence[Reading]:
        self._refuse("tells no history by this dialect")

    async def enter_token(self, token: Token, *, attempt: int) -> TokenOutcome:
        self._refuse("takes no tokens by this dialect")

    async def token_outcome(self, token: Token) -> TokenOutcome | None:
        self._refuse("tells nothing of tokens by this dialect")

    async def set_credit_parameters(self, change: CreditParameters) -> None:
        self._refuse("takes no credit parameters by this dialect")

    async def sts_configuration(self) -> StsConfiguration:
        self._refuse("tells nothing of its decoder key by this dialect")

    def _refuse(self, what: str) -> NoReturn:
        raise Unsupported(f"a meter of profile {self._profile.name} {what}")
