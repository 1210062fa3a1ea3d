"""STSM: the register blocks of an STS keypad meter over Modbus, profile version 0100.

Our own generic profile, free for any meter maker (docs/stsm.md): holding registers from
D000 on, ABCD, FC03 and FC16. Commands are atomic: one FC16 that ends in a commit word, the
CRC-16/MODBUS of the words before it. The reply to an FC16 means "received", never "accepted":
results are read until they are done. Token results are the numbers of IEC 62055-52.

Knows the layout only. Codes that a meter must not send stay plain numbers, so that no meter can
make a decoder fail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag, unique
from typing import Self

from protocols.crc16 import crc16
from protocols.modbus.blocks import Span
from protocols.modbus.registers import decimal_digits, signed, text, unsigned, wire_bytes, words_of

SIGNATURE = "STSM"
TOKEN_DIGITS = 20

IDENTITY = Span(0xD000, 30)
STATUS = Span(0xD040, 33)
# From version 0101 on: the status and what else is told of supply, in one read.
STATUS_WITH_DETAILS = Span(0xD040, 44)
DETAILS_FROM = 0x0101
CREDIT = Span(0xD048, 4)
CLOCK_STATE = Span(0xD05E, 3)
TOKEN_ENTRY = Span(0xD080, 10)
TOKEN_RESULT = Span(0xD08A, 20)
TOKEN_LOG = (Span(0xD100, 60), Span(0xD13C, 60))
SUPPLY_ORDER = Span(0xD200, 8)
SUPPLY_RESULT = Span(0xD208, 7)
CLOCK = Span(0xD780, 5)

_LOG_ENTRY_WORDS = 12


@unique
class Origin(IntEnum):
    """D088: who enters the token."""

    HEADEND = 1
    LOCAL_GATEWAY = 2
    HANDHELD = 3


@unique
class Progress(IntEnum):
    """State of a token result or a supply result."""

    IDLE = 0
    RECEIVED = 1
    IN_PROCESS = 2
    DONE = 3


@unique
class Relay(IntEnum):
    """D041: the contacts as measured."""

    OPEN = 0
    CLOSED = 1
    UNKNOWN = 2


@unique
class AmountUnit(IntEnum):
    """D00A: what amounts are counted in."""

    KWH = 0
    CURRENCY = 1
    M3 = 2


class Feature(IntFlag):
    """D003, as far as used here."""

    RELAY = 1 << 0
    EMERGENCY_CREDIT = 1 << 3
    EVENT_LOG = 1 << 5
    HISTORY = 1 << 6
    BINARY_TOKEN = 1 << 8
    POWER_LIMIT = 1 << 10
    KEYPAD = 1 << 11
    REMOTE_CLOSE = 1 << 13
    AUTHORISATION = 1 << 15


class Condition(IntFlag):
    """D044: conditions present."""

    LOW_CREDIT_1 = 1 << 0
    LOW_CREDIT_2 = 1 << 1
    EMERGENCY_CREDIT = 1 << 2
    OUT_OF_CREDIT = 1 << 3
    OVERLOAD = 1 << 6
    RELAY_DOES_NOT_FOLLOW = 1 << 13
    TOKEN_LOCK_OUT = 1 << 19
    KEYPAD_UNIT_LOST = 1 << 21
    TAMPER_LOCK = 1 << 27
    HELD_FOR_DEBT = 1 << 28
    DISCONNECTED_BY_ORDER = 1 << 29
    NO_VOLTAGE = 1 << 30


@unique
class SupplyCommand(IntEnum):
    """D202. A5C2, close without a press of the button, is not offered: closing is permitted."""

    OPEN = 0xA5C0
    PERMIT_CLOSE = 0xA5C1


@unique
class SupplyAnswer(IntEnum):
    """D20B: what became of a supply order."""

    DONE = 1
    NO_CREDIT = 2
    TAMPER_LOCK = 3
    VOLTAGE_ON_LOAD_SIDE = 4
    EXPIRED = 5
    CONTACTS_DID_NOT_FOLLOW = 6
    NOT_AUTHORISED = 7


@unique
class ClockMode(IntEnum):
    """D783."""

    SET = 0
    SLEW = 1


# --- what is read ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """D000-D01D. `drn` is None when its digits are none; it stands at the right of D004-D007.

    `currency` is the ISO 4217 number, 0 for a meter that counts no money. The last five are those
    of the decoder key held now.
    """

    signature: str
    version: int
    features: Feature
    drn: str | None
    service: int
    unit: int
    exponent: int
    currency: int
    sgc: int
    tariff_index: int
    krn: int
    key_type: int
    ea: int

    @classmethod
    def of(cls, words: Sequence[int]) -> Self:
        digits, used = decimal_digits(words[4:8]), words[8]
        return cls(
            signature=text(words[0:2]),
            version=words[2],
            features=Feature(words[3]),
            drn=digits[-used:] if digits and 1 <= used <= len(digits) else None,
            service=words[9],
            unit=words[10],
            exponent=signed(words[11:12]),
            currency=words[12],
            sgc=unsigned(words[22:24]),
            tariff_index=words[24],
            krn=words[25],
            key_type=words[26],
            ea=words[29],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """D040-D060. Amounts in units of 10^exponent; `clock` seconds since 1970, UTC."""

    relay: int
    control: int
    reason: int
    conditions: Condition
    latched: Condition
    credit: int
    debt: int = 0
    import_wh: int
    power_w: int
    accepted_tokens: int
    last_request_low: int
    clock: int
    clock_state: int

    @classmethod
    def of(cls, words: Sequence[int]) -> Self:
        return cls(
            relay=words[1],
            control=words[2],
            reason=words[3],
            conditions=Condition(unsigned(words[4:6])),
            latched=Condition(unsigned(words[6:8])),
            credit=signed(words[8:12]),
            debt=signed(words[14:16]),
            import_wh=unsigned(words[20:24]),
            power_w=signed(words[24:26]),
            accepted_tokens=words[27],
            last_request_low=words[28],
            clock=unsigned(words[30:32]),
            clock_state=words[32],
        )


class Detail(IntFlag):
    """D061: which of the supply details are told."""

    RECONNECT = 1 << 0
    GRID_VOLTAGE = 1 << 1
    LOAD_VOLTAGE = 1 << 2
    LOAD_CURRENT = 1 << 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyDetails:
    """D061-D06B. None: not told. `reconnect` in units of 10^exponent."""

    reconnect: int | None = None
    grid_mv: int | None = None
    load_mv: int | None = None
    load_ma: int | None = None

    @classmethod
    def of(cls, words: Sequence[int]) -> Self:
        told = Detail(words[0])
        return cls(
            reconnect=signed(words[1:5]) if Detail.RECONNECT in told else None,
            grid_mv=unsigned(words[5:7]) if Detail.GRID_VOLTAGE in told else None,
            load_mv=unsigned(words[7:9]) if Detail.LOAD_VOLTAGE in told else None,
            load_ma=unsigned(words[9:11]) if Detail.LOAD_CURRENT in told else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenJudgement:
    """D08A-D09D: what became of the last token. Amounts in units of 10^exponent."""

    request_id: int
    progress: int
    code: int
    token_class: int
    subclass: int
    lockout_s: int
    tid: int
    amount: int
    processed: int
    credit_after: int
    krn: int
    tariff_index: int
    key_change_pending: int

    @classmethod
    def of(cls, words: Sequence[int]) -> Self:
        return cls(
            request_id=unsigned(words[0:2]),
            progress=words[2],
            code=words[3],
            token_class=words[4] >> 8,
            subclass=words[4] & 0xFF,
            lockout_s=words[5],
            tid=unsigned(words[6:8]),
            amount=signed(words[8:12]),
            processed=unsigned(words[12:14]),
            credit_after=signed(words[14:18]),
            krn=words[18] >> 8,
            tariff_index=words[18] & 0xFF,
            key_change_pending=words[19],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedToken:
    """One entry of D100-D177, the last ten tokens. Unused entries have code 0."""

    tid: int
    code: int
    token_class: int
    subclass: int
    amount: int
    processed: int
    origin: int
    request_low: int

    @classmethod
    def of(cls, words: Sequence[int]) -> Self:
        return cls(
            tid=unsigned(words[0:2]),
            code=words[2],
            token_class=words[3] >> 8,
            subclass=words[3] & 0xFF,
            amount=signed(words[4:8]),
            processed=unsigned(words[8:10]),
            origin=words[10],
            request_low=words[11],
        )


def logged_tokens(words: Sequence[int]) -> tuple[LoggedToken, ...]:
    """The used entries of the token log, in the order of the registers."""
    starts = range(0, len(words), _LOG_ENTRY_WORDS)
    entries = (LoggedToken.of(words[at : at + _LOG_ENTRY_WORDS]) for at in starts)
    return tuple(entry for entry in entries if entry.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyOutcome:
    """D208-D20E: what became of the last supply order."""

    request_id: int
    progress: int
    answer: int
    relay: int
    processed: int

    @classmethod
    def of(cls, words: Sequence[int]) -> Self:
        return cls(
            request_id=unsigned(words[0:2]),
            progress=words[2],
            answer=words[3],
            relay=words[4],
            processed=unsigned(words[5:7]),
        )


# --- what is written ----------------------------------------------------------------------------


def token_entry(request_id: int, digits: str, *, origin: Origin) -> tuple[int, ...]:
    """D080-D089: a token of 20 digits, each register one printed group of four (BCD)."""
    assert len(digits) == TOKEN_DIGITS
    groups = (int(digits[at : at + 4], 16) for at in range(0, TOKEN_DIGITS, 4))
    return committed((*words_of(request_id, 2), 0, *groups, origin))


def supply_order(
    request_id: int, command: SupplyCommand, *, valid_until: int, reason: int
) -> tuple[int, ...]:
    """D200-D207: id, command, delay (none), `valid_until` in seconds since 1970, reason."""
    return committed((*words_of(request_id, 2), command, 0, *words_of(valid_until, 2), reason))


def clock_setting(epoch: int, *, zone_minutes: int, mode: ClockMode) -> tuple[int, ...]:
    """D780-D784: seconds since 1970 (u32), the zone's minutes east of UTC (s16), set or slew."""
    return committed((*words_of(epoch, 2), *words_of(zone_minutes, 1), mode))


def committed(words: Sequence[int]) -> tuple[int, ...]:
    """The words, and their commit word after them."""
    return (*words, commit_word(words))


def commit_word(words: Sequence[int]) -> int:
    """CRC-16/MODBUS of the words in wire order, as a plain number."""
    return int.from_bytes(crc16(wire_bytes(words)), "little")
