"""Credit parameters of an STSM meter: warnings, emergency credit, limits of credit and of power.

The block is written as a whole, so it is read first: what nobody wants to change stays as it is.
"""

from dataclasses import replace
from decimal import Decimal

from adapters.modbus.doubt import in_doubt, nothing_in_doubt
from adapters.modbus.frames import Table
from adapters.modbus.stsm_tokens import scaled
from adapters.modbus.unit import Unit
from headend.credit_parameters import POWER_LIMIT, CreditParameters
from headend.errors import Refused
from protocols.modbus.stsm_parameters import PARAMETERS, Parameters


async def read_parameters(unit: Unit, *, exponent: int) -> CreditParameters:
    """As the meter holds them now."""
    held = await _read(unit)
    return CreditParameters(
        low_credit_1=scaled(held.low_credit_1, exponent),
        low_credit_2=scaled(held.low_credit_2, exponent),
        emergency_credit=scaled(held.emergency_credit, exponent),
        maximum_credit=scaled(held.maximum_credit, exponent),
        overdraft=scaled(held.overdraft, exponent),
        reconnect_credit=scaled(held.reconnect_credit, exponent),
        power_limit_w=held.power_limit_w,
    )


async def change_parameters(unit: Unit, change: CreditParameters, *, exponent: int) -> None:
    """Set what `change` names and read it back; writing the same again changes nothing.

    Raises Refused when the meter keeps others, or cannot hold an amount.
    """
    raw = _steps(change, exponent)
    with nothing_in_doubt():
        held = await _read(unit)
    wanted = replace(held, **raw)
    if wanted == held:
        return
    try:
        words = wanted.words()
    except OverflowError:
        raise Refused("a parameter is larger than the meter can hold") from None
    await unit.write(PARAMETERS.start, words)
    with in_doubt():
        kept = await _read(unit)
    if kept != wanted:
        raise Refused("the meter keeps other credit parameters than it was sent")


async def _read(unit: Unit) -> Parameters:
    return Parameters.of(await unit.read(Table.HOLDING, PARAMETERS))


def _steps(change: CreditParameters, exponent: int) -> dict[str, int]:
    """What is to be changed, in the meter's steps; raises Refused for what falls between two."""
    steps = {name: _raw(name, amount, exponent) for name, amount in change.amounts.items()}
    if change.power_limit_w is not None:
        steps[POWER_LIMIT] = change.power_limit_w
    return steps


def _raw(name: str, amount: Decimal, exponent: int) -> int:
    steps = amount.scaleb(-exponent)
    if steps != steps.to_integral_value() or steps < 0:
        raise Refused(f"{name} of {amount} is no whole number of the meter's steps")
    return int(steps)
