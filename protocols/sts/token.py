"""Tokens (IEC 62055-41): contents <-> 66 bits <-> 20 decimal digits.

``encode`` and ``decode`` are the two ways in. ``decode`` goes through the checks a meter makes
first, in its order: format, then authentication, then what is asked for. TID, key expiry and key
type are judged by whoever holds the meter's memory.
"""

from protocols.sts.block import SUBCLASS_SHIFT, seal, unseal
from protocols.sts.cipher import BlockCipher
from protocols.sts.credit import Credit, read_credit
from protocols.sts.drn import is_decimal
from protocols.sts.errors import FormatError, FunctionError, MissingKeyError, UnsupportedError
from protocols.sts.keychange import KEY_SECTION_SUBCLASSES, KeyChange, KeySection, read_section
from protocols.sts.management import Management, read_management
from protocols.sts.metertest import MeterTestToken, read_meter_test
from protocols.sts.tables import TokenClass

DIGITS = 20
TOKEN_MAX = (1 << 66) - 1
BLOCK_MASK = (1 << 64) - 1
CLASS_SHIFT = 27
DISPLACED_SHIFT = 64
CLASS_MASK = 3 << CLASS_SHIFT

TimedContents = Credit | Management
TokenContents = TimedContents | KeySection | MeterTestToken


def encode(contents: TokenContents, cipher: BlockCipher | None) -> str:
    """The 20 digits of a token.

    ``cipher`` is the meter's decoder key made ready (``cipher_for``), kept from token to token.
    Class 1 is clear text and needs none; MissingKeyError where another class gets none.
    """
    block = clear_block(contents)
    if contents.token_class is not TokenClass.METER_TEST:
        block = _needed(cipher).encrypt(block)
    return digits_of(contents.token_class, block)


def decode(digits: str, cipher: BlockCipher | None) -> TokenContents:
    """What 20 digits say to the meter whose key ``cipher`` is.

    Raises FormatError (not a token), CrcError (not for this key, or mistyped), FunctionError
    (genuine, but reserved), RangeError (genuine, with an impossible value), and nothing else for
    any text; MissingKeyError when an encrypted token meets no cipher.
    """
    token_class, block = block_of(digits)
    if token_class is TokenClass.METER_TEST:
        return read_meter_test(unseal(token_class, block))
    cipher = _needed(cipher)
    content = unseal(token_class, cipher.decrypt(block))
    if token_class is TokenClass.CREDIT:
        return read_credit(content)
    if content >> SUBCLASS_SHIFT in KEY_SECTION_SUBCLASSES:
        return read_section(content, cipher.algorithm)
    return read_management(content)


def encode_key_change(
    change: KeyChange, old: BlockCipher, *, three_kct: bool = False
) -> tuple[str, ...]:
    """The digits of a key-change set, in order; all under the key the meter still holds.

    EA11 gives four tokens; EA07 two, or three with ``three_kct``. UnsupportedError when the new key
    is of another algorithm than the old.
    """
    if change.key.algorithm is not old.algorithm:
        raise UnsupportedError("ea", "tokens cannot change the encryption algorithm of a meter")
    return tuple(encode(section, old) for section in change.sections(three_kct=three_kct))


def clear_block(contents: TokenContents) -> int:
    """The 64 bits before encryption, CRC included."""
    return seal(contents.token_class, contents.content())


def digits_of(token_class: TokenClass, block: int) -> str:
    """Put the class into bits 28 and 27; the bits it displaces go on top. As 20 digits."""
    displaced = (block & CLASS_MASK) >> CLASS_SHIFT
    value = displaced << DISPLACED_SHIFT | block & ~CLASS_MASK | token_class << CLASS_SHIFT
    return f"{value:0{DIGITS}d}"


def block_of(digits: str) -> tuple[TokenClass, int]:
    """Class and 64-bit block of 20 digits (no separators).

    Raises FormatError for any other text and FunctionError for the reserved class 3.
    """
    if len(digits) != DIGITS or not is_decimal(digits):
        raise FormatError("token", "must be 20 decimal digits")
    value = int(digits)
    if value > TOKEN_MAX:
        raise FormatError("token", "is larger than 66 bits allow; was it mistyped?")
    class_bits = (value & CLASS_MASK) >> CLASS_SHIFT
    if class_bits not in _CLASSES:
        raise FunctionError("token_class", "3 is reserved")
    displaced = value >> DISPLACED_SHIFT
    block = value & BLOCK_MASK & ~CLASS_MASK | displaced << CLASS_SHIFT
    return TokenClass(class_bits), block


_CLASSES = frozenset(TokenClass)


def _needed(cipher: BlockCipher | None) -> BlockCipher:
    if cipher is None:
        raise MissingKeyError("cipher", "this token is encrypted; its decoder key is needed")
    return cipher
