"""Key change (IEC 62055-41, clause 6.2.8): a new decoder key in two to four tokens.

Sections carry no TID. All are encrypted under the *old* key, which is their only protection, and a
meter changes nothing until it holds the whole set. Knows nothing of digits and encryption.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self, assert_never

from protocols.sts.block import SUBCLASS_SHIFT
from protocols.sts.drn import MeterPan
from protocols.sts.errors import FunctionError, IncompleteError, KeyTypeError, RangeError
from protocols.sts.keys import DecoderKey, VendingKey, derive
from protocols.sts.limits import (
    KEN_MAX,
    KRN_MAX,
    KRN_MIN,
    NIBBLE_MAX,
    SGC_MAX,
    TARIFF_INDEX_MAX,
    WORD32_MAX,
    Limited,
    require,
)
from protocols.sts.tables import EncryptionAlgorithm, KeyType, ManagementSubclass, TokenClass

GROUP_HALF_BITS = 12
GROUP_HALF_MAX = (1 << GROUP_HALF_BITS) - 1
PAD_BITS = 20

# From the key type a meter holds to those it may take next. The public texts give only fragments
# of this matrix; what they do not name is not allowed.
KEY_TYPE_CHANGES: Mapping[KeyType, frozenset[KeyType]] = {
    KeyType.INITIALIZATION: frozenset(
        {KeyType.INITIALIZATION, KeyType.DEFAULT, KeyType.UNIQUE, KeyType.COMMON}
    ),
    KeyType.DEFAULT: frozenset({KeyType.DEFAULT, KeyType.UNIQUE}),
    KeyType.UNIQUE: frozenset({KeyType.DEFAULT, KeyType.UNIQUE}),
    KeyType.COMMON: frozenset({KeyType.COMMON}),
}


def require_key_type_change(
    old: KeyType,
    new: KeyType,
    *,
    allowed: Mapping[KeyType, frozenset[KeyType]] = KEY_TYPE_CHANGES,
) -> None:
    """Raise KeyTypeError unless a meter holding ``old`` may take ``new``."""
    if new not in allowed.get(old, frozenset()):
        raise KeyTypeError("key_type", f"a meter may not go from {old.name} to {new.name}")


@dataclass(frozen=True, slots=True)
class _Section(Limited):
    token_class: ClassVar[TokenClass] = TokenClass.MANAGEMENT
    subclass: ClassVar[ManagementSubclass]


@dataclass(frozen=True, slots=True)
class FirstSection(_Section):
    """Set1stSectionDecoderKey: the key's first 32 bits, KRN, KT, RO and the high half of KEN.

    ``three_kct`` tells an EA07 meter that a third token with the SGC belongs to the set.
    """

    ken_high: int
    krn: int
    rollover: bool
    three_kct: bool
    key_type: KeyType
    word: int = field(repr=False)

    subclass: ClassVar[ManagementSubclass] = ManagementSubclass.KEY_SECTION_1
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {
        "ken_high": (0, NIBBLE_MAX),
        "key_type": (KeyType.INITIALIZATION, KeyType.COMMON),
        "word": (0, WORD32_MAX),
    }

    def __post_init__(self) -> None:
        Limited.__post_init__(self)
        _require_krn(self.krn, self.key_type)

    def content(self) -> int:
        """The 48 bits before the CRC."""
        head = self.subclass << 4 | self.ken_high
        flags = self.rollover << 3 | self.three_kct << 2 | self.key_type
        return head << 40 | self.krn << 36 | flags << 32 | self.word

    @classmethod
    def read(cls, content: int) -> Self:
        """The fields of 48 bits; RangeError for a KRN above 9."""
        return cls(
            ken_high=content >> 40 & 0xF,
            krn=content >> 36 & 0xF,
            rollover=bool(content >> 35 & 1),
            three_kct=bool(content >> 34 & 1),
            key_type=KeyType(content >> 32 & 3),
            word=content & WORD32_MAX,
        )


@dataclass(frozen=True, slots=True)
class SecondSection(_Section):
    """Set2ndSectionDecoderKey: the key's last 32 bits, TI and the low half of KEN."""

    ken_low: int
    tariff_index: int
    word: int = field(repr=False)

    subclass: ClassVar[ManagementSubclass] = ManagementSubclass.KEY_SECTION_2
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {
        "ken_low": (0, NIBBLE_MAX),
        "tariff_index": (0, TARIFF_INDEX_MAX),
        "word": (0, WORD32_MAX),
    }

    def content(self) -> int:
        """The 48 bits before the CRC."""
        head = self.subclass << 4 | self.ken_low
        return head << 40 | self.tariff_index << 32 | self.word

    @classmethod
    def read(cls, content: int) -> Self:
        """The fields of 48 bits; RangeError for a TI above 99."""
        return cls(content >> 40 & 0xF, content >> 32 & 0xFF, content & WORD32_MAX)


