"""Registers: 16-bit words into numbers and text (Modbus application protocol V1.1b3, 4.2-4.4).

The protocol fixes only the order of the two bytes of one register; how makers join registers into
larger numbers is data here. Numbers leave as `Decimal` or `int`, never as a binary float. Knows
nothing of addresses, functions or meters.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from enum import StrEnum, unique
from string import ascii_lowercase

# No product of a 64-bit register and a scale comes near; so every scaling is exact.
_EXACT = Context(prec=60)
# Nine significant digits tell any two numbers of IEEE 754 binary32 apart.
_FLOAT32_DIGITS = 9


@unique
class Order(StrEnum):
    """Order of the bytes on the wire, A the most significant; longer numbers go on likewise."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"


@unique
class Encoding(StrEnum):
    """How the bits of a register, or of several, stand for a number."""

    U16 = "u16"
    U32 = "u32"
    U48 = "u48"
    U64 = "u64"
    S16 = "s16"
    S32 = "s32"
    S48 = "s48"
    S64 = "s64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BCD16 = "bcd16"
    BCD32 = "bcd32"
    BCD64 = "bcd64"

    @property
    def words(self) -> int:
        """How many registers it takes."""
        return _BITS[self] // 16


_BITS: Mapping[Encoding, int] = {
    encoding: int(encoding.value.lstrip(ascii_lowercase)) for encoding in Encoding
}
_SIGNED = frozenset({Encoding.S16, Encoding.S32, Encoding.S48, Encoding.S64})
_FLOATS = frozenset({Encoding.FLOAT32, Encoding.FLOAT64})
_BCD = frozenset({Encoding.BCD16, Encoding.BCD32, Encoding.BCD64})


