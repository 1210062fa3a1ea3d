"""Readings of a Modbus meter, by its profile; all that a meter without prepayment gives."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NoReturn

from adapters.modbus.frames import Table
from adapters.modbus.profile import Profile, RegisterReading
from adapters.modbus.unit import Acquaintance, Unit
from headend.commands import SetSupply
from headend.errors import Unsupported
from headend.meters import Meter, StsConfiguration
from headend.ports import Clock
from headend.readings import Reading
from headend.supply import Supply
from headend.tokens import Token, TokenOutcome
from protocols.modbus.blocks import Span


class ReadingSession:
    """A conversation with a meter that can be read and nothing else. Satisfies `ports.Session`."""

    def __init__(
        self, unit: Unit, meter: Meter, profile: Profile, *, known: Acquaintance, clock: Clock
    ) -> None:
        self._unit = unit
        self._meter = meter
        self._profile = profile
        self._known = known
        self._clock = clock

    async def read(self) -> Sequence[Reading]:
        """What the meter gives of the profile's readings; "not available" is left out."""
        taken_at = self._clock.now()
        blocks = {table: await self._blocks(table) for table in Table}
        received_at = self._clock.now()
        readings = []
        for kind, source in self._profile.readings.items():
            value = self._value(source, blocks[source.table])
            if value is not None:
                readings.append(
                    Reading(
                        tenant=self._meter.tenant,
                        drn=self._meter.drn,
                        type=kind,
                        value=value,
                        taken_at=taken_at,
                        received_at=received_at,
                    )
                )
        return readings

    async def _blocks(self, table: Table) -> Mapping[Span, Sequence[int]]:
        return {block: await self._unit.read(table, block) for block in self._profile.reads(table)}

    def _value(self, source: RegisterReading, blocks: Mapping[Span, Sequence[int]]) -> int | None:
        block = next(block for block in blocks if block.covers(source.span))
        value = source.format.value(block.words(source.span, blocks[block]))
        if value is None:
            return None
        if source.exponent_at is not None:
            value = value.scaleb(self._known.exponents[source.exponent_at])
        return int(value.to_integral_value())

    async def enter_token(self, token: Token, *, attempt: int) -> TokenOutcome:
        self._refuse("takes no tokens")

    async def token_outcome(self, token: Token) -> TokenOutcome | None:
        self._refuse("takes no tokens")

    async def supply(self) -> Supply:
        self._refuse("does not tell its supply")

    async def set_supply(self, order: SetSupply, *, order_id: str) -> None:
        self._refuse("takes no supply orders")

    async def set_clock(self, now: datetime) -> None:
        self._refuse("has no clock that we can set")

    async def sts_configuration(self) -> StsConfiguration:
        self._refuse("holds no decoder key")

    def _refuse(self, what: str) -> NoReturn:
        raise Unsupported(f"a meter of profile {self._profile.name} {what}")
