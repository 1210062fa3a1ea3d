"""Contents of tokens in words: what each asks of a meter.

The new key that key-change tokens carry is never shown.
"""

from typing import TypeAlias

from adapters.vault.contents import SERVICES, currency_of
from headend.quantities import Amount
from protocols.sts.credit import Credit, CreditCurrency
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
    Management,
    PhaseUnbalanceLimit,
    PowerLimit,
    SetControl,
    SetFlag,
    TariffRate,
    WaterFactor,
)
from protocols.sts.metertest import ExtendedRead, MeterTest, MeterTestToken
from protocols.sts.tables import (
    CreditRegister,
    KeyType,
    MeterFlag,
    MeterTestNumber,
    MeterTestSubclass,
)

GENERIC_TESTS = {MeterTestSubclass.SHORT_MFR_CODE, MeterTestSubclass.LONG_MFR_CODE}


def credit_text(credit: Credit, amount: Amount | None) -> str:
    """Credit; `amount` is None for money of a currency that nothing names."""
    service = SERVICES[credit.subclass]
    if amount is None and isinstance(credit, CreditCurrency):
        value = currency_of(credit.amount_1e5, "").value
        return f"credit for {service}: {value:f} of the meter's currency"
    return f"credit for {service}: {amount}"


def management_text(management: Management) -> str:
    """A management token with a TID."""
    match management:
        case PowerLimit(watts=watts):
            return f"set the power limit to {watts} W"
        case PhaseUnbalanceLimit(watts=watts):
            return f"set the phase unbalance limit to {watts} W"
        case ClearCredit(register=register):
            return f"clear credit: {_register_name(register)}"
        case ClearTamper():
            return "clear the tamper condition"
        case SetFlag(flag=flag, on=on):
            return f"set flag {flag} ({_name(MeterFlag, flag)}) to {int(on)}"
        case SetControl(index=index, value=value):
            return f"set control {index} to {value}"
        case TariffRate(rate=raw):
            return f"set the tariff rate to {raw} (raw)"
        case WaterFactor(factor=raw):
            return f"set the water meter factor to {raw} (raw)"


def section_text(section: KeySection) -> str:
    """One token of a key change, without the part of the new key that it carries."""
    match section:
        case FirstSection():
            return (
                f"1st token: KRN {section.krn}, key type {int(section.key_type)}"
                f" ({_name(KeyType, section.key_type)}), upper half of KEN {section.ken_high},"
                f" base date changes: {_yes(section.rollover)},"
                f" EA07 set of three: {_yes(section.three_kct)}"
            )
        case SecondSection():
            return (
                f"2nd token: tariff index {section.tariff_index:02d},"
                f" lower half of KEN {section.ken_low}"
            )
        case ThirdSection():
            return f"3rd token: lower 12 bits of the supply group {section.sgc_low}"
        case FourthSection():
            return f"4th token: upper 12 bits of the supply group {section.sgc_high}"
        case GroupSection():
            return f"3rd token: supply group {section.sgc:06d}"


def meter_test_text(token: MeterTestToken) -> str:
    """A token of class 1."""
    made_for = f"; for manufacturer code {token.mfr_code}" if token.mfr_code else ""
    return _asked(token) + made_for


def is_generic(token: MeterTest) -> bool:
    """Whether it is a test of the standard, not a manufacturer's own."""
    return token.subclass in GENERIC_TESTS


def _asked(token: MeterTestToken) -> str:
    if isinstance(token, ExtendedRead):
        return f"read back extended setting {token.index}, selector {token.selector}"
    if not is_generic(token):
        return f"manufacturer's own token {int(token.subclass)}, control {token.control:#x}"
    codes = "4-digit" if token.subclass.has_long_mfr_code else "2-digit"
    tests = ", ".join(f"{number} ({_name(MeterTestNumber, number)})" for number in token.numbers)
    return f"meter test or display {tests or 'of nothing'}; form for {codes} manufacturer codes"


def _register_name(register: int) -> str:
    if register == CreditRegister.ALL:
        return "all registers"
    return f"register {register} ({_name(CreditRegister, register)})"


_Table: TypeAlias = type[CreditRegister | MeterFlag | MeterTestNumber | KeyType]


def _name(table: _Table, number: int) -> str:
    """A number's name in a table of the standard, in plain words."""
    if number not in frozenset(table):
        return "no such one"
    return table(number).name.lower().replace("_", " ")


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"
