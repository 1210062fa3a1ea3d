"""Getting acquainted: is it the model, and the meter, that we think answers at this address?

Before its numbers are believed and before it is sent money. Silence here leaves nothing in doubt.
"""

from collections.abc import Mapping

from adapters.modbus.frames import Table
from adapters.modbus.profile import Profile
from adapters.modbus.unit import Acquaintance, Unit
from headend.currencies import ISO_NUMBERS
from headend.errors import Misconfigured, NoAnswer, NotSent, Unsupported
from headend.meters import Meter, Service
from protocols.modbus.blocks import Span
from protocols.modbus.registers import signed
from protocols.modbus.stsm import DETAILS_FROM, IDENTITY, AmountUnit, Feature, Identity

_SERVICES: Mapping[Service, int] = {
    Service.ELECTRICITY: 0,
    Service.WATER: 1,
    Service.GAS: 2,
    Service.TIME: 3,
}
# Amounts of a meter that counts in billions of a unit, or in billionths, are garbage.
_EXPONENTS = range(-9, 10)


async def acquaint(unit: Unit, meter: Meter, profile: Profile) -> Acquaintance:
    """Ask who is there. Raises Misconfigured for another model or meter, NotSent for silence."""
    try:
        if not profile.probe.fits(await unit.read(profile.probe.table, profile.probe.span)):
            raise _strange(unit, f"what answers is no {profile.title}")
        known = await _acquaintance(unit, meter, profile)
    except NoAnswer as exc:
        raise NotSent(f"before anything was asked: {exc}") from exc
    except Unsupported as exc:
        raise _strange(unit, f"what answers is no {profile.title}: {exc}") from exc
    unit.remember(known)
    return known


async def _acquaintance(unit: Unit, meter: Meter, profile: Profile) -> Acquaintance:
    places = {reading.exponent_at for reading in profile.readings.values()}
    exponents = {place: await _exponent(unit, place) for place in places if place is not None}
    if profile.prepay is None:
        return Acquaintance(
            profile=profile.name, drn=meter.drn, currency=meter.currency, exponents=exponents
        )
    identity = Identity.of(await unit.read(Table.HOLDING, IDENTITY))
    _check(identity, unit, meter)
    return Acquaintance(
        profile=profile.name,
        drn=meter.drn,
        currency=meter.currency,
        exponents=exponents,
        amount_exponent=identity.exponent,
        has_relay=Feature.RELAY in identity.features,
        tells_details=identity.version >= DETAILS_FROM,
    )


async def _exponent(unit: Unit, place: int) -> int:
    exponent = signed(await unit.read(Table.HOLDING, Span(place, 1)))
    if exponent not in _EXPONENTS:
        raise _strange(unit, f"its decimal exponent is {exponent}")
    return exponent


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
