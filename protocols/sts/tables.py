"""The tables of IEC 62055-41 as enums: classes, sub-classes, key types, algorithms, base dates.

Withdrawn algorithms are no members; asking for one raises UnsupportedError.
"""

from datetime import UTC, datetime
from enum import IntEnum, unique

from protocols.sts.errors import UnsupportedError


@unique
class TokenClass(IntEnum):
    """Class of a token, two bits. Class 3 is reserved and no member."""

    CREDIT = 0
    METER_TEST = 1  # never encrypted
    MANAGEMENT = 2


@unique
class CreditSubclass(IntEnum):
    """Sub-class of a credit token (class 0)."""

    ELECTRICITY = 0  # 0.1 kWh
    WATER = 1  # 0.1 m3
    GAS = 2  # 0.1 m3
    TIME = 3  # 0.1 min
    ELECTRICITY_CURRENCY = 4  # 0.00001 of the base currency, signed
    WATER_CURRENCY = 5
    GAS_CURRENCY = 6
    TIME_CURRENCY = 7

    @property
    def is_currency(self) -> bool:
        """Whether the amount is money, which has its own layout and its own CRC."""
        return self >= CreditSubclass.ELECTRICITY_CURRENCY


@unique
class MeterTestSubclass(IntEnum):
    """Sub-class of a token of class 1; 3 to 5 are reserved."""

    SHORT_MFR_CODE = 0  # 36-bit control, two-digit manufacturer code
    LONG_MFR_CODE = 1  # 28-bit control, four-digit manufacturer code
    EXTENDED_READ = 2
    MANUFACTURER_6 = 6
    MANUFACTURER_7 = 7
    MANUFACTURER_8 = 8
    MANUFACTURER_9 = 9
    MANUFACTURER_10 = 10
    MANUFACTURER_11 = 11
    MANUFACTURER_12 = 12
    MANUFACTURER_13 = 13
    MANUFACTURER_14 = 14
    MANUFACTURER_15 = 15

    @property
    def has_long_mfr_code(self) -> bool:
        """Whether the form is 28 control bits and 16 code bits instead of 36 and 8."""
        return self == 1 or MeterTestSubclass.MANUFACTURER_6 <= self <= self.MANUFACTURER_10


@unique
class ManagementSubclass(IntEnum):
    """Sub-class of a management token (class 2); 11 to 15 are proprietary."""

    POWER_LIMIT = 0
    CLEAR_CREDIT = 1
    TARIFF_RATE = 2
    KEY_SECTION_1 = 3
    KEY_SECTION_2 = 4
    CLEAR_TAMPER = 5
    PHASE_UNBALANCE_LIMIT = 6
    WATER_FACTOR = 7
    KEY_SECTION_3 = 8
    KEY_SECTION_4 = 9
    EXTENDED_SET = 10


@unique
class MeterTestNumber(IntEnum):
    """Test or display n of a class 1 token: control bit n - 1; 0 is all bits."""

    ALL = 0
    LOAD_SWITCH = 1
    DISPLAY = 2
    ENERGY_TOTALS = 3
    KRN = 4
    TARIFF_INDEX = 5
    TOKEN_READER = 6
    POWER_LIMIT = 7
    TAMPER_STATUS = 8
    PRESENT_POWER = 9
    SOFTWARE_VERSION = 10
    PHASE_UNBALANCE_LIMIT = 11
    WATER_FACTOR = 12
    TARIFF_RATE = 13
    ENCRYPTION_ALGORITHM = 14
    KEY_CHANGE_TOKENS = 15  # how many a key change takes
    SGC = 16
    KEN = 17
    DRN = 18


@unique
class CreditRegister(IntEnum):
    """Register that a ClearCredit token empties."""

    ELECTRICITY = 0
    WATER = 1
    GAS = 2
    TIME = 3
    ELECTRICITY_CURRENCY = 4
    WATER_CURRENCY = 5
    GAS_CURRENCY = 6
    TIME_CURRENCY = 7
    ALL = 0xFFFF


@unique
class MeterFlag(IntEnum):
    """Flag of the extended token set (STS 202-5)."""

    TEST = 0
    DETECT_TAMPER = 1
    DISCONNECT_SERVICE = 2
    DISCONNECT_ON_TAMPER = 3
    DISCONNECT_ON_POWER_LIMIT = 4
    DISCONNECT_ON_UNDER_FREQUENCY = 5
    PREPAID_ELECTRICITY = 6  # 0 post-paid, 1 pre-paid; so are the next three
    PREPAID_WATER = 7
    PREPAID_GAS = 8
    PREPAID_TIME = 9
    COMMISSIONING = 10
    TARIFF_INDEX_POWER_LIMIT = 11


@unique
class KeyType(IntEnum):
    """Type of a decoder key, KT."""

    INITIALIZATION = 0  # DITK: the manufacturer's; not derived from a vending key
    DEFAULT = 1  # DDTK: a meter still holding it refuses credit
    UNIQUE = 2  # DUTK
    COMMON = 3  # DCTK: systems with magnetic cards


@unique
class EncryptionAlgorithm(IntEnum):
    """Encryption algorithm, EA. EA09 (DES) is withdrawn."""

    STA = 7
    MISTY1 = 11

    @property
    def key_bytes(self) -> int:
        """Length of the decoder key."""
        return 8 if self is EncryptionAlgorithm.STA else 16

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise UnsupportedError("ea", _unsupported("EA", value, withdrawn=(9,), known="EA07, EA11"))


@unique
class Dkga(IntEnum):
    """Decoder key generation algorithm. DKGA01 (legacy) and DKGA03 (withdrawn) are refused."""

    DES = 2
    HMAC_SHA_256 = 4

    @classmethod
    def _missing_(cls, value: object) -> None:
        text = _unsupported("DKGA", value, withdrawn=(1, 3), known="DKGA02, DKGA04")
        raise UnsupportedError("dkga", text)


@unique
class BaseDate(IntEnum):
    """The moment from which TIDs count: 1 January 00:00 UTC of the year."""

    Y1993 = 1993
    Y2014 = 2014
    Y2035 = 2035

    @property
    def code(self) -> str:
        """Two digits, as used in key derivation."""
        return f"{self.value % 100:02d}"

    @property
    def epoch(self) -> datetime:
        """The moment itself, aware UTC."""
        return datetime(self.value, 1, 1, tzinfo=UTC)


def _unsupported(family: str, value: object, *, withdrawn: tuple[int, ...], known: str) -> str:
    if value in withdrawn:
        return f"{family}{value:02d} is withdrawn, not supported; use {known}"
    return f"no such {family}; use {known}"
