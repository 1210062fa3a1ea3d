"""The decoder of a simulated meter: judges tokens in the order of IEC 62055-41, clause 7.3.

Keeps its own memory and rules (TID store, key, key-change sections, lock-out), none of which it
shares with the head-end. Knows nothing of credit and supply: what a token does is the meter's.
"""

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from adapters.simulators.plate import MeterSettings, Plate
from headend.tokens import TokenResult
from protocols.sts.cipher import cipher_for
from protocols.sts.credit import CreditCurrency, CreditUnits
from protocols.sts.errors import (
    CrcError,
    FormatError,
    FunctionError,
    MfrCodeError,
    RangeError,
    StsError,
)
from protocols.sts.keychange import (
    FirstSection,
    FourthSection,
    GroupSection,
    HeldSections,
    KeyChange,
    KeySection,
    SecondSection,
    ThirdSection,
)
from protocols.sts.keys import DecoderKey
from protocols.sts.metertest import ExtendedRead, MeterTest, require_mfr_code
from protocols.sts.tables import BaseDate, KeyType, TokenClass
from protocols.sts.tid import tid_at
from protocols.sts.token import TokenContents, block_of, decode

KEN_SHIFT = 16

_RESULT_OF: Mapping[type[StsError], TokenResult] = {
    FormatError: TokenResult.FORMAT_ERROR,
    CrcError: TokenResult.CRC_ERROR,
    FunctionError: TokenResult.FUNCTION_ERROR,
    RangeError: TokenResult.RANGE_ERROR,
    MfrCodeError: TokenResult.MFR_CODE_ERROR,
}

# What arms the lock-out: results 4 to 9 and 11 to 14. A used token is a customer's honest mistake.
WRONG = frozenset(map(TokenResult, (*range(4, 10), *range(11, 15))))

_PART: Mapping[type[KeySection], TokenResult] = {
    FirstSection: TokenResult.FIRST_KCT,
    SecondSection: TokenResult.SECOND_KCT,
    ThirdSection: TokenResult.THIRD_KCT,
    GroupSection: TokenResult.THIRD_KCT,
    FourthSection: TokenResult.FOURTH_KCT,
}

# From the key type held to those that a key change may bring (IEC 62055-41, 6.5.2, in fragments).
_KEY_TYPES: Mapping[KeyType, frozenset[KeyType]] = {
    KeyType.INITIALIZATION: frozenset(KeyType),
    KeyType.DEFAULT: frozenset({KeyType.DEFAULT, KeyType.UNIQUE}),
    KeyType.UNIQUE: frozenset({KeyType.DEFAULT, KeyType.UNIQUE}),
    KeyType.COMMON: frozenset({KeyType.COMMON}),
}

