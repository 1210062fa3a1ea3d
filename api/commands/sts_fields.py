"""What a token says, field by field, in words; for people and for JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from api.commands.sts_orders import spelled
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
    Management,
    PhaseUnbalanceLimit,
    PowerLimit,
    SetControl,
    SetFlag,
    TariffRate,
    WaterFactor,
)
from protocols.sts.metertest import ExtendedRead, MeterTest, MeterTestToken, control_bits_of
from protocols.sts.tables import (
    BaseDate,
    CreditRegister,
    CreditSubclass,
    MeterFlag,
    MeterTestNumber,
    MeterTestSubclass,
)
from protocols.sts.tid import is_reserved, moment_of
from protocols.sts.token import TokenContents

HIDDEN = "(hidden; --show-key)"
UNIT_OF_SUBCLASS = {
    CreditSubclass.ELECTRICITY: "kWh",
    CreditSubclass.WATER: "m3",
    CreditSubclass.GAS: "m3",
    CreditSubclass.TIME: "min",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an explanation: what, its value, what that means."""

    name: str
    value: str
    meaning: str = ""


def lines_of(rows: Sequence[Row]) -> Iterator[str]:
    """The rows in three columns."""
    name_width = max((len(row.name) for row in rows), default=0)
    value_width = max((len(row.value) for row in rows if row.meaning), default=0)
    for row in rows:
        line = f"{row.name:<{name_width}}  {row.value:<{value_width}}  {row.meaning}"
        yield line.rstrip()


def rows_as_json(rows: Sequence[Row]) -> list[dict[str, str]]:
    """The rows as objects."""
    return [{"name": row.name, "value": row.value, "meaning": row.meaning} for row in rows]


def grouped(digits: str) -> str:
    """Digits as meters show and receipts print them: in groups of four."""
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def minute(base: BaseDate, tid: int) -> str:
    """The minute of a TID."""
    return f"{moment_of(base, tid):%Y-%m-%d %H:%M} UTC"


def fields_of(contents: TokenContents, base: BaseDate | None, *, show_key: bool) -> list[Row]:
    """Every field of a token, class and sub-class first; key words only when ``show_key``.

    ``base`` is the base date of its key, None where no TID needs one.
    """
    rows = [
        Row("class", str(int(contents.token_class)), spelled(contents.token_class)),
        Row("sub-class", str(int(contents.subclass)), _name(contents.subclass)),
    ]
    match contents:
        case CreditUnits():
            return [*rows, *_rnd_and_tid(contents.rnd, contents.tid, base), units_row(contents)]
        case CreditCurrency():
            return [*rows, _tid_row(contents.tid, base), currency_row(contents)]
        case MeterTest() | ExtendedRead():
            return rows + _test_rows(contents)
        case FirstSection() | SecondSection() | ThirdSection() | FourthSection() | GroupSection():
            return rows + _section_rows(contents, show_key=show_key)
        case _:
            timed = _rnd_and_tid(contents.rnd, contents.tid, base)
            return [*rows, *timed, *management_rows(contents)]


def said_by(contents: TokenContents) -> str:
    """A token in a few words: its sub-class and its value."""
    name = _name(contents.subclass)
    match contents:
        case CreditUnits():
            return f"{name} {units_row(contents).value}"
        case CreditCurrency():
            return f"{name} {currency_row(contents).value}"
        case MeterTest() | ExtendedRead():
            row = _test_rows(contents)[0]
            return f"meter test, {row.meaning} ({control_bits_of(contents.subclass)}-bit form)"
        case FirstSection() | SecondSection() | ThirdSection() | FourthSection() | GroupSection():
            return name
        case _:
            rows = management_rows(contents)
            return " ".join([name, *(row.meaning or row.value for row in rows)])


def units_row(credit: CreditUnits) -> Row:
    """The amount of a credit in units, as the meter will count it."""
    unit = UNIT_OF_SUBCLASS[credit.subclass]
    exact, asked = credit.encoded_tenths, credit.amount_tenths
    rounded = "" if exact == asked else f"rounded up from {_decimal(asked, 1)} {unit}"
    return Row("amount", f"{_decimal(exact, 1)} {unit}", rounded)


def currency_row(credit: CreditCurrency) -> Row:
    """The amount of a credit in currency, as the meter will count it."""
    exact, asked = credit.encoded_1e5, credit.amount_1e5
    rounded = "" if exact == asked else f"rounded up from {_decimal(asked, 5)}"
    return Row("amount", _decimal(exact, 5), rounded or "in units of the base currency")


