"""Tokens: 20 digits that carry credit, and what a meter says of them.

Digits are secrets in motion: a token never prints more than its last four.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import IntEnum, StrEnum, unique

from headend.meters import Drn, Service, StsConfiguration, TenantId
from headend.quantities import Amount
from headend.refusals import MalformedToken
from headend.vending_keys import KeyMark

DIGITS = 20
MAX_TOKEN = 2**66 - 1


@unique
class TokenPurpose(StrEnum):
    """What a token is for, as far as we know; `management` is class 2 of unknown sub-class."""

    CREDIT = "credit"
    KEY_CHANGE = "key_change"
    MANAGEMENT = "management"
    TEST = "test"


@unique
class TokenState(StrEnum):
    """Where one token stands. TAKEN only on the meter's own word."""

    WAITING = "waiting"
    TAKEN = "taken"
    REFUSED = "refused"
    DEAD = "dead"


@unique
class TokenResult(IntEnum):
    """Token result of the meter: numbers of the token status register (IEC 62055-52), 0x80 ours."""

    RESERVED = 0
    ACCEPT = 1
    FIRST_KCT = 2
    SECOND_KCT = 3
    OVERFLOW_ERROR = 4
    KEY_TYPE_ERROR = 5
    FORMAT_ERROR = 6
    RANGE_ERROR = 7
    FUNCTION_ERROR = 8
    OLD_ERROR = 9
    USED_ERROR = 10
    KEY_EXPIRED_ERROR = 11
    DDTK_ERROR = 12
    CRC_ERROR = 13
    MFR_CODE_ERROR = 14
    LOCK_OUT = 15
    NOT_READY = 16
    THIRD_KCT = 0x81
    FOURTH_KCT = 0x82
    KCT_AWAITED = 0x83
    REQUEST_ID_USED = 0x90

    @property
    def taken(self) -> bool:
        """The meter took this token."""
        return self in _TAKEN

    @property
    def refused(self) -> bool:
        """The meter judged this token and said no; final (results 4-9 and 11-14)."""
        return self in _REFUSED