def number_range(encoding: Encoding) -> tuple[int, int] | None:
    """The least and the greatest integer; None for floats, which have no useful ends."""
    bits = _BITS[encoding]
    if encoding in _SIGNED:
        return -(1 << bits - 1), (1 << bits - 1) - 1
    if encoding in _BCD:
        return 0, 10 ** (bits // 4) - 1
    if encoding in _FLOATS:
        return None
    return 0, (1 << bits) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFormat:
    """How to read a number: its value is what the words say, times `scale`.

    `invalid` lists the words, joined to one unsigned number, that say "not available".
    """

    encoding: Encoding
    order: Order = Order.ABCD
    scale: Decimal = Decimal(1)
    invalid: frozenset[int] = frozenset()

    @property
    def is_float(self) -> bool:
        """The registers hold a binary float."""
        return self.encoding in _FLOATS

    def value(self, words: Sequence[int]) -> Decimal | None:
        """The number; None when not available (listed, NaN, infinite, no decimal digits).

        Raises ValueError when the count of words is not that of the encoding.
        """
        if len(words) != self.encoding.words:
            raise ValueError(
                f"{self.encoding} takes {self.encoding.words} registers, not {len(words)}"
            )
        raw = wire_bytes(words, self.order)
        if int.from_bytes(raw) in self.invalid:
            return None
        number = _number(raw, self.encoding)
        return None if number is None else _EXACT.multiply(number, self.scale)

    def words(self, value: Decimal | None) -> tuple[int, ...]:
        """The registers that say this value, or the nearest they can; None is "not available".

        Raises ValueError for a value that they cannot hold.
        """
        if value is None:
            return raw_words(self._unavailable(), self.order)
        number = _EXACT.divide(value, self.scale)
        return raw_words(_raw(number, self.encoding), self.order)

    def _unavailable(self) -> bytes:
        size = 2 * self.encoding.words
        if self.invalid:
            return min(self.invalid).to_bytes(size)
        if self.is_float:
            return _raw(Decimal("NaN"), self.encoding)
        raise ValueError(f"{self.encoding} has no number for what is not available")


def wire_bytes(words: Sequence[int], order: Order = Order.ABCD) -> bytes:
    """The bytes of the words, most significant first."""
    ordered = reversed(words) if order in (Order.CDAB, Order.DCBA) else words
    byte_order = ">" if order in (Order.ABCD, Order.CDAB) else "<"
    return struct.pack(f"{byte_order}{len(words)}H", *ordered)


def raw_words(raw: bytes, order: Order = Order.ABCD) -> tuple[int, ...]:
    """The words that `wire_bytes` reads as these bytes."""
    byte_order = ">" if order in (Order.ABCD, Order.CDAB) else "<"
    if order in (Order.CDAB, Order.DCBA):
        pairs = [raw[at : at + 2] for at in range(0, len(raw), 2)]
        raw = b"".join(reversed(pairs))
    return struct.unpack(f"{byte_order}{len(raw) // 2}H", raw)


def unsigned(words: Sequence[int]) -> int:
    """One unsigned number of any count of words, ABCD."""
    return int.from_bytes(wire_bytes(words))


def signed(words: Sequence[int]) -> int:
    """One number in two's complement of any count of words, ABCD."""
    return int.from_bytes(wire_bytes(words), signed=True)


def words_of(number: int, count: int) -> tuple[int, ...]:
    """An unsigned or two's complement number as so many words, ABCD; OverflowError if too large."""
    raw = number.to_bytes(2 * count, signed=number < 0)
    return struct.unpack(f">{count}H", raw)


def text(words: Sequence[int], order: Order = Order.ABCD) -> str:
    """Two characters a register, without the filling (NUL, FF or blanks) at the end.

    What is not ASCII shows as U+FFFD.
    """
    return wire_bytes(words, order).rstrip(b"\x00\xff ").decode("ascii", errors="replace")


def decimal_digits(words: Sequence[int], order: Order = Order.ABCD) -> str | None:
    """Four decimal digits a register (BCD), or None where a nibble is no decimal digit."""
    digits = wire_bytes(words, order).hex()
    return digits if digits.isdecimal() else None


def _number(raw: bytes, encoding: Encoding) -> Decimal | None:
    if encoding is Encoding.FLOAT32:
        return _float32(raw)
    if encoding is Encoding.FLOAT64:
        return _float64(raw)
    if encoding in _BCD:
        return Decimal(raw.hex()) if raw.hex().isdecimal() else None
    return Decimal(int.from_bytes(raw, signed=encoding in _SIGNED))


def _raw(number: Decimal, encoding: Encoding) -> bytes:
    if encoding in _FLOATS:
        form = ">f" if encoding is Encoding.FLOAT32 else ">d"
        try:
            return struct.pack(form, float(number))
        except OverflowError as exc:
            raise ValueError(f"{encoding} cannot hold {number}") from exc
    whole = int(number.to_integral_value())
    size = 2 * encoding.words
    try:
        if encoding in _BCD:
            whole = int(str(whole), 16) if whole >= 0 else whole
        return whole.to_bytes(size, signed=encoding in _SIGNED)
    except OverflowError as exc:
        raise ValueError(f"{encoding} cannot hold {whole}") from exc


def _float64(raw: bytes) -> Decimal | None:
    (number,) = struct.unpack(">d", raw)
    return Decimal(repr(number)) if math.isfinite(number) else None


def _float32(raw: bytes) -> Decimal | None:
    """The shortest decimal that reads back as the same 32 bits: 230.2, not 230.1999969482."""
    (number,) = struct.unpack(">f", raw)
    if not math.isfinite(number):
        return None
    for digits in range(1, _FLOAT32_DIGITS):
        shortest = f"{number:.{digits}g}"
        if _as_float32(shortest) == raw:
            return Decimal(shortest)
    return Decimal(f"{number:.{_FLOAT32_DIGITS}g}")


def _as_float32(digits: str) -> bytes | None:
    try:
        return struct.pack(">f", float(digits))
    except OverflowError:
        return None
