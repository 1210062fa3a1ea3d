"""CRC of a token (IEC 62055-41): CRC-16 with both result bytes swapped.

Reflected polynomial 0xA001, start 0xFFFF, no final xor. Knows nothing of layouts.
"""

POLYNOMIAL = 0xA001
START = 0xFFFF
CURRENCY_MARK = b"\x01"  # appended for credit in currency; makes CRC into CRC_C


def _entry(index: int) -> int:
    for _ in range(8):
        index = index >> 1 ^ (POLYNOMIAL if index & 1 else 0)
    return index


_TABLE = tuple(_entry(index) for index in range(256))


def crc(protected: bytes) -> int:
    """CRC of any bytes, most significant byte first, as it stands in the token."""
    register = START
    for byte in protected:
        register = register >> 8 ^ _TABLE[(register ^ byte) & 0xFF]
    return (register & 0xFF) << 8 | register >> 8


def crc_c(protected: bytes) -> int:
    """CRC_C: the CRC of credit in currency (class 0, sub-classes 4 to 7)."""
    return crc(protected + CURRENCY_MARK)
