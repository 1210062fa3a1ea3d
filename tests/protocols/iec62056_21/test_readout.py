"""A read-out as a conversation: answers in pieces, late, damaged, or none."""

import pytest

from protocols.iec62056_21.characters import BlockCheck
from protocols.iec62056_21.messages import DataSet
from protocols.iec62056_21.readout import (
    ANSWER_S,
    ChangeSpeed,
    Event,
    Failed,
    ReadOut,
    ReadOutConnection,
)

HELLO = b"/ABC5METER1\r\n"
BODY = b"1.8.0(000123.45*kWh)\r\n!\r\n\x03"
MESSAGE = b"\x02" + BODY + bytes([BlockCheck.XOR.of(BODY)])
DATA = (DataSet("1.8.0", "000123.45", "kWh"),)


def with_parity(data: bytes) -> bytes:
    return bytes(byte | (byte.bit_count() % 2) << 7 for byte in data)


def events(connection: ReadOutConnection) -> list[Event]:
    told = []
    while (event := connection.next_event()) is not None:
        told.append(event)
    return told


def opened(speed: int = 300, check: BlockCheck = BlockCheck.XOR) -> ReadOutConnection:
    connection = ReadOutConnection(now=0.0, initial_speed=speed, check=check)
    assert connection.data_to_send() == b"/?!\r\n"
    assert connection.data_to_send() == b""
    return connection


@pytest.mark.parametrize("piece", [1, 3, 100])
@pytest.mark.parametrize("wire", [bytes, with_parity])
def test_a_read_out_in_mode_c(piece: int, wire: type[bytes]):
    connection = opened()
    for hello in pieces(wire(HELLO), piece):
        connection.receive_data(hello, now=0.1)
    assert events(connection) == [ChangeSpeed(9600, 0.2)]
    assert connection.data_to_send() == b"\x06050\r\n"
    for part in pieces(wire(MESSAGE), piece):
        connection.receive_data(part, now=0.2)
    (read,) = events(connection)
    assert isinstance(read, ReadOut)
    assert read.data == DATA
    assert read.who.maker == "ABC"
    assert connection.deadline() is None
    connection.receive_data(b"more", now=0.3)
    connection.handle_deadline(now=9.0)
    assert events(connection) == []


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def test_our_own_echo_and_noise_before_the_answer_are_skipped():
    connection = opened()
    connection.receive_data(b"/?!\r\n\x00\x00" + HELLO, now=0.1)
    assert events(connection) == [ChangeSpeed(9600, 0.2)]


def test_on_a_line_that_is_that_fast_already_nothing_is_changed():
    connection = opened(speed=9600)
    connection.receive_data(HELLO, now=0.1)
    assert events(connection) == []
    assert connection.data_to_send() == b"\x06050\r\n"


def test_modes_a_and_b_are_not_told_to_go_on():
    for hello, told in ((b"/ABC:M\r\n", []), (b"/ABCEM\r\n", [ChangeSpeed(9600, 0.2)])):
        connection = opened()
        connection.receive_data(hello, now=0.1)
        assert events(connection) == told
        assert connection.data_to_send() == b""
        connection.receive_data(MESSAGE, now=0.2)
        assert [type(event) for event in events(connection)] == [ReadOut]


def test_a_damaged_read_out_is_asked_for_again_and_then_given_up():
    connection = opened()
    connection.receive_data(HELLO, now=0.1)
    connection.data_to_send()
    events(connection)
    broken = MESSAGE[:-1] + b"\x00"
    for _ in range(2):
        connection.receive_data(broken, now=0.2)
        assert events(connection) == []
        assert connection.data_to_send() == b"\x15"
    connection.receive_data(broken, now=0.3)
    (failed,) = events(connection)
    assert isinstance(failed, Failed)
    assert "block check" in failed.reason


def test_after_a_damaged_one_a_good_one_is_taken():
    connection = opened()
    connection.receive_data(HELLO, now=0.1)
    connection.receive_data(MESSAGE[:-1] + b"\x00", now=0.2)
    connection.receive_data(MESSAGE, now=0.3)
    assert ReadOut in [type(event) for event in events(connection)]


def test_silence_is_told_apart_from_half_an_answer():
    connection = opened()
    assert connection.deadline() == ANSWER_S
    connection.handle_deadline(now=ANSWER_S - 0.1)
    assert events(connection) == []
    connection.handle_deadline(now=ANSWER_S)
    assert events(connection) == [Failed("no answer", silent=True)]

    connection = opened()
    connection.receive_data(HELLO[:4], now=1.0)
    assert connection.deadline() == 1.0 + ANSWER_S
    connection.handle_deadline(now=9.0)
    assert events(connection) == [Failed("the answer stopped half way", silent=False)]


def test_a_closed_line_ends_it():
    connection = opened()
    connection.receive_data(b"", now=0.1)
    assert events(connection) == [Failed("the line was closed", silent=True)]


def test_endless_noise_is_bounded():
    connection = opened()
    connection.receive_data(b"x" * 400, now=0.1)
    assert events(connection) == [Failed("noise instead of an identification", silent=False)]

    connection = opened()
    connection.receive_data(HELLO, now=0.1)
    events(connection)
    for _ in range(3):
        connection.receive_data(b"y" * 300, now=0.2)
    assert events(connection) == [Failed("noise instead of data", silent=False)]


def test_a_meter_with_a_seven_bit_sum():
    connection = opened(check=BlockCheck.SUM7)
    connection.receive_data(HELLO, now=0.1)
    events(connection)
    connection.receive_data(b"\x02" + BODY + bytes([BlockCheck.SUM7.of(BODY)]), now=0.2)
    (read,) = events(connection)
    assert isinstance(read, ReadOut)
