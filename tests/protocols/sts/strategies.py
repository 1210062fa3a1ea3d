"""Every kind of contents a token can have, and ciphers to put them under."""

from hypothesis import strategies as st

from protocols.sts.amount import CURRENCY_MAX, UNITS_MAX
from protocols.sts.cipher import BlockCipher
from protocols.sts.credit import CreditCurrency, CreditUnits
from protocols.sts.keychange import (
    FirstSection,
    FourthSection,
    GroupSection,
    KeyChange,
    SecondSection,
    ThirdSection,
)
from protocols.sts.keys import DecoderKey
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
from protocols.sts.metertest import ExtendedRead, MeterTest
from protocols.sts.misty1 import Misty1
from protocols.sts.sta import SAMPLE, Sta
from protocols.sts.tables import (
    CreditSubclass,
    EncryptionAlgorithm,
    KeyType,
    MeterTestSubclass,
)

STA = Sta(bytes.fromhex("0abc12def3456789"), SAMPLE)
MISTY1 = Misty1(bytes.fromhex("00112233445566778899aabbccddeeff"))
CIPHERS: tuple[BlockCipher, ...] = (STA, MISTY1)

nibbles = st.integers(0, 15)
tids = st.integers(0, 0xFF_FFFF)
halves = st.integers(0, 0xFFFF)
words = st.integers(0, 0xFFFF_FFFF)
blocks = st.integers(0, 2**64 - 1)
amounts = st.integers(0, UNITS_MAX)
currency_amounts = st.integers(0, 35).flatmap(
    lambda power: st.integers(-min(10**power, CURRENCY_MAX), min(10**power, CURRENCY_MAX))
)

credits_ = st.one_of(
    st.builds(CreditUnits, st.sampled_from(list(CreditSubclass)[:4]), nibbles, tids, amounts),
    st.builds(CreditCurrency, st.sampled_from(list(CreditSubclass)[4:]), tids, currency_amounts),
)
managements = st.one_of(
    st.builds(PowerLimit, nibbles, tids, amounts),
    st.builds(PhaseUnbalanceLimit, nibbles, tids, amounts),
    st.builds(ClearCredit, nibbles, tids, halves),
    st.builds(TariffRate, nibbles, tids, halves),
    st.builds(WaterFactor, nibbles, tids, halves),
    st.builds(ClearTamper, nibbles, tids),
    st.builds(SetControl, nibbles, tids, st.integers(0, 62), st.integers(0, 1023)),
    st.builds(SetFlag, nibbles, tids, st.integers(0, 511), st.booleans()),
)
common_sections = st.one_of(
    st.builds(
        FirstSection,
        nibbles,
        st.integers(1, 9),
        st.booleans(),
        st.booleans(),
        st.sampled_from(KeyType),
        words,
    ),
    st.builds(SecondSection, nibbles, st.integers(0, 99), words),
)
sta_sections = common_sections | st.builds(GroupSection, st.integers(0, 999_999))
misty1_sections = st.one_of(
    common_sections,
    st.builds(ThirdSection, st.integers(0, 0xFFF), words),
    st.builds(FourthSection, st.integers(0, 0xFFF), words),
)
meter_tests = st.one_of(
    st.builds(
        MeterTest,
        st.sampled_from([form for form in MeterTestSubclass if form.has_long_mfr_code]),
        st.integers(0, 2**28 - 1),
        halves,
    ),
    st.builds(
        MeterTest,
        st.sampled_from(
            [form for form in MeterTestSubclass if not form.has_long_mfr_code and form != 2]
        ),
        st.integers(0, 2**36 - 1),
        st.integers(0, 255),
    ),
    st.builds(ExtendedRead, st.integers(0, 63), st.integers(0, 2**30 - 1), st.integers(0, 255)),
)


@st.composite
def key_changes(draw: st.DrawFn, algorithm: EncryptionAlgorithm) -> KeyChange:
    """Any key change of one algorithm, its SGC known."""
    value = draw(st.binary(min_size=algorithm.key_bytes, max_size=algorithm.key_bytes))
    return KeyChange(
        key=DecoderKey(value, algorithm),
        key_type=draw(st.sampled_from(KeyType)),
        krn=draw(st.integers(1, 9)),
        tariff_index=draw(st.integers(0, 99)),
        ken=draw(st.integers(0, 255)),
        rollover=draw(st.booleans()),
        sgc=draw(st.integers(0, 999_999)),
    )