@dataclass(frozen=True, slots=True)
class ThirdSection(_Section):
    """Set3rdSectionDecoderKey of EA11: the key's second 32 bits and the low half of the SGC."""

    sgc_low: int
    word: int = field(repr=False)

    subclass: ClassVar[ManagementSubclass] = ManagementSubclass.KEY_SECTION_3
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {
        "sgc_low": (0, GROUP_HALF_MAX),
        "word": (0, WORD32_MAX),
    }

    def content(self) -> int:
        """The 48 bits before the CRC."""
        return (self.subclass << GROUP_HALF_BITS | self.sgc_low) << 32 | self.word

    @classmethod
    def read(cls, content: int) -> Self:
        """The fields of 48 bits."""
        return cls(content >> 32 & GROUP_HALF_MAX, content & WORD32_MAX)


@dataclass(frozen=True, slots=True)
class FourthSection(_Section):
    """Set4thSectionDecoderKey of EA11: the key's third 32 bits and the high half of the SGC."""

    sgc_high: int
    word: int = field(repr=False)

    subclass: ClassVar[ManagementSubclass] = ManagementSubclass.KEY_SECTION_4
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {
        "sgc_high": (0, GROUP_HALF_MAX),
        "word": (0, WORD32_MAX),
    }

    def content(self) -> int:
        """The 48 bits before the CRC."""
        return (self.subclass << GROUP_HALF_BITS | self.sgc_high) << 32 | self.word

    @classmethod
    def read(cls, content: int) -> Self:
        """The fields of 48 bits."""
        return cls(content >> 32 & GROUP_HALF_MAX, content & WORD32_MAX)


@dataclass(frozen=True, slots=True)
class GroupSection(_Section):
    """Set3rdSectionDecoderKey of EA07: the whole SGC; its last 20 bits are padding."""

    sgc: int

    subclass: ClassVar[ManagementSubclass] = ManagementSubclass.KEY_SECTION_3
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {"sgc": (0, SGC_MAX)}

    def content(self) -> int:
        """The 48 bits before the CRC."""
        return self.subclass << SUBCLASS_SHIFT | self.sgc << PAD_BITS

    @classmethod
    def read(cls, content: int) -> Self:
        """The SGC of 48 bits; RangeError for one above 999999 or padding that is not 0."""
        if content & (1 << PAD_BITS) - 1:
            raise RangeError("pad", "must be 0 in the third token of an EA07 key change")
        return cls(content >> PAD_BITS & 0xFF_FFFF)


KeySection = FirstSection | SecondSection | ThirdSection | FourthSection | GroupSection

_SECTIONS: Mapping[tuple[EncryptionAlgorithm, int], type[KeySection]] = {
    (EncryptionAlgorithm.STA, ManagementSubclass.KEY_SECTION_1): FirstSection,
    (EncryptionAlgorithm.STA, ManagementSubclass.KEY_SECTION_2): SecondSection,
    (EncryptionAlgorithm.STA, ManagementSubclass.KEY_SECTION_3): GroupSection,
    (EncryptionAlgorithm.MISTY1, ManagementSubclass.KEY_SECTION_1): FirstSection,
    (EncryptionAlgorithm.MISTY1, ManagementSubclass.KEY_SECTION_2): SecondSection,
    (EncryptionAlgorithm.MISTY1, ManagementSubclass.KEY_SECTION_3): ThirdSection,
    (EncryptionAlgorithm.MISTY1, ManagementSubclass.KEY_SECTION_4): FourthSection,
}


KEY_SECTION_SUBCLASSES = frozenset(subclass for _, subclass in _SECTIONS)


def read_section(content: int, algorithm: EncryptionAlgorithm) -> KeySection:
    """Section from 48 genuine bits; FunctionError for a fourth one under EA07."""
    section = _SECTIONS.get((algorithm, content >> SUBCLASS_SHIFT))
    if section is None:
        raise FunctionError("subclass", "is no key-change section of this algorithm")
    return section.read(content)


