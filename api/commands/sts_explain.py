"""The way from a vending key to twenty digits, step by step, with every value on it.

Each value is computed by the codec that makes the tokens; nothing here computes twice.
"""

import hmac
from dataclasses import dataclass

from api.commands.sts_fields import HIDDEN, Row, fields_of, grouped, minute
from api.commands.sts_keys import MeterKey
from protocols.sts.amount import MANTISSA_BITS, MANTISSA_MAX
from protocols.sts.block import (
    CONTENT_BITS,
    CRC_BITS,
    NIBBLE_SHIFT,
    PROTECTED_BYTES,
    SUBCLASS_SHIFT,
    has_crc_c,
)
from protocols.sts.crc import CURRENCY_MARK
from protocols.sts.credit import CreditCurrency, CreditUnits
from protocols.sts.drn import MeterPan
from protocols.sts.keychange import KeySection
from protocols.sts.keys import VendingKey, control_block, kdf_input, pan_block
from protocols.sts.management import PhaseUnbalanceLimit, PowerLimit
from protocols.sts.tables import Dkga, EncryptionAlgorithm, TokenClass
from protocols.sts.token import CLASS_SHIFT, TimedContents, TokenContents, clear_block, encode

LABEL_BYTES, CONTEXT_BYTES = 13, 31


@dataclass(frozen=True, slots=True)
class Part:
    """One stretch of the way, with its heading."""

    title: str
    rows: list[Row]


def key_part(key: MeterKey, *, show_key: bool, title: str = "Decoder key") -> Part:
    """How the meter's key comes from the vending key; key values only when ``show_key``."""
    vending_key, pan, tariff_index = key.vending_key, key.pan, key.tariff_index
    decoder_key = Row("decoder key", key.decoder_key.value.hex() if show_key else HIDDEN)
    if vending_key is None or pan is None or tariff_index is None:
        return Part(title, [decoder_key, Row("origin", "given outright, not derived")])
    rows = [_pan_row(pan), _vending_key_row(vending_key, shown=key.is_public)]
    if vending_key.dkga is Dkga.DES:
        rows += _des_rows(key, vending_key, pan, tariff_index, show_key=show_key)
    else:
        rows += _kdf_rows(key, vending_key, pan, tariff_index, show_key=show_key)
    return Part(title, rows)


def token_part(
    contents: TokenContents, key: MeterKey | None, *, show_key: bool, title: str = "Token"
) -> Part:
    """How a token comes from its fields."""
    block = clear_block(contents)
    shown = show_key or not isinstance(contents, KeySection)
    rows = fields_of(contents, key.base_date if key else None, show_key=show_key)
    rows += _tid_rows(contents, key) + _code_rows(contents, block >> CRC_BITS)
    rows += _crc_rows(contents.token_class, block, shown=shown)
    if contents.token_class is TokenClass.METER_TEST:
        rows.append(Row("cipher block", f"{block:016x}", "class 1 is not encrypted"))
        return Part(title, rows + _digit_rows(contents, None, block))
    assert key is not None
    cipher = key.cipher()
    encrypted = cipher.encrypt(block)
    rows.append(Row("cipher block", f"{encrypted:016x}", _algorithm(key)))
    return Part(title, rows + _digit_rows(contents, key, encrypted))


def _pan_row(pan: MeterPan) -> Row:
    drn = pan.drn
    return Row("meter PAN", pan.digits, f"IIN {drn.iin}, DRN {drn.digits}, check {pan.digits[-1]}")


def _vending_key_row(key: VendingKey, *, shown: bool) -> Row:
    value = key.value.hex() if shown else "(never shown)"
    return Row("vending key", value, f"DKGA{key.dkga:02d}, {len(key.value)} bytes")


def _des_rows(
    key: MeterKey, vending_key: VendingKey, pan: MeterPan, tariff_index: int, *, show_key: bool
) -> list[Row]:
    place = pan_block(pan.drn.iin, pan.drn.digits, key.key_type)
    control = control_block(
        key_type=key.key_type, sgc=vending_key.sgc, tariff_index=tariff_index, krn=vending_key.krn
    )
    mixed = _xor(place, control)
    last = _xor(key.decoder_key.value, vending_key.value)

    def shown(value: bytes) -> str:
        return value.hex() if show_key else HIDDEN

    return [
        Row("PAN block", place.hex(), "last 16 digits of IIN and DRN"),
        Row("control block", control.hex(), "KT 1, SGC 6, TI 2, KRN 1 digit, padding"),
        Row("X", mixed.hex(), "PAN block xor control block"),
        Row("DES(VK, X)", shown(_xor(last, mixed))),
        Row("xor X", shown(last)),
        Row("decoder key", shown(key.decoder_key.value), "xor VK"),
    ]