_TAKEN = frozenset(
    {
        TokenResult.ACCEPT,
        TokenResult.FIRST_KCT,
        TokenResult.SECOND_KCT,
        TokenResult.THIRD_KCT,
        TokenResult.FOURTH_KCT,
        TokenResult.KCT_AWAITED,
    }
)
_REFUSED = frozenset(
    {
        TokenResult.OVERFLOW_ERROR,
        TokenResult.KEY_TYPE_ERROR,
        TokenResult.FORMAT_ERROR,
        TokenResult.RANGE_ERROR,
        TokenResult.FUNCTION_ERROR,
        TokenResult.OLD_ERROR,
        TokenResult.KEY_EXPIRED_ERROR,
        TokenResult.DDTK_ERROR,
        TokenResult.CRC_ERROR,
        TokenResult.MFR_CODE_ERROR,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token of a delivery; `sequence` counts from 1 in the order of entry.

    `mark` is that of the vending key it was made under; None for tokens of class 1, which need no
    key, and for those that the back-office brought.
    """

    id: str
    tenant: TenantId
    drn: Drn
    delivery_id: str
    sequence: int
    purpose: TokenPurpose
    digits: str = field(repr=False)
    tid: int | None = None
    mark: KeyMark | None = None
    state: TokenState = TokenState.WAITING
    result: TokenResult | None = None
    taken_at: datetime | None = None

    @property
    def masked(self) -> str:
        """All but the last four digits hidden."""
        return mask(self.digits)

    @property
    def grouped(self) -> str:
        """Five groups of four, as printed on a receipt (IEC 62055-51)."""
        return " ".join(self.digits[i : i + 4] for i in range(0, DIGITS, 4))


def mask(digits: str) -> str:
    return "*" * (len(digits) - 4) + digits[-4:]


@unique
class TokenOrigin(StrEnum):
    """Where a meter says that a token came from."""

    KEYPAD = "keypad"
    HEADEND = "headend"
    LOCAL = "local"  # a gateway beside the meter, acting by itself
    HANDHELD = "handheld"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOutcome:
    """What a meter says of one token.

    `tid` and `amount` are its echo (amount in units of the service), `credit_before` and
    `credit_after` its register in the same units, `lockout_s` how long entry stays locked;
    `origin` is where it came from, where the meter tells.
    """

    result: TokenResult
    tid: int | None = None
    amount: Decimal | None = None
    credit_before: Decimal | None = None
    credit_after: Decimal | None = None
    lockout_s: int = 0
    at: datetime | None = None
    origin: TokenOrigin | None = None


@unique
class ManagementKind(StrEnum):
    """Class 2 tokens with a TID, and the test tokens of class 1 (IEC 62055-41, 6.2)."""

    POWER_LIMIT = "power_limit"  # value: watts
    CLEAR_CREDIT = "clear_credit"  # value: register 0-7, or 65535 for all
    TARIFF_RATE = "tariff_rate"  # value: raw 16 bits
    CLEAR_TAMPER = "clear_tamper"  # no value
    UNBALANCE_LIMIT = "unbalance_limit"  # value: watts
    WATER_FACTOR = "water_factor"  # value: raw 16 bits
    SET_FLAG = "set_flag"  # index: flag, value: 0 or 1
    SET_CONTROL = "set_control"  # index: control, value: 10 bits
    METER_TEST = "meter_test"  # value: test number 0-18
    READ_CONTROL = "read_control"  # index: control
    READ_FLAG = "read_flag"  # no numbers

    @property
    def needs_key(self) -> bool:
        """Class 2, encrypted and with a TID; those of class 1 are clear text and have none."""
        return self not in _CLASS_1


_CLASS_1 = frozenset(
    {ManagementKind.METER_TEST, ManagementKind.READ_CONTROL, ManagementKind.READ_FLAG}
)


@dataclass(frozen=True, slots=True)
class ManagementOrder:
    """One management or test token: what it does, and its numbers."""

    kind: ManagementKind
    value: int | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOrder:
    """What the security module is asked for: one token with a TID.

    `content` is an amount of credit or a management order. `tid` and `rnd` are the head-end's
    choice, and None where the module chooses its own (`VendingKey.module_draws`).
    """

    tenant: TenantId
    drn: Drn
    service: Service
    sts: StsConfiguration
    content: Amount | ManagementOrder
    tid: int | None
    rnd: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChangeOrder:
    """What the security module is asked for: the tokens that bring a meter from one key to another.

    The new decoder key is of the vending key (`to.sgc`, `to.krn`); `three_kct` asks an EA07 set
    to carry the supply group in a third token.
    """

    tenant: TenantId
    drn: Drn
    present: StsConfiguration
    to: StsConfiguration
    three_kct: bool = False


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """One token from the security module; `mark` is that of the key it is encrypted under."""

    digits: str = field(repr=False)
    tid: int | None
    purpose: TokenPurpose
    mark: KeyMark | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """The module's answer: tokens in the order of entry, and the amount really encoded."""

    tokens: tuple[IssuedToken, ...]
    encoded: Amount | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenContents:
    """What 20 digits say under a key: for verifying, never for deciding a delivery.

    `problem` names why they cannot be read under this key or would be refused, None if all is
    well; `moment` is the minute of the TID; `mark` is that of the key that opened them.
    """

    token_class: int
    subclass: int | None = None
    purpose: TokenPurpose
    text: str
    tid: int | None = None
    moment: datetime | None = None
    amount: Amount | None = None
    problem: str | None = None
    mark: KeyMark | None = None


def parse_digits(text: str, *, field: str = "tokens") -> str:
    """Check 20 digits (blanks and hyphens between groups are fine); raises MalformedToken.

    IEC 62055-41: a token is at most 2^66 - 1. The error never shows the digits.
    """
    plain = text.replace(" ", "").replace("-", "")
    if len(plain) != DIGITS or not (plain.isascii() and plain.isdigit()):
        raise MalformedToken("a token is 20 digits, as text", field=field)
    if int(plain) > MAX_TOKEN:
        raise MalformedToken("these 20 digits are above 66 bits: no token", field=field)
    return plain


def purpose_of(digits: str) -> TokenPurpose:
    """What the two class bits, which travel in clear, tell (IEC 62055-41, 6.4.2)."""
    match int(digits) >> 27 & 3:
        case 0:
            return TokenPurpose.CREDIT
        case 1:
            return TokenPurpose.TEST
        case 2:
            return TokenPurpose.MANAGEMENT
        case _:
            raise MalformedToken("token class 3 is not in use", field="tokens")
