"""Notes, and real peers to give messages to: an SMTP server and an HTTP server on free ports."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from headend.meters import Drn, TenantId
from headend.ports import Note
from headend.usage_points import Contact, ContactKind

NOW = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)
DIGITS = "58625789986991357486"
GROUPS = "5862 5789 9869 9135 7486"
PHONE = Contact(ContactKind.SMS, "+254712345678")
MAILBOX = Contact(ContactKind.EMAIL, "amina.otieno@example.org")


def a_note(**changed: object) -> Note:
    note = Note(
        id="01JZ0000000000000000000000",
        tenant=TenantId("city"),
        drn=Drn("0000000000000"),
        language="en",
        contacts=(PHONE,),
        digits=(DIGITS,),
        amount="25.6 kWh",
        reference="R-4711",
    )
    return replace(note, **changed)  # type: ignore[arg-type] # the test names the fields


class StoppedClock:
    """It is always noon and a half."""

    def now(self) -> datetime:
        return NOW


# --- certificates -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate of 127.0.0.1 and its key."""

    file: Path
    key_file: Path

    @property
    def server_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.file, self.key_file)
        return context


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> Certificate:
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test server")])
    today = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate = Certificate(folder / "cert.pem", folder / "key.pem")
    certificate.file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    certificate.key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate


# --- a mail server ----------------------------------------------------------------------------


@dataclass
class MailServer:
    """A real SMTP server; `answer` overrides what it says to a message."""

    port: int = 0
    letters: list[Envelope] = field(default_factory=list)
    logged_in: bool = False
    answer: str = "250 OK"
    rcpt_answer: str | None = None

    async def handle_RCPT(  # noqa: N802 - the server calls it so
        self, server: object, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.rcpt_answer is None:
            envelope.rcpt_tos.append(address)
        return self.rcpt_answer or "250 OK"

    async def handle_DATA(  # noqa: N802 - the server calls it so
        self, server: object, session: Session, envelope: Envelope
    ) -> str:
        self.logged_in = session.authenticated is True
        if self.answer.startswith("250"):
            self.letters.append(envelope)
        return self.answer


USER, PASSWORD = "headend", "correct horse"


def _authenticated(server, session, envelope, mechanism, data) -> AuthResult:
    known = LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=data == known, handled=data == known)


@asynccontextmanager
async def mail_server(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[MailServer]:
    """An SMTP server; with a context it wants STARTTLS, or speaks TLS from the first byte."""
    peer = MailServer()

    def protocol() -> SMTP:
        return SMTP(
            peer,
            hostname="mail.test",
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=_authenticated,
            auth_required=starttls is not None,
            auth_require_tls=starttls is not None,
        )

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        await server.wait_closed()


# --- a web server -----------------------------------------------------------------------------

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(status: str, body: bytes = b"", *headers: str) -> Answer:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return write


@dataclass
class WebServer:
    """A real HTTP server that answers as told and keeps what it was asked."""

    answer: Answer
    port: int = 0
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    sent_bytes: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lengths = [line for line in head.split("\r\n") if line.lower().startswith("content-le")]
            body = await reader.readexactly(int(lengths[0].split(":")[1])) if lengths else b""
            self.requests.append((head, body))
            await self.answer(writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def web_server(say: Answer, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[WebServer]:
    peer = WebServer(say)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        await server.wait_closed()