def management_rows(token: Management) -> list[Row]:
    """What stands behind RND and TID."""
    match token:
        case PowerLimit() | PhaseUnbalanceLimit():
            exact = token.encoded_watts
            rounded = "" if exact == token.watts else f"rounded up from {token.watts} W"
            return [Row("limit", f"{exact} W", rounded)]
        case ClearCredit(register=register):
            return [Row("register", str(register), _named(register, CreditRegister, "unknown"))]
        case TariffRate(rate=rate):
            return [Row("rate", f"0x{rate:04X}", "meaning reserved by the STS Association")]
        case WaterFactor(factor=factor):
            return [Row("factor", f"0x{factor:04X}", "meaning reserved by the STS Association")]
        case ClearTamper():
            return []
        case SetControl(index=index, value=value):
            return [Row("control", str(index)), Row("value", str(value))]
        case SetFlag(flag=flag, on=on):
            state = Row("state", "on" if on else "off")
            return [Row("flag", str(flag), _named(flag, MeterFlag, "not listed")), state]


def _rnd_and_tid(rnd: int, tid: int, base: BaseDate | None) -> list[Row]:
    return [Row("RND", str(rnd)), _tid_row(tid, base)]


def _tid_row(tid: int, base: BaseDate | None) -> Row:
    if base is None:
        return Row("TID", str(tid))
    special = ", the reserved minute: a special token" if is_reserved(tid) else ""
    return Row("TID", str(tid), f"{minute(base, tid)} (base date {base.value}){special}")


def _test_rows(token: MeterTestToken) -> list[Row]:
    width = control_bits_of(token.subclass)
    code_width = (44 - width) // 4
    generic = "generic: any manufacturer" if token.mfr_code == 0 else ""
    code = Row("manufacturer", f"0x{token.mfr_code:0{code_width}X}", generic)
    control = f"0x{token.control:0{width // 4}X}"
    if isinstance(token, ExtendedRead):
        return [Row("control", control, f"read back index {token.index}"), code]
    if token.subclass >= MeterTestSubclass.MANUFACTURER_6:
        return [Row("control", control, "meaning known to the manufacturer"), code]
    tests = (_named(number, MeterTestNumber, f"test {number}") for number in token.numbers)
    return [Row("control", control, ", ".join(tests) or "no test at all"), code]


def _section_rows(section: KeySection, *, show_key: bool) -> list[Row]:
    match section:
        case FirstSection():
            return [
                Row("KENHO", str(section.ken_high), "high half of the new KEN"),
                Row("KRN", str(section.krn), "of the new key"),
                Row("RO", str(int(section.rollover)), _rollover(section.rollover)),
                Row("3KCT", str(int(section.three_kct)), _three(section.three_kct)),
                Row("KT", str(int(section.key_type)), spelled(section.key_type)),
                _word("NKHO", section.word, show_key=show_key),
            ]
        case SecondSection():
            return [
                Row("KENLO", str(section.ken_low), "low half of the new KEN"),
                Row("TI", f"{section.tariff_index:02d}", "new tariff index"),
                _word("NKLO", section.word, show_key=show_key),
            ]
        case ThirdSection():
            low = Row("SGCLO", f"0x{section.sgc_low:03X}", "low half of the new SGC")
            return [low, _word("NKMO2", section.word, show_key=show_key)]
        case FourthSection():
            high = Row("SGCHO", f"0x{section.sgc_high:03X}", "high half of the new SGC")
            return [high, _word("NKMO1", section.word, show_key=show_key)]
        case GroupSection():
            return [Row("SGC", f"{section.sgc:06d}", "new supply group code")]


def _word(name: str, word: int, *, show_key: bool) -> Row:
    return Row(name, f"{word:08x}" if show_key else HIDDEN, "32 bits of the new key")


def _rollover(rollover: bool) -> str:
    return "the meter empties its TID store" if rollover else "the TID store stays"


def _three(three_kct: bool) -> str:
    return "a third token carries the SGC" if three_kct else ""


def _name(member: IntEnum) -> str:
    return spelled(member).replace("-", " ")


def _named(number: int, table: type[IntEnum], otherwise: str) -> str:
    try:
        return _name(table(number))
    except ValueError:
        return otherwise


def _decimal(steps: int, places: int) -> str:
    whole, rest = divmod(abs(steps), 10**places)
    return f"{'-' if steps < 0 else ''}{whole}.{rest:0{places}d}"
