"""Getting acquainted: is it the model, and the meter, that we think answers at this address?

Before its numbers are believed and before it is sent money. Silence here leaves nothing in doubt.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TypeAlias

from adapters.modbus.exceptions import RegistersRefused
from adapters.modbus.frames import Table
from adapters.modbus.profile import Factor, Probe, Profile
from adapters.modbus.unit import Acquaintance, Unit
from headend.currencies import ISO_NUMBERS
from headend.errors import Misconfigured, NoAnswer, NotSent, Unsupported
from headend.meters import Capability, Meter, Service
from protocols.modbus.blocks import Span
from protocols.modbus.stsm import DETAILS_FROM, IDENTITY, AmountUnit, Identity

# Reads some registers of one unit.
Read: TypeAlias = Callable[[Table, Span], Awaitable[tuple[int, ...]]]

_SERVICES: Mapping[Service, int] = {
    Service.ELECTRICITY: 0,
    Service.WATER: 1,
    Service.GAS: 2,
    Service.TIME: 3,
}
# Amounts of a meter that counts in billions of a unit, or in billionths, are garbage.
_EXPONENTS = range(-9, 10)
# 400 kV on 100 V times 10 kA on 1 A.
_RATIO_MAX = Decimal(40_000_000)


async def acquaint(unit: Unit, meter: Meter, profile: Profile) -> Acquaintance:
    """Ask who is there. Raises Misconfigured for another model or meter, NotSent for silence."""
    try:
        if not await fits(unit.read, profile.probes):
            raise _strange(unit, f"what answers is no {profile.title}")
        known = await _acquaintance(unit, meter, await _variant(unit, profile))
    except NoAnswer as exc:
        raise NotSent(f"before anything was asked: {exc}") from exc
    except Unsupported as exc:
        raise _strange(unit, f"what answers is no {profile.title}: {exc}") from exc
    unit.remember(known)
    return known


async def fits(read: Read, probes: Sequence[Probe]) -> bool:
    """Whether all of them do, by themselves or by what may stand for them.

    Raises what `read` does; RegistersRefused where a probe must be there.
    """
    for probe in probes:
        if not await _one_fits(read, probe):
            return False
    return True


async def _one_fits(read: Read, probe: Probe) -> bool:
    try:
        if probe.fits(await read(probe.table, probe.span)):
            return True
    except RegistersRefused:
        if probe.may_be_absent:
            return True
        if probe.otherwise is None:
            raise
    return probe.otherwise is not None and await _one_fits(read, probe.otherwise)


async def _variant(unit: Unit, profile: Profile) -> Profile:
    """The first variant whose probes fit; the profile itself where there are none."""
    for variant in profile.variants:
        try:
            if await fits(unit.read, variant.probes):
                return variant
        except RegistersRefused:
            continue  # this variant has registers that the meter has not
    if not profile.variants:
        return profile
    names = ", ".join(str(variant.variant) for variant in profile.variants)
    raise _strange(unit, f"{profile.title} it may be, but none of its variants: {names}")


async def _acquaintance(unit: Unit, meter: Meter, profile: Profile) -> Acquaintance:
    factors = {name: await _factor(unit, name, each) for name, each in profile.factors.items()}
    known = Acquaintance(profile=profile, drn=meter.drn, currency=meter.currency, factors=factors)
    if Capability.ENTER_TOKEN not in profile.can:
        return known
    identity = Identity.of(await unit.read(Table.HOLDING, IDENTITY))
    _check(identity, unit, meter)
    return replace(
        known,
        amount_exponent=identity.exponent,
        features=identity.features,
        tells_details=identity.version >= DETAILS_FROM,
    )


async def _factor(unit: Unit, name: str, factor: Factor) -> Decimal:
    try:
        value = factor.format.value(await unit.read(factor.table, factor.span))
    except RegistersRefused:
        if factor.absent is None:
            raise
        return factor.absent
    if factor.absent is not None and value == 0:
        return factor.absent
    if factor.power_of_ten:
        if value is None or value not in _EXPONENTS:
            raise _strange(unit, f"its power of ten {name!r} is {value}")
        return Decimal(1).scaleb(value)
    if value is None or not 0 < value <= _RATIO_MAX:
        raise _strange(unit, f"its factor {name!r} is {value}")
    return value


def _check(identity: Identity, unit: Unit, meter: Meter) -> None:
    if identity.drn != meter.drn:
        raise _strange(unit, f"it is meter {identity.drn or 'without number'}, not {meter.drn}")
    if identity.service != _SERVICES[meter.service]:
        raise _strange(unit, f"it does not sell {meter.service}")
    _check_currency(identity, unit, meter)
    if identity.exponent not in _EXPONENTS:
        raise _strange(unit, f"its decimal exponent is {identity.exponent}")


def _check_currency(identity: Identity, unit: Unit, meter: Meter) -> None:
    counts_money = identity.unit == AmountUnit.CURRENCY
    if meter.currency is None:
        if counts_money:
            raise _strange(unit, "it keeps its credit in currency, and is sold units")
        return
    if not counts_money:
        raise _strange(unit, f"it keeps its credit in units, and is sold {meter.currency}")
    number = ISO_NUMBERS.get(meter.currency)
    if identity.currency != number:
        told = identity.currency or "which it does not tell"
        raise _strange(unit, f"it counts in currency {told}, and is sold {meter.currency} {number}")


def _strange(unit: Unit, what: str) -> Misconfigured:
    return Misconfigured(f"unit {unit.address}: {what}; check the wiring, address and profile")
