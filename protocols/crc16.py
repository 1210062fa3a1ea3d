"""CRC-16/MODBUS, by which several dialects of field lines close their frames, low byte first."""

CRC_BYTES = 2
_START, _POLYNOMIAL = 0xFFFF, 0xA001


def _row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ _POLYNOMIAL if byte & 1 else byte >> 1
    return byte


_TABLE = tuple(map(_row, range(256)))


def crc16(data: bytes) -> bytes:
    """The two bytes that follow `data` on the wire."""
    crc = _START
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc.to_bytes(CRC_BYTES, "little")


def wrong_crc(frame: bytes) -> str | None:
    """What is wrong with the check of a frame, or None."""
    expected, told = crc16(frame[:-CRC_BYTES]), frame[-CRC_BYTES:]
    if told == expected:
        return None
    return f"its CRC is {told.hex(' ')}, its bytes give {expected.hex(' ')}"
