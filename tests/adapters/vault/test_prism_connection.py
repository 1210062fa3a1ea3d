"""Whom we connect to: only the server we mean, proven; and what a wire may do to us."""

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from adapters.vault.prism_account import Password, PrismAccount
from adapters.vault.prism_connection import (
    ConnectionLost,
    NoAnswerInTime,
    PrismConnection,
    Unreachable,
)
from adapters.vault.prism_frames import MAX_FRAME_BYTES, Packet, UnreadableAnswer
from adapters.vault.prism_messages import AccessToken, decode, encode, sign_in, status
from adapters.vault.prism_server import Patience, PrismServer, ServerUnusable
from headend.errors import ModuleDown
from tests.adapters.vault.conftest import everything_told
from tests.adapters.vault.prism_token import (
    PASSWORD,
    REALM,
    USERNAME,
    Authority,
    Fault,
    PrismTokenServer,
)

ACCOUNT = PrismAccount(REALM, USERNAME, Password(PASSWORD))
QUICK = Patience(connect_s=0.5, answer_s=0.3)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return Authority.found(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    return Authority.found(tmp_path_factory.mktemp("theirs"), "theirs")


@pytest.fixture
def prism():
    return PrismTokenServer()


def where(prism, authority, **changed):
    server = PrismServer(host="localhost", port=prism.port, ca_file=authority.file, patience=QUICK)
    return replace(server, **changed)


@asynccontextmanager
async def connected(server):
    connection = await PrismConnection.open(server, server.trust())
    try:
        yield connection
    finally:
        await connection.aclose()


async def sign_in_at(server):
    async with connected(server) as connection:
        call = sign_in(ACCOUNT)
        packet = encode(call, sequence=1, access=None)
        return decode(call, await connection.exchange(packet), sequence=1)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_server_that_proves_its_name_or_address_is_spoken_to(prism, ours, host):
    async with prism.run(ours.serve_as("localhost")):
        signed_in = await sign_in_at(where(prism, ours, host=host))
    assert signed_in.access_token in prism.access
    assert "secret" not in repr(signed_in)


async def test_a_certificate_of_another_authority_is_refused(prism, ours, theirs):
    async with prism.run(theirs.serve_as("localhost")):
        with pytest.raises(Unreachable, match=r"not to be trusted: .*certificate"):
            await sign_in_at(where(prism, ours))
    assert not prism.calls


async def test_a_certificate_of_another_name_is_refused(prism, ours):
    async with prism.run(ours.serve_as("elsewhere.example")):
        for host in ("localhost", "127.0.0.1"):
            with pytest.raises(Unreachable, match=r"not to be trusted: .*mismatch"):
                await sign_in_at(where(prism, ours, host=host))
    assert not prism.calls


async def test_an_expired_certificate_is_refused(prism, ours):
    yesterday = datetime.now(UTC) - timedelta(days=1)
    async with prism.run(ours.serve_as("localhost", until=yesterday)):
        with pytest.raises(Unreachable, match=r"not to be trusted: .*expired"):
            await sign_in_at(where(prism, ours))
    assert not prism.calls


async def test_without_a_file_the_systems_authorities_decide(prism, ours):
    async with prism.run(ours.serve_as("localhost")):
        with pytest.raises(Unreachable, match="not to be trusted"):
            await sign_in_at(where(prism, ours, ca_file=None))


async def test_a_server_without_tls_hears_no_password(prism, ours):
    heard = []

    async def listen(reader, writer):
        heard.append(await reader.read(4096))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        prism.port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable):
            await sign_in_at(where(prism, ours))
    assert heard
    assert PASSWORD.encode() not in heard[0]


async def test_old_tls_is_refused(prism, ours):
    context = ours.serve_as("localhost")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with prism.run(context):
        with pytest.raises(Unreachable):
            await sign_in_at(where(prism, ours))


