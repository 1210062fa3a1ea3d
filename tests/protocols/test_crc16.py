"""CRC-16/MODBUS against its published check value, and its words for a wrong one."""

from protocols.crc16 import crc16, wrong_crc


def test_the_published_check_value():
    assert crc16(b"123456789") == bytes.fromhex("37 4B")
    assert crc16(bytes.fromhex("01 04 00 00 00 02")) == bytes.fromhex("71 CB")


def test_a_wrong_check_is_named():
    assert wrong_crc(b"123456789" + bytes.fromhex("37 4B")) is None
    assert wrong_crc(b"123456789" + bytes.fromhex("4B 37")) == (
        "its CRC is 4b 37, its bytes give 37 4b"
    )
