"""Decoder key generation (IEC 62055-41): vending key + meter -> the meter's own key.

DKGA02 (single DES) and DKGA04 (HMAC-SHA-256, NIST SP 800-108) are built; DKGA01 and DKGA03 are
withdrawn. Keys are in natural order, first byte most significant, and never show in a repr.
Knows nothing of tokens, nor where keys are kept.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from Crypto.Cipher import DES

from protocols.sts.drn import MeterPan, is_decimal
from protocols.sts.errors import RangeError, UnsupportedError
from protocols.sts.limits import (
    KEN_MAX,
    KRN_MAX,
    KRN_MIN,
    SGC_MAX,
    TARIFF_INDEX_MAX,
    Limited,
    require,
)
from protocols.sts.tables import BaseDate, Dkga, EncryptionAlgorithm, KeyType

KEY_BYTES = {Dkga.DES: 8, Dkga.HMAC_SHA_256: 20}
PAN_BLOCK_DIGITS = 16
IIN_DIGITS_OF_DRN = {11: 6, 13: 4}
CONTROL_PADDING = "FFFFFF"
ITEMS = b"\x04"  # both the label and the context of the KDF hold four items


@dataclass(frozen=True, slots=True)
class VendingKey(Limited):
    """A supply group's key with what the key management centre attaches to it.

    ``value`` is 8 bytes of odd parity for DKGA02, 20 bytes for DKGA04. Base date, key expiry
    number and key type belong to the key, never to the meter. Key type 0 is refused: initialisation
    keys come from the manufacturer.
    """

    value: bytes = field(repr=False)
    dkga: Dkga
    sgc: int
    krn: int
    base_date: BaseDate
    ken: int
    key_type: KeyType = KeyType.UNIQUE

    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {
        "sgc": (0, SGC_MAX),
        "krn": (KRN_MIN, KRN_MAX),
        "ken": (0, KEN_MAX),
    }

    def __post_init__(self) -> None:
        Limited.__post_init__(self)
        if len(self.value) != KEY_BYTES[self.dkga]:
            raise RangeError("vending_key", f"must be {KEY_BYTES[self.dkga]} bytes")
        if self.dkga is Dkga.DES and not all(byte.bit_count() % 2 for byte in self.value):
            raise RangeError("vending_key", "a DES key must have odd parity in every byte")
        if self.key_type is KeyType.INITIALIZATION:
            raise UnsupportedError("key_type", "an initialisation key comes from no vending key")


@dataclass(frozen=True, slots=True)
class DecoderKey:
    """The key one meter holds: 8 bytes for EA07, 16 for EA11."""

    value: bytes = field(repr=False)
    algorithm: EncryptionAlgorithm

    def __post_init__(self) -> None:
        if len(self.value) != self.algorithm.key_bytes:
            raise RangeError("decoder_key", f"must be {self.algorithm.key_bytes} bytes")


def derive(
    key: VendingKey, pan: MeterPan, *, tariff_index: int, algorithm: EncryptionAlgorithm
) -> DecoderKey:
    """Decoder key of one meter.

    Raises RangeError for a tariff index above 99 and UnsupportedError for EA11 under DKGA02 and
    for common keys under DKGA04, whose input no public text settles.
    """
    require("tariff_index", tariff_index, 0, TARIFF_INDEX_MAX)
    if key.dkga is Dkga.DES:
        if algorithm is not EncryptionAlgorithm.STA:
            raise UnsupportedError("ea", "DKGA02 makes keys for EA07 only")
        return DecoderKey(_dkga02(key, pan, tariff_index), algorithm)
    if key.key_type is KeyType.COMMON:
        raise UnsupportedError("key_type", "common keys under DKGA04 are not supported")
    return DecoderKey(_dkga04(key, pan, tariff_index, algorithm), algorithm)


def pan_block(iin: str, drn: str, key_type: KeyType) -> bytes:
    """PANBlock: the last 16 digits of IIN and DRN, packed; a common key has a DRN of zeros."""
    if not is_decimal(iin + drn) or IIN_DIGITS_OF_DRN.get(len(drn)) != len(iin):
        raise RangeError("meter_pan", "must be an IIN of 6 and a DRN of 11 digits, or 4 and 13")
    number = "0" * len(drn) if key_type is KeyType.COMMON else drn
    return bytes.fromhex((iin + number)[-PAN_BLOCK_DIGITS:])


def control_block(*, key_type: KeyType, sgc: int, tariff_index: int, krn: int) -> bytes:
    """ControlBlock: KT 1, SGC 6, TI 2 and KRN 1 decimal digits, packed, and padding."""
    require("sgc", sgc, 0, SGC_MAX)
    require("tariff_index", tariff_index, 0, TARIFF_INDEX_MAX)
    require("krn", krn, KRN_MIN, KRN_MAX)
    return bytes.fromhex(f"{key_type:d}{sgc:06d}{tariff_index:02d}{krn}{CONTROL_PADDING}")


def kdf_input(
    key: VendingKey, pan: MeterPan, *, tariff_index: int, algorithm: EncryptionAlgorithm
) -> bytes:
    """What DKGA04 authenticates, 49 bytes: label 13, zero, context 31, length in bits 4."""
    label = _items("04", key.base_date.code, f"{algorithm:02d}", f"{tariff_index:02d}")
    context = _items(f"{key.sgc:06d}", f"{key.key_type:d}", str(key.krn), pan.digits)
    bits = (algorithm.key_bytes * 8).to_bytes(4)
    return label + b"\x00" + context + bits


def _dkga02(key: VendingKey, pan: MeterPan, tariff_index: int) -> bytes:
    drn = pan.drn
    mixed = _xor(
        pan_block(drn.iin, drn.digits, key.key_type),
        control_block(key_type=key.key_type, sgc=key.sgc, tariff_index=tariff_index, krn=key.krn),
    )
    enciphered = DES.new(key.value, DES.MODE_ECB).encrypt(mixed)
    return _xor(_xor(enciphered, mixed), key.value)


def _dkga04(
    key: VendingKey, pan: MeterPan, tariff_index: int, algorithm: EncryptionAlgorithm
) -> bytes:
    message = kdf_input(key, pan, tariff_index=tariff_index, algorithm=algorithm)
    return hmac.digest(key.value, message, "sha256")[: algorithm.key_bytes]


def _items(*items: str) -> bytes:
    return ITEMS + b"".join(bytes([len(item)]) + item.encode("ascii") for item in items)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
