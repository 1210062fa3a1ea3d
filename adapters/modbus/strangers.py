"""Strangers: units that no record knows. Which models they may be, and what they tell.

Only reads, and only of one unit: nothing here is ever sent to all.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from adapters.modbus.acquaintance import acquaint, fits
from adapters.modbus.exceptions import RegistersRefused
from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile import Probe, Profile
from adapters.modbus.readings import ReadingSession
from adapters.modbus.unit import Memory, Unit
from headend.currencies import ISO_NUMBERS
from headend.errors import Misconfigured, Unsupported
from headend.field_readings import FieldReading
from headend.meters import (
    BusName,
    Capability,
    Drn,
    Keypad,
    KeyType,
    Meter,
    ProfileName,
    Route,
    Service,
    StsConfiguration,
    TenantId,
)
from headend.ports import Clock
from protocols.modbus.blocks import Span
from protocols.modbus.stsm import IDENTITY, AmountUnit, Identity

_SERVICES = (Service.ELECTRICITY, Service.WATER, Service.GAS, Service.TIME)
_CODES = {number: code for code, number in ISO_NUMBERS.items()}
_Seen = dict[tuple[Table, Span], tuple[int, ...] | None]


def stranger(line: ModbusLine, address: int) -> Unit:
    """A unit of which nothing is known."""
    return Unit(line, address, Memory())


async def models_of(unit: Unit, profiles: Iterable[Profile]) -> Sequence[Profile]:
    """Every model whose probes fit what the unit tells; no register is asked for twice.

    Raises the errors of the wire, but for refusals: who refuses a probe is another model.
    """
    seen: _Seen = {}
    return [profile for profile in profiles if await _may_be(unit, profile, seen)]


async def _may_be(unit: Unit, profile: Profile, seen: _Seen) -> bool:
    if not await _fits(unit, profile.probes, seen):
        return False
    if not profile.variants:
        return True
    return any([await _fits(unit, variant.probes, seen) for variant in profile.variants])


async def _fits(unit: Unit, probes: Sequence[Probe], seen: _Seen) -> bool:
    async def once(table: Table, span: Span) -> tuple[int, ...]:
        if (table, span) not in seen:
            seen[table, span] = await _words(unit, table, span)
        words = seen[table, span]
        if words is None:
            raise RegistersRefused(f"unit {unit.address}")
        return words

    try:
        return bool(probes) and await fits(once, probes)
    except RegistersRefused:
        return False


async def _words(unit: Unit, table: Table, span: Span) -> tuple[int, ...] | None:
    try:
        return await unit.read(table, span)
    except Unsupported:
        return None


async def narrowed(unit: Unit, models: Sequence[Profile], clock: Clock) -> Sequence[Profile]:
    """Of several models that fit, those of whose readings the unit refuses none; else all.

    Raises the errors of the wire.
    """
    if len(models) < 2:
        return models
    kept = []
    for profile in models:
        try:
            told = await read_stranger(unit, profile, clock)
        except (Misconfigured, RegistersRefused):
            continue
        if not told.refused:
            kept.append(profile)
    return kept or models


async def read_stranger(unit: Unit, profile: Profile, clock: Clock) -> FieldReading:
    """Check the model, then read all that it has by its read plan.

    Raises the errors of the wire; Misconfigured when another model answers.
    """
    meter = await _the_meter(unit, profile, clock.now())
    known = await acquaint(unit, meter, profile)
    session = ReadingSession(unit, meter, known=known, clock=clock)
    readings = await session.read()
    told = {reading.type for reading in readings}
    missing = [kind for kind in known.profile.readings if kind not in told]
    return FieldReading(
        profile=profile.name,
        variant=known.profile.variant,
        drn=meter.drn or None,
        readings=readings,
        refused=[kind for kind in missing if kind in session.refused],
        untold=[kind for kind in missing if kind not in session.refused],
    )


async def identity_of(unit: Unit) -> Identity | None:
    """What an STS meter says of itself; None where the unit has no such block.

    Raises the errors of the wire.
    """
    words = await _words(unit, Table.HOLDING, IDENTITY)
    found = None if words is None else Identity.of(words)
    return found if found is not None and found.signature == "STSM" else None


async def _the_meter(unit: Unit, profile: Profile, now: datetime) -> Meter:
    """A record made from what the unit says of itself, or an empty one."""
    identity = None
    if Capability.ENTER_TOKEN in profile.can:
        identity = await identity_of(unit)
        if identity is None:
            raise Misconfigured(f"unit {unit.address}: what answers is no {profile.title}")
    return meter_told(identity, profile.name, str(unit.address), now)


def meter_told(identity: Identity | None, model: ProfileName, address: str, now: datetime) -> Meter:
    """The record of a meter by its own word; raises Misconfigured for what no meter can be."""
    service, currency, drn = Service.ELECTRICITY, None, ""
    if identity is not None:
        if identity.service >= len(_SERVICES):
            raise Misconfigured(f"unit {address}: it sells an unknown service {identity.service}")
        service, drn = _SERVICES[identity.service], identity.drn or ""
        if identity.unit == AmountUnit.CURRENCY:
            currency = _CODES.get(identity.currency)
    return Meter(
        tenant=TenantId("field"),
        drn=Drn(drn),
        service=service,
        profile=model,
        route=Route(BusName("field"), address),
        sts=_NO_STS,
        keypad=Keypad.NONE,
        currency=currency,
        changed_at=now,
    )


_NO_STS = StsConfiguration(sgc="", krn=1, tariff_index=1, key_type=KeyType.DEFAULT, ea=7)