@dataclass(frozen=True, slots=True)
class KeyChange(Limited):
    """What a set of key-change tokens brings to a meter.

    ``sgc`` is None where the set did not carry it (two tokens of EA07). ``rollover`` empties the
    meter's TID store. KRN is 0 for an initialisation key, else 1 to 9.
    """

    key: DecoderKey
    key_type: KeyType
    krn: int
    tariff_index: int
    ken: int
    rollover: bool
    sgc: int | None

    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {
        "tariff_index": (0, TARIFF_INDEX_MAX),
        "ken": (0, KEN_MAX),
    }

    def __post_init__(self) -> None:
        Limited.__post_init__(self)
        _require_krn(self.krn, self.key_type)
        if self.sgc is not None:
            require("sgc", self.sgc, 0, SGC_MAX)

    @classmethod
    def between(
        cls,
        old: VendingKey,
        new: VendingKey,
        pan: MeterPan,
        *,
        tariff_index: int,
        algorithm: EncryptionAlgorithm,
    ) -> Self:
        """Change of a meter to vending key ``new``; another base date means a rollover.

        Raises KeyTypeError where the types forbid it.
        """
        require_key_type_change(old.key_type, new.key_type)
        return cls(
            key=derive(new, pan, tariff_index=tariff_index, algorithm=algorithm),
            key_type=new.key_type,
            krn=new.krn,
            tariff_index=tariff_index,
            ken=new.ken,
            rollover=old.base_date is not new.base_date,
            sgc=new.sgc,
        )

    def sections(self, *, three_kct: bool = False) -> tuple[KeySection, ...]:
        """The set: four sections for EA11; for EA07 two, or three with the SGC if the meter can."""
        words = _words(self.key.value)
        second = SecondSection(self.ken & 0xF, self.tariff_index, words[-1])
        if self.key.algorithm is EncryptionAlgorithm.STA:
            both = (self._first(three_kct, words[0]), second)
            return (*both, GroupSection(self._known_sgc())) if three_kct else both
        if three_kct:
            raise RangeError("three_kct", "an EA11 set always has four tokens")
        sgc = self._known_sgc()
        return (
            self._first(three_kct, words[0]),
            second,
            ThirdSection(sgc & GROUP_HALF_MAX, words[1]),
            FourthSection(sgc >> GROUP_HALF_BITS, words[2]),
        )

    def _first(self, three_kct: bool, word: int) -> FirstSection:
        return FirstSection(
            ken_high=self.ken >> 4,
            krn=self.krn,
            rollover=self.rollover,
            three_kct=three_kct,
            key_type=self.key_type,
            word=word,
        )

    def _known_sgc(self) -> int:
        if self.sgc is None:
            raise RangeError("sgc", "is needed for a set of three or four tokens")
        return self.sgc


@dataclass(frozen=True, slots=True)
class HeldSections:
    """Sections a meter has taken so far, in any order; a repeated one replaces the earlier."""

    algorithm: EncryptionAlgorithm
    first: FirstSection | None = None
    second: SecondSection | None = None
    third: ThirdSection | GroupSection | None = None
    fourth: FourthSection | None = None

    def take(self, section: KeySection) -> Self:
        """The same with one more section; FunctionError for one of the other algorithm."""
        if _SECTIONS.get((self.algorithm, section.subclass)) is not type(section):
            raise FunctionError("subclass", "is no key-change section of this algorithm")
        match section:
            case FirstSection():
                return replace(self, first=section)
            case SecondSection():
                return replace(self, second=section)
            case ThirdSection() | GroupSection():
                return replace(self, third=section)
            case FourthSection():
                return replace(self, fourth=section)
            case _:
                assert_never(section)

    @property
    def missing(self) -> tuple[int, ...]:
        """Numbers of the sections still to come; a third one of EA07 only if the first says so."""
        needed: dict[int, KeySection | None] = {1: self.first, 2: self.second}
        if self.algorithm is EncryptionAlgorithm.MISTY1:
            needed |= {3: self.third, 4: self.fourth}
        elif self.first is not None and self.first.three_kct:
            needed[3] = self.third
        return tuple(number for number, section in needed.items() if section is None)

    def assemble(self) -> KeyChange:
        """The new key with its attributes; IncompleteError while sections are missing."""
        first, second = self.first, self.second
        if self.missing or first is None or second is None:
            raise IncompleteError("sections", f"still missing: {list(self.missing)}")
        words, sgc = self._middle(first)
        value = b"".join(word.to_bytes(4) for word in (first.word, *words, second.word))
        return KeyChange(
            key=DecoderKey(value, self.algorithm),
            key_type=first.key_type,
            krn=first.krn,
            tariff_index=second.tariff_index,
            ken=first.ken_high << 4 | second.ken_low,
            rollover=first.rollover,
            sgc=sgc,
        )

    def _middle(self, first: FirstSection) -> tuple[tuple[int, ...], int | None]:
        match self.third, self.fourth:
            case ThirdSection() as third, FourthSection() as fourth:
                sgc = fourth.sgc_high << GROUP_HALF_BITS | third.sgc_low
                return (third.word, fourth.word), sgc
            case GroupSection(sgc), None if first.three_kct:
                return (), sgc
        return (), None


def _words(key: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(key[at : at + 4]) for at in range(0, len(key), 4))


def _require_krn(krn: int, key_type: KeyType) -> None:
    require("krn", krn, 0 if key_type is KeyType.INITIALIZATION else KRN_MIN, KRN_MAX)