def _kdf_rows(
    key: MeterKey, vending_key: VendingKey, pan: MeterPan, tariff_index: int, *, show_key: bool
) -> list[Row]:
    message = kdf_input(vending_key, pan, tariff_index=tariff_index, algorithm=key.algorithm)
    label, rest = message[:LABEL_BYTES], message[LABEL_BYTES + 1 :]
    context, length = rest[:CONTEXT_BYTES], rest[CONTEXT_BYTES:]
    mac = hmac.digest(vending_key.value, message, "sha256")
    decoder_key = key.decoder_key.value
    over = f"under the vending key, over all {len(message)} bytes"
    result = [Row("HMAC-SHA-256", mac[:16].hex(), over), Row("", mac[16:].hex())]
    return [
        Row("KDF label", label.hex(), "DKGA, base date, EA, TI; each after its length"),
        Row("separator", "00"),
        Row("KDF context", context[:11].hex(), "SGC, KT, KRN"),
        Row("", context[11:].hex(), "meter PAN"),
        Row("key length", length.hex(), f"{int.from_bytes(length)} bits"),
        *(result if show_key else [Row("HMAC-SHA-256", HIDDEN, over)]),
        Row(
            "decoder key",
            decoder_key.hex() if show_key else HIDDEN,
            f"the first {len(decoder_key)} bytes",
        ),
    ]


def _tid_rows(contents: TokenContents, key: MeterKey | None) -> list[Row]:
    if key is None or not isinstance(contents, TimedContents):
        return []
    base, tid = key.base_date, contents.tid
    return [Row("TID, hex", f"{tid:06x}", f"minutes from {minute(base, 0)} to {minute(base, tid)}")]


def _code_rows(contents: TokenContents, content: int) -> list[Row]:
    if isinstance(contents, CreditCurrency):
        code = content >> NIBBLE_SHIFT & 0xF, content & 0xFFFF
        value = code[0] << 16 | code[1]
        meaning = f"sign {value >> 19}, {_exponent(value & 0x7FFFF)}"
        return [Row("S&E, amount", f"{code[0]:x}, {code[1]:04x}", meaning)]
    if isinstance(contents, CreditUnits | PowerLimit | PhaseUnbalanceLimit):
        code_16 = content & 0xFFFF
        return [Row("16-bit code", f"{code_16:04x}", _exponent(code_16))]
    return []


def _exponent(code: int) -> str:
    exponent, mantissa = code >> MANTISSA_BITS, code & MANTISSA_MAX
    return f"exponent {exponent}, mantissa {mantissa}"


def _crc_rows(token_class: TokenClass, block: int, *, shown: bool) -> list[Row]:
    content = block >> CRC_BITS
    protected = (token_class << CONTENT_BITS | content).to_bytes(PROTECTED_BYTES)
    currency = has_crc_c(token_class, content >> SUBCLASS_SHIFT)
    name = "CRC_C" if currency else "CRC"
    over = (protected + CURRENCY_MARK if currency else protected).hex()
    return [
        Row(f"{name} over", over if shown else HIDDEN, "class, then the 48 bits of the fields"),
        Row(name, f"{block & 0xFFFF:04x}" if shown else HIDDEN),
        Row("clear block", f"{block:016x}" if shown else HIDDEN),
    ]


def _digit_rows(contents: TokenContents, key: MeterKey | None, block: int) -> list[Row]:
    digits = encode(contents, key.cipher() if key else None)
    displaced = block >> CLASS_SHIFT & 3
    moved = f"{displaced:02b} goes to bits 65, 64; class {int(contents.token_class):02b} comes in"
    return [
        Row("bits 28, 27", f"{displaced:02b}", moved),
        Row("66 bits", f"{int(digits):017x}"),
        Row("token", grouped(digits)),
    ]


def _algorithm(key: MeterKey) -> str:
    if key.algorithm is EncryptionAlgorithm.MISTY1:
        return "EA11 (MISTY1) under the decoder key"
    assert key.tables is not None
    return f"EA07 (STA), tables {key.tables.name}, SHA-256 {key.tables.fingerprint[:16]}..."


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
