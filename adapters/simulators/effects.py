"""What a valid token does to a simulated meter, and the result it tells (IEC 62055-41, 7.3).

The decoder has judged the token already; here are only the refusals that depend on the registers
and on what this meter has built in.
"""

from datetime import datetime

from adapters.simulators.circuit import Circuit
from adapters.simulators.decoder import Decoder
from adapters.simulators.kept_values import KeptValues
from adapters.simulators.plate import Plate
from adapters.simulators.relay import Hold
from headend.events import EventType
from headend.meters import Service
from headend.tokens import TokenResult
from protocols.sts.credit import CreditCurrency, CreditUnits
from protocols.sts.keychange import (
    FirstSection,
    FourthSection,
    GroupSection,
    KeySection,
    SecondSection,
    ThirdSection,
)
from protocols.sts.management import (
    ClearCredit,
    ClearTamper,
    PhaseUnbalanceLimit,
    PowerLimit,
    SetControl,
    SetFlag,
    TariffRate,
    WaterFactor,
)
from protocols.sts.tables import CreditRegister, CreditSubclass
from protocols.sts.token import TokenContents

TENTH_MILLI = 100
MILLI_1E5 = 100

_SUBCLASS_OF = {
    Service.ELECTRICITY: CreditSubclass.ELECTRICITY,
    Service.WATER: CreditSubclass.WATER,
    Service.GAS: CreditSubclass.GAS,
    Service.TIME: CreditSubclass.TIME,
}
_CURRENCY_OFFSET = CreditSubclass.ELECTRICITY_CURRENCY - CreditSubclass.ELECTRICITY


def carry_out(
    contents: TokenContents,
    *,
    plate: Plate,
    decoder: Decoder,
    circuit: Circuit,
    kept: KeptValues,
    maximum_credit_milli: int,
    now: datetime,
) -> TokenResult:
    """Do what a token of class 0 or 2 asks for; a refusal changes nothing."""
    match contents:
        case CreditUnits() | CreditCurrency():
            if contents.subclass != own_subclass(plate):
                return TokenResult.FUNCTION_ERROR
            return _credit(amount_milli(contents), circuit, maximum_credit_milli, now)
        case ClearCredit(register=register):
            if register not in (own_subclass(plate), CreditRegister.ALL):
                return TokenResult.RANGE_ERROR
            circuit.account.credit_milli = 0
            circuit.settle(now)
        case ClearTamper():
            circuit.release(Hold.TAMPER, now)
        case PowerLimit(watts=watts):
            circuit.power_limit_w = watts
            circuit.settle(now)
        case PhaseUnbalanceLimit(watts=watts):
            circuit.unbalance_limit_w = watts
        case FirstSection() | SecondSection() | ThirdSection() | FourthSection() | GroupSection():
            return _change_key(contents, decoder, circuit, now)
        case TariffRate() | WaterFactor() | SetControl() | SetFlag():
            return _keep(contents, kept, plate.service)
        case _:
            return TokenResult.FUNCTION_ERROR
    return TokenResult.ACCEPT


def own_subclass(plate: Plate) -> int:
    """The credit sub-class, and credit register, of a meter's own service."""
    return _SUBCLASS_OF[plate.service] + _CURRENCY_OFFSET * (plate.currency is not None)


def amount_milli(contents: TokenContents | None) -> int:
    """Credit of a token in thousandths, rounded up; 0 for any other token."""
    match contents:
        case CreditUnits(amount_tenths=tenths):
            return tenths * TENTH_MILLI
        case CreditCurrency(amount_1e5=amount_1e5):
            return -(-amount_1e5 // MILLI_1E5)
        case _:
            return 0


def _credit(amount: int, circuit: Circuit, maximum: int, now: datetime) -> TokenResult:
    credit_milli = circuit.account.credit_milli + amount
    if abs(credit_milli) > maximum:
        circuit.tell(EventType.CREDIT_ABOVE_MAXIMUM, now)
        return TokenResult.OVERFLOW_ERROR
    circuit.account.credit_milli = credit_milli
    circuit.account.bought_milli += amount
    circuit.settle(now)
    return TokenResult.ACCEPT


def _keep(
    contents: TariffRate | WaterFactor | SetControl | SetFlag, kept: KeptValues, service: Service
) -> TokenResult:
    match contents:
        case TariffRate(rate=rate):
            kept.tariff_rate = rate
        case WaterFactor(factor=factor):
            if service is not Service.WATER:
                return TokenResult.FUNCTION_ERROR
            kept.water_factor = factor
        case SetControl(index=index, value=value):
            kept.controls[index] = value
        case SetFlag(flag=flag, on=on):
            kept.flags[flag] = on
    return TokenResult.ACCEPT


def _change_key(
    section: KeySection, decoder: Decoder, circuit: Circuit, now: datetime
) -> TokenResult:
    result = decoder.take_section(section, now)
    if result is TokenResult.ACCEPT:
        circuit.tell(EventType.KEY_CHANGED, now, argument=decoder.krn << 8 | decoder.tariff_index)
    return result
