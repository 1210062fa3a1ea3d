"""The clear block of a token (IEC 62055-41): 48 bits of content and 16 of CRC.

The content begins with the sub-class. The class travels outside the block but is under the CRC, so
a token cannot be relabelled. Knows nothing of what the content means.
"""

from dataclasses import dataclass
from typing import Self

from protocols.sts.crc import crc, crc_c
from protocols.sts.errors import CrcError
from protocols.sts.tables import CreditSubclass, TokenClass

CRC_BITS = 16
CONTENT_BITS = 48
SUBCLASS_SHIFT = 44
NIBBLE_SHIFT = 40
TID_SHIFT = 16
PROTECTED_BYTES = 7


def seal(token_class: TokenClass, content: int) -> int:
    """Clear block of 64 bits: the content with its CRC."""
    return content << CRC_BITS | _crc_of(token_class, content)


def unseal(token_class: TokenClass, block: int) -> int:
    """Content of a clear block; CrcError when it does not authenticate."""
    content = block >> CRC_BITS
    if block & 0xFFFF != _crc_of(token_class, content):
        raise CrcError("token", "does not authenticate: wrong key, wrong meter or mistyped")
    return content


def has_crc_c(token_class: TokenClass, subclass: int) -> bool:
    """Whether tokens of a sub-class are protected by CRC_C instead of CRC."""
    first, last = CreditSubclass.ELECTRICITY_CURRENCY, CreditSubclass.TIME_CURRENCY
    return token_class is TokenClass.CREDIT and first <= subclass <= last


@dataclass(frozen=True, slots=True)
class TimedContent:
    """Content of every token with a TID: sub-class 4, nibble 4, TID 24, data 16 bits.

    The nibble is RND, or sign and high exponent of an amount of currency.
    """

    subclass: int
    nibble: int
    tid: int
    data: int

    def pack(self) -> int:
        """The 48 bits."""
        return (
            self.subclass << SUBCLASS_SHIFT
            | self.nibble << NIBBLE_SHIFT
            | self.tid << TID_SHIFT
            | self.data
        )

    @classmethod
    def unpack(cls, content: int) -> Self:
        """The fields of 48 bits."""
        return cls(
            subclass=content >> SUBCLASS_SHIFT,
            nibble=content >> NIBBLE_SHIFT & 0xF,
            tid=content >> TID_SHIFT & 0xFF_FFFF,
            data=content & 0xFFFF,
        )


def _crc_of(token_class: TokenClass, content: int) -> int:
    protected = (token_class << CONTENT_BITS | content).to_bytes(PROTECTED_BYTES)
    if has_crc_c(token_class, content >> SUBCLASS_SHIFT):
        return crc_c(protected)
    return crc(protected)
