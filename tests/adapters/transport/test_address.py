"""URLs of transports."""

import pytest

from adapters.transport.address import (
    MalformedAddress,
    SerialAddress,
    TcpAddress,
    parse_address,
)


def test_a_serial_port_with_its_settings():
    address = parse_address("serial:///dev/ttyUSB0?baud=19200&parity=E&stop=1&bits=8")
    assert address == SerialAddress(path="/dev/ttyUSB0", baud=19200, parity="E", stop=1, bits=8)
    assert str(address) == "serial:///dev/ttyUSB0"


def test_a_serial_port_without_settings_is_9600_8n1():
    assert parse_address("serial:///dev/ttyS1") == SerialAddress(path="/dev/ttyS1")


@pytest.mark.parametrize(("parity", "bits"), [("N", 10), ("E", 11)])
def test_a_character_takes_its_bits(parity: str, bits: int):
    address = SerialAddress(path="/dev/ttyS1", baud=9600, parity=parity)
    assert address.character_s == pytest.approx(bits / 9600)


def test_tcp_servers():
    assert parse_address("tcp://gateway.example:502") == TcpAddress("gateway.example", 502)
    assert str(parse_address("tcp://[::1]:502")) == "tcp://[::1]:502"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "names no transport"),
        ("/dev/ttyUSB0", "names no transport"),
        ("http://host:1", "names no transport"),
        ("tcp://host", "a host and a port"),
        ("tcp://:502", "a host and a port"),
        ("tcp://host:99999", "0-65535"),
        ("tcp://user@host:502", "nothing before"),
        ("tcp://host:502/path", "may follow"),
        ("tcp://host:502?baud=9600", "may follow"),
        ("serial://dev/ttyUSB0", "three slashes"),
        ("serial://", "three slashes"),
        ("serial:///dev/ttyUSB0?speed=9600", "unknown setting 'speed'"),
        ("serial:///dev/ttyUSB0?baud", "bad query"),
        ("serial:///dev/ttyUSB0?baud=fast", "baud is a number"),
        ("serial:///dev/ttyUSB0?baud=110", "baud is a number"),
        ("serial:///dev/ttyUSB0?parity=M", "parity is one of"),
        ("serial:///dev/ttyUSB0?stop=3", "stop is a number"),
        ("serial:///dev/ttyUSB0?bits=9", "bits is a number"),
    ],
)
def test_a_bad_url_is_told_what_is_wrong_and_how_to_write_it(url: str, reason: str):
    with pytest.raises(MalformedAddress, match=reason) as caught:
        parse_address(url)
    assert "tcp://host:port" in str(caught.value)
