"""Survey: asks the units of one line who they are; satisfies `headend.discovery.Survey`.

Reads only, one unit at a time, so nothing is ever sent to all. Any answer shows that somebody is
there, also a refusal.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from adapters.modbus.frames import Table, station_of
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile import Profile
from adapters.modbus.strangers import (
    identity_of,
    meter_told,
    models_of,
    narrowed,
    stranger,
)
from headend.discovery import Found, Heard, LineLost, Presence
from headend.errors import Misconfigured, NoAnswer, NotSent, Resting, Unsupported, WireError
from headend.meters import KeyType, StsConfiguration
from headend.ports import Clock
from protocols.modbus.blocks import Span
from protocols.modbus.stsm import Identity

T = TypeVar("T")
# A silent unit rests before it is asked again; there is nobody else to be kept waiting here.
RESTS_MAX = 5
# Two who answer in turns are told apart by what they say of themselves.
IDENTITIES = 3
# Noise costs an answer now and then.
TRIES = 3


class Survey:
    """The units of one line, which is ours alone. Raises LineLost."""

    def __init__(self, line: ModbusLine, profiles: Sequence[Profile], clock: Clock) -> None:
        self._line = line
        self._profiles = profiles
        self._clock = clock

    async def knock(self, unit: int, *, otherwise: bool) -> Heard:
        """One register by function 3, or by function 4."""
        before = self._misfits(unit)
        table = Table.INPUT if otherwise else Table.HOLDING
        try:
            await self._patiently(lambda: self._line.read(unit, table, Span(0, 1)))
        except (Unsupported, Misconfigured):
            return Heard.ANSWER
        except NotSent as exc:
            if not self._line.connections or "cannot be opened" in str(exc):
                raise LineLost(str(exc)) from exc
            return Heard.SILENCE
        except NoAnswer:
            return Heard.GARBLED if self._misfits(unit) > before else Heard.SILENCE
        return Heard.ANSWER

    async def who(self, unit: int) -> Found:
        """The models that it may be, and what it tells of itself."""
        before = self._misfits(unit)
        one = stranger(self._line, unit)
        try:
            identities = [
                await self._patiently(lambda: identity_of(one), tries=TRIES)
                for _ in range(IDENTITIES)
            ]
            models = await self._patiently(lambda: models_of(one, self._profiles), tries=TRIES)
            models = await self._patiently(lambda: narrowed(one, models, self._clock), tries=TRIES)
        except WireError as exc:
            return self._doubted(unit, str(exc), garbled=self._misfits(unit) > before + 1)
        if len(set(identities)) > 1:
            return self._doubted(unit, "it tells another identity each time", garbled=True)
        return self._named(unit, models, identities[0])

    def _named(self, unit: int, models: Sequence[Profile], identity: Identity | None) -> Found:
        names = tuple(profile.name for profile in models)
        if not names:
            told = "it answers, and fits no model that is known here"
            return Found(address=str(unit), presence=Presence.UNKNOWN, told=told)
        titles = " or ".join(profile.title for profile in models)
        if identity is None or len(names) > 1:
            return Found(address=str(unit), presence=Presence.NAMED, models=names, told=titles)
        try:
            meter = meter_told(identity, names[0], str(unit), self._clock.now())
        except Misconfigured as exc:
            return Found(address=str(unit), presence=Presence.NAMED, models=names, told=str(exc))
        return Found(
            address=str(unit),
            presence=Presence.NAMED,
            models=names,
            told=titles,
            drn=meter.drn or None,
            service=meter.service,
            currency=meter.currency,
            sts=_sts(identity),
        )

    def _doubted(self, unit: int, told: str, *, garbled: bool) -> Found:
        presence = Presence.DUPLICATE if garbled else Presence.UNKNOWN
        return Found(address=str(unit), presence=presence, told=told)

    async def _patiently(self, ask: Callable[[], Awaitable[T]], *, tries: int = 1) -> T:
        """Again when the unit was let rest, and as often as `tries` when no answer was heard."""
        rests = 0
        while True:
            try:
                return await ask()
            except Resting as resting:
                rests += 1
                if rests > RESTS_MAX:
                    raise
                await asyncio.sleep(resting.again_s)
            except NoAnswer:
                tries -= 1
                if tries <= 0:
                    raise

    def _misfits(self, unit: int) -> int:
        name = station_of(unit)
        return sum(one.misfits for one in self._line.way.status().stations if one.name == name)


def _sts(identity: Identity) -> StsConfiguration | None:
    """The key that it holds; None where it tells none."""
    known = {kind.value for kind in KeyType}
    if identity.key_type not in known or not identity.sgc:
        return None
    return StsConfiguration(
        sgc=f"{identity.sgc:06d}",
        krn=identity.krn,
        tariff_index=identity.tariff_index,
        key_type=KeyType(identity.key_type),
        ea=identity.ea,
    )
