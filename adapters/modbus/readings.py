"""Readings of a Modbus meter by its profile, and what else plain registers offer: supply, clock."""

from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn

from adapters.modbus.block_reads import BlockReads
from adapters.modbus.frames import Table
from adapters.modbus.plausibility import nonsense
from adapters.modbus.profile import RegisterReading
from adapters.modbus.register_clock import set_clock
from adapters.modbus.register_supply import order_supply, read_supply
from adapters.modbus.unit import Acquaintance, Unit
from headend.commands import SetSupply
from headend.credit_parameters import CreditParameters
from headend.deliveries import Confirmation
from headend.errors import Misconfigured, Unsupported
from headend.events import MeterEvent
from headend.meters import Meter, StsConfiguration
from headend.ports import Clock
from headend.readings import Quality, Reading, ReadingType
from headend.supply import Supply
from headend.tokens import Token, TokenOutcome


class ReadingSession:
    """A conversation with a meter of plain registers. Satisfies `ports.Session`."""

    def __init__(self, unit: Unit, meter: Meter, *, known: Acquaintance, clock: Clock) -> None:
        self._unit = unit
        self._meter = meter
        self._known = known
        self._profile = known.profile
        model = f"{known.profile.name} {known.profile.variant or ''}"
        self._reads = BlockReads(unit, model=model, limits=known.profile.limits)
        self._clock = clock

    async def read(self) -> Sequence[Reading]:
        """What the meter gives of the profile's readings; "not available" is left out.

        An impossible value is told as suspect. Raises Misconfigured when many are impossible: then
        this is another model, or its profile is wrong.
        """
        taken_at = self._clock.now()
        readings = []
        for table in Table:
            sources = {k: r for k, r in self._profile.readings.items() if r.table is table}
            words = await self._reads.read(table, [each.span for each in sources.values()])
            for kind, source in sources.items():
                value = self._value(source, words.get(source.span))
                if value is not None:
                    readings.append(self._reading(kind, source, value, taken_at))
        self._doubt(readings)
        return readings

    def _value(self, source: RegisterReading, words: tuple[int, ...] | None) -> int | None:
        return None if words is None else source.value(words, self._known.factors)

    def _reading(
        self, kind: ReadingType, source: RegisterReading, value: int, taken_at: datetime
    ) -> Reading:
        low, high = source.plausible
        return Reading(
            tenant=self._meter.tenant,
            drn=self._meter.drn,
            type=kind,
            value=value,
            taken_at=taken_at,
            received_at=self._clock.now(),
            quality=Quality.GOOD if low <= value <= high else Quality.SUSPECT,
        )

    def _doubt(self, readings: Sequence[Reading]) -> None:
        impossible = [reading for reading in readings if reading.quality is Quality.SUSPECT]
        if not nonsense(len(impossible), len(readings)):
            return
        self._unit.forget()
        told = ", ".join(f"{each.type.name} {each.value}" for each in impossible[:3])
        raise Misconfigured(
            f"unit {self._unit.address}: {len(impossible)} of {len(readings)} readings are"
            f" impossible for {self._profile.title} ({told}); check its address and profile"
        )

    @property
    def refused(self) -> frozenset[ReadingType]:
        """Those of the profile's readings that the meter has refused, each alone."""
        return frozenset(
            kind
            for kind, source in self._profile.readings.items()
            if self._reads.refused(source.table, source.span)
        )

    async def supply(self) -> Supply:
        if self._profile.supply is None or self._profile.supply.contacts is None:
            self._refuse("does not tell its supply")
        return await read_supply(self._unit, self._profile.supply, self._clock.now())

    async def set_supply(self, order: SetSupply, *, order_id: str) -> None:
        if self._profile.supply is None:
            self._refuse("takes no supply orders")
        await order_supply(self._unit, self._profile.supply, order, self._clock.now())

    async def set_clock(self, now: datetime) -> Confirmation:
        if self._profile.clock is None:
            self._refuse("has no clock that we can set")
        await set_clock(self._unit, self._profile.clock, now)
        return Confirmation.READ_BACK

    async def events(self, *, after: int) -> Sequence[MeterEvent]:
        self._refuse("keeps no event log")

    async def history(self, *, since: datetime | None) -> Sequence[Reading]:
        self._refuse("keeps no history")

    async def enter_token(self, token: Token, *, attempt: int) -> TokenOutcome:
        self._refuse("takes no tokens")

    async def token_outcome(self, token: Token) -> TokenOutcome | None:
        self._refuse("takes no tokens")

    async def set_credit_parameters(self, change: CreditParameters) -> None:
        self._refuse("takes no credit parameters")

    async def sts_configuration(self) -> StsConfiguration:
        self._refuse("holds no decoder key")

    def _refuse(self, what: str) -> NoReturn:
        raise Unsupported(f"a meter of profile {self._profile.name} {what}")