_NEXT_BASE = {BaseDate.Y1993: BaseDate.Y2014, BaseDate.Y2014: BaseDate.Y2035}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the decoder thinks of one token; `contents` is None where it could not be read."""

    result: TokenResult
    token_class: TokenClass | None = None
    contents: TokenContents | None = None

    @property
    def tid(self) -> int | None:
        match self.contents:
            case None | MeterTest() | ExtendedRead():
                return None
            case FirstSection() | SecondSection() | ThirdSection() | FourthSection():
                return None
            case GroupSection():
                return None
            case timed:
                return timed.tid


class Decoder:
    """Key, TID store, half key change and lock-out of one meter; all but the last outlive power."""

    def __init__(self, plate: Plate, settings: MeterSettings) -> None:
        self.key_type = plate.key_type
        self.sgc = plate.sgc
        self.krn = plate.krn
        self.tariff_index = plate.tariff_index
        self.ken = plate.ken
        self.base_date = plate.base_date
        self.algorithm = plate.key.algorithm
        self._mfr_code = int(plate.drn.mfr_code)
        self._tables = plate.tables
        self._settings = settings
        self._key = plate.key
        self._cipher = cipher_for(plate.key, plate.tables)
        # Filled so at manufacture: whatever is older than the meter is old.
        self._tids = [tid_at(plate.base_date, plate.made_at)] * settings.tid_store
        self._held = HeldSections(self.algorithm)
        self._held_since: datetime | None = None
        self._wrong = 0
        self._locked_until: datetime | None = None

    # --- judging ---------------------------------------------------------------------------------

    def judge(self, digits: str, now: datetime) -> Verdict:
        """Format, lock-out, authentication, validation; changes nothing."""
        try:
            token_class, _ = block_of(digits)
            if token_class is not TokenClass.METER_TEST and self.locked_s(now):
                return Verdict(TokenResult.LOCK_OUT, token_class)
        except StsError as error:
            return Verdict(_RESULT_OF[type(error)])
        try:
            contents = decode(digits, self._cipher)
            if isinstance(contents, MeterTest | ExtendedRead):
                require_mfr_code(contents, self._mfr_code)
        except StsError as error:
            return Verdict(_RESULT_OF[type(error)], token_class)
        authentic = Verdict(TokenResult.ACCEPT, token_class, contents)
        return Verdict(self._validate(authentic), token_class, contents)

    def _validate(self, authentic: Verdict) -> TokenResult:
        tid = authentic.tid
        if tid is None:
            return TokenResult.ACCEPT
        if tid < self._tids[0]:
            return TokenResult.OLD_ERROR
        if tid in self._tids:
            return TokenResult.USED_ERROR
        if tid >> KEN_SHIFT > self.ken:
            return TokenResult.KEY_EXPIRED_ERROR
        credit = isinstance(authentic.contents, CreditUnits | CreditCurrency)
        if credit and self.key_type is KeyType.DEFAULT:
            return TokenResult.DDTK_ERROR
        return TokenResult.ACCEPT

    def cancel(self, tid: int) -> None:
        """Remember a TID that was acted on; it takes the place of the smallest one."""
        del self._tids[0]
        insort(self._tids, tid)

    # --- lock-out --------------------------------------------------------------------------------

    def locked_s(self, now: datetime) -> int:
        """Seconds that entry stays locked, rounded up; 0 when it is not."""
        if self._locked_until is None or now >= self._locked_until:
            return 0
        return -((now - self._locked_until) // timedelta(seconds=1))

    def count(self, verdict: Verdict, result: TokenResult, now: datetime) -> bool:
        """Count an entry towards the lock-out; True when a lock-out begins with it."""
        if result.taken and verdict.token_class is not TokenClass.METER_TEST:
            self.unlock()
            return False
        if result not in WRONG or self.locked_s(now):
            return False
        self._wrong += 1
        rung = self._wrong - self._settings.wrong_until_lock
        if rung < 0:
            return False
        lock_s = min(self._settings.lock_first_s << min(rung, 32), self._settings.lock_longest_s)
        self._locked_until = now + timedelta(seconds=lock_s)
        return True

    def unlock(self) -> None:
        """Forget wrong entries: an accepted token, or power that came back."""
        self._wrong = 0
        self._locked_until = None

    # --- key change ------------------------------------------------------------------------------

    def take_section(self, section: KeySection, now: datetime) -> TokenResult:
        """One section of a key change, in any order; the key changes with the last one."""
        self.forget_half_change(now)
        if _forbidden(self.key_type, section):
            return TokenResult.KEY_TYPE_ERROR
        held = self._held.take(section)
        if held == self._held:
            return TokenResult.KCT_AWAITED
        self._held = held
        self._held_since = self._held_since or now
        if held.missing:
            return _PART[type(section)]
        self._drop_half_change()
        try:
            self._change(held.assemble())
        except RangeError:
            return TokenResult.RANGE_ERROR
        return TokenResult.ACCEPT

    def forget_half_change(self, now: datetime) -> bool:
        """Drop sections whose set was not completed in time; True when there were any."""
        if self.half_change_until is None or now < self.half_change_until:
            return False
        self._drop_half_change()
        return True

    @property
    def half_change_until(self) -> datetime | None:
        """When a half key change is forgotten; None when there is none."""
        if self._held_since is None:
            return None
        return self._held_since + timedelta(seconds=self._settings.key_change_timeout_s)

    @property
    def sections_pending(self) -> int:
        """How many sections are still to come; 0 when no key change has begun."""
        return len(self._held.missing) if self._held_since is not None else 0

    def _drop_half_change(self) -> None:
        self._held = HeldSections(self.algorithm)
        self._held_since = None

    def _change(self, change: KeyChange) -> None:
        self._use(change.key)
        self.key_type = change.key_type
        self.krn = change.krn
        self.tariff_index = change.tariff_index
        self.ken = change.ken
        if change.sgc is not None:
            self.sgc = change.sgc
        if change.rollover:
            self._tids = [0] * self._settings.tid_store
            self.base_date = _NEXT_BASE.get(self.base_date, self.base_date)

    def holds_key(self, value: bytes) -> bool:
        """Whether this is the meter's key; the key itself is never told."""
        return self._key.value == value

    # --- faults ----------------------------------------------------------------------------------

    def set_wrong_key(self, wrong: bool) -> None:
        """Let the meter hold another key than everybody believes, or its own again."""
        if wrong:
            other = bytes(byte ^ 0x5A for byte in self._key.value)
            self._cipher = cipher_for(DecoderKey(other, self.algorithm), self._tables)
        else:
            self._use(self._key)

    def _use(self, key: DecoderKey) -> None:
        self._key = key
        self._cipher = cipher_for(key, self._tables)


def _forbidden(held: KeyType, section: KeySection) -> bool:
    return isinstance(section, FirstSection) and section.key_type not in _KEY_TYPES[held]
