"""Transports over real sockets and pseudo-terminals."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from adapters.transport.address import SerialAddress, TcpAddress, parse_address
from adapters.transport.base import Transport, TransportLost
from adapters.transport.opening import open_transport
from adapters.transport.pipe import INPUT_MAX_BYTES, BytePipe
from adapters.transport.serial import SerialPipe, open_serial
from tests.servers.serial_line import SerialLine


@dataclass
class Peer:
    """The other end of a TCP connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Transport, Peer]]:
    peers: asyncio.Queue[Peer] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.put_nowait(Peer(reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    transport = await open_transport(TcpAddress("127.0.0.1", server.sockets[0].getsockname()[1]))
    peer = await peers.get()
    try:
        yield transport, peer
    finally:
        await transport.aclose()
        peer.writer.transport.abort()
        server.close()
        await server.wait_closed()


async def test_bytes_go_both_ways():
    async with connected() as (transport, peer):
        await transport.write(b"question", timeout=1)
        assert await peer.reader.readexactly(8) == b"question"
        peer.writer.write(b"answer")
        assert await transport.read(3, timeout=1) == b"ans"
        assert await transport.read(100, timeout=1) == b"wer"


async def test_silence_is_a_time_out_and_harms_nothing():
    async with connected() as (transport, peer):
        with pytest.raises(TimeoutError):
            await transport.read(1, timeout=0.02)
        with pytest.raises(TimeoutError):
            await transport.read(1, timeout=0)
        peer.writer.write(b"x")
        assert await transport.read(1, timeout=1) == b"x"


async def test_the_end_is_an_error_after_the_last_byte():
    async with connected() as (transport, peer):
        peer.writer.write(b"last")
        peer.writer.close()
        assert await transport.read(100, timeout=1) == b"last"
        for _ in range(3):
            with pytest.raises(TransportLost):
                await transport.read(1, timeout=1)
        with pytest.raises(TransportLost):
            await transport.write(b"x", timeout=1)
        with pytest.raises(TransportLost):
            await transport.drop_input()


async def test_input_is_dropped():
    async with connected() as (transport, peer):
        peer.writer.write(b"noise")
        await asyncio.sleep(0.05)
        assert await transport.drop_input() == 5
        peer.writer.write(b"y")
        assert await transport.read(10, timeout=1) == b"y"


async def test_a_flood_waits_in_the_network_and_not_in_memory():
    async with connected() as (transport, peer):
        assert isinstance(transport, BytePipe)
        flood = b"z" * (64 * INPUT_MAX_BYTES)
        peer.writer.write(flood)
        await asyncio.sleep(0.1)
        # One read of the event loop may come on top.
        assert len(transport._input) <= 5 * INPUT_MAX_BYTES
        received = 0
        while received < len(flood):
            received += len(await transport.read(1 << 20, timeout=1))


async def test_a_peer_that_takes_nothing_is_a_time_out():
    async with connected() as (transport, _):
        with pytest.raises(TimeoutError):
            await transport.write(b"z" * (1 << 25), timeout=0.1)


async def test_closing_twice_is_fine_and_wakes_who_reads():
    async with connected() as (transport, _):
        reading = asyncio.create_task(transport.read(1, timeout=30))
        await asyncio.sleep(0)
        await transport.aclose()
        await transport.aclose()
        with pytest.raises(TransportLost):
            await reading


async def test_a_refused_connection_is_an_os_error(free_port: int):
    with pytest.raises(OSError, match="Connect call failed"):
        await open_transport(parse_address(f"tcp://127.0.0.1:{free_port}"))


async def test_a_serial_port_speaks(pty_pair: SerialLine):
    left = await open_transport(SerialAddress(path=pty_pair.left))
    right = await open_transport(SerialAddress(path=pty_pair.right))
    await left.write(bytes(range(256)), timeout=1)
    received = b""
    while len(received) < 256:
        received += await right.read(100, timeout=1)
    assert received == bytes(range(256))
    await left.aclose()
    await right.aclose()


async def test_a_port_without_seven_bits_takes_eight_and_parity_by_hand(pty_pair: SerialLine):
    """A pseudo-terminal is such a port; 7E1 and 8N1 with the parity on top are one on the wire."""
    pipe = await open_serial(SerialAddress(path=pty_pair.left))
    far = await open_transport(SerialAddress(path=pty_pair.right))
    assert isinstance(pipe, SerialPipe)
    pipe.tune(SerialAddress(path=pty_pair.left, baud=300, bits=7, parity="E"))
    await pipe.write(b"/?!", timeout=1)
    pipe.tune(SerialAddress(path=pty_pair.left))
    await pipe.write(b"/?!", timeout=1)
    received = b""
    while len(received) < 6:
        received += await far.read(100, timeout=1)
    assert received == bytes.fromhex("AF 3F 21") + b"/?!"
    await pipe.aclose()
    await far.aclose()


async def test_tuning_a_port_that_went_away_is_found_out_by_who_reads():
    master, slave = os.openpty()
    pipe = await open_serial(SerialAddress(path=os.ttyname(slave)))
    assert isinstance(pipe, SerialPipe)
    os.close(slave)
    os.close(master)
    pipe.tune(SerialAddress(path="gone", baud=300, bits=7, parity="E"))
    with pytest.raises(TransportLost):
        await pipe.read(1, timeout=1)
    await pipe.aclose()


async def test_a_serial_port_has_one_owner(pty_pair: SerialLine):
    owner = await open_transport(SerialAddress(path=pty_pair.left))
    with pytest.raises(OSError, match="lock"):
        await open_transport(SerialAddress(path=pty_pair.left))
    await owner.aclose()
    again = await open_transport(SerialAddress(path=pty_pair.left))
    await again.aclose()


async def test_a_serial_port_that_goes_away_is_an_error():
    master, slave = os.openpty()
    transport = await open_transport(SerialAddress(path=os.ttyname(slave)))
    os.close(slave)
    os.close(master)
    with pytest.raises(TransportLost):
        await transport.read(1, timeout=2)
    await transport.aclose()


@pytest.mark.parametrize("path", ["/dev/no-such-port", "/dev/null"])
async def test_what_is_no_serial_port_is_an_os_error(path: str):
    with pytest.raises(OSError, match=path):
        await open_transport(SerialAddress(path=path))


async def test_settings_that_a_port_cannot_take_are_an_os_error(pty_pair: SerialLine):
    """A pseudo-terminal knows no parity."""
    with pytest.raises(OSError, match="settings"):
        await open_transport(SerialAddress(path=pty_pair.left, parity="O", bits=7))


async def test_a_port_that_opens_too_late_is_closed_again(pty_pair: SerialLine):
    opening = asyncio.create_task(open_serial(SerialAddress(path=pty_pair.left)))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with asyncio.timeout(2):
        while True:
            try:
                port = await open_transport(SerialAddress(path=pty_pair.left))
            except OSError:
                await asyncio.sleep(0.01)
            else:
                break
    await port.aclose()