def test_checks_cannot_be_switched_off(ours):
    for file in (None, ours.file):
        trust = PrismServer(host="localhost", port=1, ca_file=file).trust()
        assert trust.check_hostname
        assert trust.verify_mode is ssl.CERT_REQUIRED
        assert trust.minimum_version is ssl.TLSVersion.TLSv1_2
    fields = set(PrismServer.__dataclass_fields__)
    assert fields == {"host", "port", "ca_file", "patience"}


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\x00"])
def test_a_file_without_certificates_is_named(tmp_path, content):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ServerUnusable, match=r"ca\.pem: "):
        PrismServer(host="localhost", port=1, ca_file=file).trust()


@pytest.mark.parametrize("host", ["", "a b", "-a", "a\n", "ä.example", "x" * 300])
def test_a_host_is_a_name_or_an_address(host):
    with pytest.raises(ServerUnusable, match="host"):
        PrismServer(host=host, port=1)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_is_a_port(port):
    with pytest.raises(ServerUnusable, match="port"):
        PrismServer(host="localhost", port=port)


async def test_nobody_there_is_told_in_time(prism, ours):
    prism.port = 1
    for host in ("localhost", "name.invalid", "a..b"):
        with pytest.raises(Unreachable, match=f"{host}:1 "):
            await sign_in_at(where(prism, ours, host=host))


async def test_a_server_that_never_shakes_hands_is_left(prism, ours):
    stop = asyncio.Event()

    async def ignore(reader, writer):
        await stop.wait()
        writer.close()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0)
    async with server:
        prism.port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable, match="does not answer"):
            await sign_in_at(where(prism, ours))
        stop.set()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.CUT_BEFORE, ConnectionLost),
        (Fault.CUT_AFTER, ConnectionLost),
        (Fault.HANG, NoAnswerInTime),
    ],
)
async def test_a_lost_answer_and_silence_are_told_apart(prism, ours, fault, error):
    async with prism.run(ours.serve_as("localhost")):
        prism.faults["signInWithPassword"] = fault
        with pytest.raises(error) as caught:
            await sign_in_at(where(prism, ours))
    assert isinstance(caught.value, ModuleDown)
    assert PASSWORD not in everything_told(caught.value)


@pytest.mark.parametrize(
    "frame",
    [
        bytes(4),
        (MAX_FRAME_BYTES + 1).to_bytes(4),
        b"\xff\xff\xff\xff",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
async def test_what_is_no_frame_is_not_read(prism, ours, frame):
    prism.spoil = lambda method, framed: frame
    async with prism.run(ours.serve_as("localhost")):
        with pytest.raises(UnreadableAnswer, match="sends no Thrift frames"):
            await sign_in_at(where(prism, ours))


async def test_half_a_frame_is_waited_for_and_given_up(prism, ours):
    prism.spoil = lambda method, framed: framed[:-3]
    async with prism.run(ours.serve_as("localhost")):
        with pytest.raises(NoAnswerInTime):
            await sign_in_at(where(prism, ours))


async def test_after_a_failure_the_connection_is_of_no_more_use(prism, ours):
    async with prism.run(ours.serve_as("localhost")), connected(where(prism, ours)) as connection:
        prism.faults["getStatus"] = Fault.HANG
        packet = encode(status(), sequence=1, access=AccessToken("x"))
        with pytest.raises(NoAnswerInTime):
            await connection.exchange(packet)
        with pytest.raises(ConnectionLost):
            await connection.exchange(packet)


async def test_a_connection_that_the_server_closed_is_not_fresh(prism, ours):
    async with prism.run(ours.serve_as("localhost")), connected(where(prism, ours)) as connection:
        await connection.exchange(encode(sign_in(ACCOUNT), sequence=1, access=None))
        assert connection.fresh
        prism.drop_connections()
        async with asyncio.timeout(2):
            while connection.fresh:
                await asyncio.sleep(0.01)


def test_packets_do_not_print():
    assert repr(Packet(b"correct horse")) == "Packet()"
