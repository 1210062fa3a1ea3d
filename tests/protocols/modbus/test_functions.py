"""The rarer functions: each field of request and reply, as the examples of the protocol have them.

The messages are those of the Modbus application protocol V1.1b3, chapter 6, where it prints one.
"""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.modbus.blocks import Span
from protocols.modbus.functions import EITHER, REPLY, REQUEST, Inconsistent, explained

TOLD = [
    # 6.7 read exception status
    ("07", REQUEST, {}),
    ("07 6d", REPLY, {"outputs 7 to 0": "01101101"}),
    # 6.8 diagnostics
    ("08 0000 a537", EITHER, {"sub-function": "0 return this data", "data": "a537"}),
    ("08 000c 0000", EITHER, {"sub-function": "12 count of messages with a wrong CRC"}),
    ("08 000c 0007", REPLY, {"counter": "7"}),
    ("08 0004 0000", REQUEST, {"sub-function": "4 listen only, and answer nothing more"}),
    # 6.9 and 6.10 communication events
    ("0b", REQUEST, {}),
    ("0b ffff 0108", REPLY, {"status": "0xffff busy with a program command", "events": "264"}),
    (
        "0c 08 0000 0108 0121 20 00",
        REPLY,
        {"status": "0x0000 ready", "events": "264", "messages": "289", "newest first": "20 00"},
    ),
    # 6.13 report server identifier
    ("11", REQUEST, {}),
    (
        "11 04 41 42 00 ff",
        REPLY,
        {"identifier and run indicator": "41 42 00 ff", "as text": "AB.."},
    ),
    # 6.14 and 6.15 files
    (
        "14 0e 06 0004 0001 0002 06 0003 0009 0002",
        REQUEST,
        {"record": "file 3, from record 9, 2 registers"},
    ),
    ("14 0c 05 06 0dfe 0020 05 06 33cd 0040", REPLY, {"record data": "33cd 0040"}),
    (
        "15 0d 06 0004 0007 0003 06af 04be 100d",
        EITHER,
        {"record": "file 4, from record 7, 3 registers", "record data": "06af 04be 100d"},
    ),
    # 6.16 mask write
    ("16 0004 00f2 0025", EITHER, {"address": "0x0004 (4)"}),
    # 6.17 read and write
    (
        "17 0003 0006 000e 0003 06 00ff 00ff 00ff",
        REQUEST,
        {
            "read address": "0x0003 (3)",
            "read count": "6",
            "write address": "0x000e (14)",
            "write count": "3",
        },
    ),
    (
        "17 0c 00fe 0acd 0001 0003 000d 00ff",
        REPLY,
        {"count": "6", "registers": "00fe 0acd 0001 0003 000d 00ff"},
    ),
    # 6.18 queue
    ("18 04de", REQUEST, {"address": "0x04de (1246)"}),
    ("18 0006 0002 01b8 1284", REPLY, {"count": "2", "registers": "01b8 1284"}),
    # 6.21 device identification
    (
        "2b 0e 01 00",
        REQUEST,
        {"interface": "0x0e device identification", "access": "1 basic", "from object": "0 vendor"},
    ),
    (
        "2b 0e 01 01 00 00 03 00 03 414243 01 02 4d31 02 04 56322e31",
        REPLY,
        {
            "conformity": "0x01",
            "more follows": "no",
            "object 0 vendor": "ABC",
            "object 1 product code": "M1",
            "object 2 revision": "V2.1",
        },
    ),
    ("2b 0e 04 81 ff 02 01 80 02 0007", REPLY, {"more follows": "yes, from object 2"}),
]


@pytest.mark.parametrize(("message", "role", "fields"), TOLD)
def test_each_field_is_told(message: str, role: str, fields: dict[str, str]):
    told = explained(bytes.fromhex(message))
    assert told is not None
    assert told.role == role
    assert dict(told.rows).items() >= fields.items()


def test_what_a_request_writes_is_told_apart():
    masked = explained(bytes.fromhex("16 0004 00f2 0025"))
    assert masked is not None
    assert masked.written == Span(4, 1)
    assert masked.secret == [("and mask", "00f2"), ("or mask", "0025")]
    both = explained(bytes.fromhex("17 0003 0006 000e 0003 06 00ff 00fe 00fd"))
    assert both is not None
    assert both.written == Span(14, 3)
    assert both.secret == [("registers", "00ff 00fe 00fd")]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("07 6d 00", "one byte, not 2"),
        ("08 0000", "whole registers"),
        ("08 000c 0000 0000", "sub-function 12 has one register"),
        ("0b ffff", "4 bytes, not 2"),
        ("0c 07 0000 0108 0121 20 00", "byte count is 7, 8 bytes follow"),
        ("0c 02 0000", "6 bytes, not 2"),
        ("11 05 41 42 00 ff", "byte count is 5, 4 bytes follow"),
        ("14 08 06 0004 0001 0002", "byte count is 8, 7 bytes follow"),
        ("14 0c 06 06 0dfe 0020 05 06 33cd 0040", "a record of 6 bytes"),
        ("14 06 05 07 0dfe 0020", "reference type 7"),
        ("15 0d 06 0004 0007 0004 06af 04be 100d", "15 bytes does not fit"),
        ("15 0d 05 0004 0007 0003 06af 04be 100d", "reference type 6"),
        ("16 0004 00f2", "6 bytes, not 4"),
        ("17 0003 0006 000e 0003 05 00ff 00ff 00ff", "byte count is 0, 14 bytes follow"),
        ("17 0003 007e 000e 0001 02 00ff", "126 registers cannot be read"),
        ("17 0b 00fe 0acd 0001 0003 000d 00", "11 bytes are no whole registers"),
        ("18 0006 0003 01b8 1284", "3 registers do not fill 6 bytes"),
        ("18 0008 0002 01b8 1284", "byte count is 8, 6 bytes follow"),
        ("2b 0e 05 00", "an access of 1 to 4"),
        ("2b 0e 01 01 00 00 02 00 03 414243", "an object ends"),
        ("2b 0e 01 01 00 00 01 00 03 414243 00", "1 bytes follow the last object"),
    ],
)
def test_counts_that_contradict_each_other_are_refused(message: str, why: str):
    with pytest.raises(Inconsistent, match=why):
        explained(bytes.fromhex(message))


def test_other_functions_are_not_told_here():
    assert explained(bytes.fromhex("03 0000 0002")) is None
    assert explained(b"") is None


@given(st.sampled_from([7, 8, 11, 12, 17, 20, 21, 22, 23, 24, 43]), st.binary(max_size=60))
def test_no_message_breaks_it(function: int, body: bytes):
    with suppress(Inconsistent):
        told = explained(bytes((function,)) + body)
        assert told is not None
        assert told.role in {REQUEST, REPLY, EITHER}
