"""A PrismToken for tests: a real Thrift server over TLS that makes real tokens, and its faults.

It keeps rules of its own, told by the published interface: it chooses TID and RND, does not make
the same message id twice the same (so a client that asks twice is found out), and remembers results
for `fetchTokenResult`.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import thriftpy2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from thriftpy2.protocol import TBinaryProtocol
from thriftpy2.thrift import TProcessor
from thriftpy2.transport import TMemoryBuffer

from adapters.vault.key_import import check_value
from adapters.vault.prism_messages import INTERFACE
from protocols.sts.amount import UNITS_MAX
from protocols.sts.cipher import BlockCipher, cipher_for
from protocols.sts.credit import CreditCurrency, CreditUnits
from protocols.sts.drn import Drn, MeterPan
from protocols.sts.errors import CrcError, StsError
from protocols.sts.keychange import KeyChange, KeySection
from protocols.sts.keys import VendingKey, derive
from protocols.sts.management import (
    ClearCredit,
    ClearTamper,
    Management,
    PhaseUnbalanceLimit,
    PowerLimit,
    TariffRate,
    WaterFactor,
)
from protocols.sts.sta import SAMPLE
from protocols.sts.tables import CreditSubclass, EncryptionAlgorithm
from protocols.sts.tid import next_tid, tid_at
from protocols.sts.token import decode, encode, encode_key_change
from protocols.sts.validity import is_expired

API = thriftpy2.load(INTERFACE)
REALM, USERNAME, PASSWORD = "local", "headend", "correct horse; battery"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Fault(Enum):
    """What befalls one call."""

    CUT_BEFORE = auto()  # the request is lost
    CUT_AFTER = auto()  # it is done, the answer is lost
    HANG = auto()  # it is done, nobody is told
    SLOW = auto()  # it is told a little late
    LATE = auto()  # it is done a little late, whether or not anybody still waits


@dataclass
class PrismTokenServer:
    """`port` after `run`. `spoil` changes the frame of an answer, `tamper` a token before it."""

    keys: dict[tuple[int, int], VendingKey] = field(default_factory=dict)
    now: datetime = datetime(2026, 7, 1, 12, tzinfo=UTC)
    port: int = 0
    made: list[tuple[str, Any]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    faults: dict[str, Fault] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    access: set[str] = field(default_factory=set)
    tamper: Callable[[Any], object] = lambda token: None
    copies: int = 1
    spoil: Callable[[str, bytes], bytes] | None = None
    slow_s: float = 0.05
    silent: bool = False
    verdict: str | None = None
    connections: set[asyncio.StreamWriter] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._results: dict[str, list[Any]] = {}
        self._last_tid: dict[str, int] = {}
        self._processor = TProcessor(API.TokenApi, self)

    @asynccontextmanager
    async def run(self, trust: ssl.SSLContext | None) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=trust)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for writer in list(self.connections):
                writer.transport.abort()
            await server.wait_closed()
            while self.connections:
                await asyncio.sleep(0.01)

    def drop_connections(self) -> None:
        for writer in self.connections:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    size = int.from_bytes(await reader.readexactly(4))
                    await self._answer(await reader.readexactly(size), reader, writer)
        finally:
            writer.transport.abort()
            self.connections.discard(writer)

    async def _answer(
        self, frame: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        method = frame[8 : 8 + int.from_bytes(frame[4:8])].decode()
        self.calls[method] += 1
        fault = Fault.HANG if self.silent else self.faults.pop(method, None)
        if fault is Fault.CUT_BEFORE:
            raise OSError
        if fault is Fault.LATE:
            await asyncio.sleep(self.slow_s)
        answer = self._process(frame)
        if fault is Fault.CUT_AFTER:
            raise OSError
        if fault is Fault.HANG:
            await reader.read()
            raise OSError
        if fault is Fault.SLOW:
            await asyncio.sleep(self.slow_s)
        framed = len(answer).to_bytes(4) + answer
        writer.write(self.spoil(method, framed) if self.spoil else framed)
        await writer.drain()

    def _process(self, frame: bytes) -> bytes:
        question, answer = TMemoryBuffer(), TMemoryBuffer()
        question.write(frame)
        self._processor.process(TBinaryProtocol(question), TBinaryProtocol(answer))
        return bytes(answer.getvalue())

    # --- the calls -----------------------------------------------------------------------------

    def signInWithPassword(self, message_id, realm, username, password, options):  # noqa: N802
        self._admit(message_id, "signInWithPassword")
        if options.version != "1.1":
            raise refusal("ESignin.Version")
        if (realm, username, password) != (REALM, USERNAME, PASSWORD):
            raise refusal("ESignin.Authentication", f"failed for {username} {password}")
        token = f"bearer-{self.calls['signInWithPassword']}-of-a-secret"
        self.access.add(token)
        return API.SignInResult(accessToken=token)

    def getStatus(self, message_id, access):  # noqa: N802
        self._admit(message_id, "getStatus", access)
        alert = API.Alert(eCode="ESm.Battery", eMsgEn="the battery is low")
        return [API.NodeStatus(info={"node": "pt-1"}, alerts=[alert])]

    def issueCreditToken(self, message_id, access, meter, subclass, amount, time, flags):  # noqa: N802
        self._admit(message_id, "issueCreditToken", access)
        self._require_own_choice(meter, time, flags)
        if subclass < CreditSubclass.ELECTRICITY_CURRENCY:
            if not (amount.is_integer() and 0 <= amount <= UNITS_MAX):
                raise refusal("EParamRange", "Parameter 'transferAmount' out of range: got '1'")
            return self._make(
                message_id,
                meter,
                lambda tid: CreditUnits(CreditSubclass(subclass), tid % 16, tid, int(amount)),
            )
        steps = round(amount * 100000)
        return self._make(
            message_id, meter, lambda tid: CreditCurrency(CreditSubclass(subclass), tid, steps)
        )

    def issueMseToken(self, message_id, access, meter, subclass, amount, time, flags):  # noqa: N802
        self._admit(message_id, "issueMseToken", access)
        self._require_own_choice(meter, time, flags)
        if not (amount.is_integer() and 0 <= amount <= UNITS_MAX):
            raise refusal("EParamRange", "Parameter 'transferAmount' out of range: got '1'")
        values = () if subclass == 5 else (int(amount),)
        return self._make(
            message_id, meter, lambda tid: MANAGEMENT[subclass](tid % 16, tid, *values)
        )

    def issueKeyChangeTokens(self, message_id, access, meter, to):  # noqa: N802
        self._admit(message_id, "issueKeyChangeTokens", access)
        assert (meter.allowKrnUpdate, meter.allowKenUpdate) == (False, False)
        old, cipher = self._key(meter)
        new = self.keys.get((to.toSgc, to.toKrn))
        if new is None:
            raise refusal("EKeystore.NotFound")
        if is_expired(tid_at(new.base_date, self.now), new.ken):
            raise refusal("ESts.VkExpired")
        change = KeyChange.between(
            old,
            new,
            MeterPan.of(Drn(meter.drn)),
            tariff_index=to.toTi,
            algorithm=EncryptionAlgorithm(meter.ea),
        )
        three = bool(meter.allow3Kct) and meter.ea == 7
        made = [
            self._described(meter, old, digits, section.subclass)
            for digits, section in zip(
                encode_key_change(change, cipher, three_kct=three),
                change.sections(three_kct=three),
                strict=True,
            )
        ]
        made[0].newConfig = API.MeterConfigAdvice(
            toSgc=to.toSgc, toKrn=to.toKrn, toTi=to.toTi, toKen=new.ken,
            rollover=change.rollover, toVkKcv=check_value(new),
        )  # fmt: skip
        for token in made:
            self.tamper(token)
        self._results[message_id] = made
        self.made.append((message_id, made))
        return made

    def verifyToken(self, message_id, access, meter, digits):  # noqa: N802
        self._admit(message_id, "verifyToken", access)
        if self.verdict is not None:
            return API.VerifyResult(validationResult=self.verdict)
        key, cipher = self._key(meter)
        try:
            contents = decode(digits, cipher)
        except CrcError:
            return API.VerifyResult(validationResult="EVerify.Crc")
        if isinstance(contents, KeySection):
            return API.VerifyResult(validationResult="EVerify.Ok")
        assert isinstance(contents, CreditUnits | CreditCurrency | Management)
        if is_expired(contents.tid, key.ken):
            return API.VerifyResult(validationResult="EVerify.KeyExpired")
        token = self._token(meter, key, contents, digits)
        self.tamper(token)
        return API.VerifyResult(validationResult="EVerify.Ok", token=token)

    def fetchTokenResult(self, message_id, access, wanted):  # noqa: N802
        self._admit(message_id, "fetchTokenResult", access)
        if wanted not in self._results:
            raise refusal("ECacheMiss")
        return self._results[wanted]

    def _make(self, message_id, meter, contents_at):
        key, cipher = self._key(meter)
        contents = contents_at(self._draw_tid(meter.drn, key))
        made = [self._token(meter, key, contents, encode(contents, cipher))] * self.copies
        self.tamper(made[0])
        self._results[message_id] = made
        self.made.append((message_id, made[0]))
        return made

    def _require_own_choice(self, meter, time, flags):
        assert (time, flags) == (0, 0)
        assert (meter.allowKrnUpdate, meter.allowKenUpdate) == (False, False)

    def _admit(self, message_id, method, access=None):
        assert 1 <= len(message_id) <= 40
        assert message_id.replace("-", "").isalnum()
        assert message_id[0] != "-"
        if method != "signInWithPassword" and access not in self.access:
            raise refusal("EAuthentication.Token", f"Authentication failed (bad {access})")
        if method in self.refusals:
            raise refusal(*self.refusals[method].split("|", 1))

    def _key(self, meter) -> tuple[VendingKey, BlockCipher]:
        key = self.keys.get((meter.sgc, meter.krn))
        if key is None:
            raise refusal("EKeystore.NotFound")
        try:
            pan = MeterPan.of(Drn(meter.drn))
        except StsError:
            raise refusal("ESts.DrnOrPan.CheckDigit") from None
        decoder_key = derive(
            key, pan, tariff_index=meter.ti, algorithm=EncryptionAlgorithm(meter.ea)
        )
        return key, cipher_for(decoder_key, SAMPLE)

    def _draw_tid(self, drn, key) -> int:
        if self.now < key.base_date.epoch:
            raise refusal("ESts.VkBeforeBdt")
        tid = next_tid(key.base_date, self.now, self._last_tid.get(drn))
        if is_expired(tid, key.ken):
            raise refusal("ESts.VkExpired")
        self._last_tid[drn] = tid
        return tid

    def _token(self, meter, key, contents, digits):
        amount: float
        match contents:
            case CreditUnits():
                amount, scale = contents.encoded_tenths, 10
            case CreditCurrency():
                amount, scale = contents.encoded_1e5 / 100000, 1
            case PowerLimit() | PhaseUnbalanceLimit():
                amount, scale = contents.encoded_watts, 1
            case _:
                amount, scale = contents.data, 1
        return self._described(
            meter, key, digits, contents.subclass, tokenClass=int(contents.token_class),
            tid=contents.tid, transferAmount=float(amount), scaledAmount=str(amount / scale),
        )  # fmt: skip

    def _described(self, meter, key, digits, subclass, **more):
        fields = {"tokenClass": 2, "tid": 0, "transferAmount": 0.0, "scaledAmount": "0"} | more
        return API.Token(
            drn=meter.drn, pan=MeterPan.of(Drn(meter.drn)).digits, ea=meter.ea, tct=meter.tct,
            sgc=meter.sgc, krn=meter.krn, ti=meter.ti, subclass=int(subclass),
            isReservedTid=False, description="Token", stsUnitName="0.1 unit",
            scaledUnitName="unit", tokenDec=digits, tokenHex=f"{int(digits):017X}", idSm="SM-1",
            vkKcv=check_value(key), **fields,
        )  # fmt: skip


MANAGEMENT: dict[int, Any] = {
    0: PowerLimit, 1: ClearCredit, 2: TariffRate, 5: ClearTamper, 6: PhaseUnbalanceLimit,
    7: WaterFactor,
}  # fmt: skip


def refusal(code: str, text: str = "no") -> Exception:
    error: Exception = API.ApiException(eCode=code, eMsgEn=text)
    return error


# --- certificates that live for one test run ----------------------------------------------------


@dataclass(frozen=True)
class Authority:
    """Somebody who vouches for servers; `file` is its own certificate."""

    folder: Path
    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.pem"

    @classmethod
    def found(cls, folder: Path, name: str) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        basic = x509.BasicConstraints(ca=True, path_length=0)
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            _draft(name, name, key)
            .add_extension(basic, critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        authority = cls(folder, name, key, certificate)
        authority.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return authority

    def serve_as(self, host: str, *, until: datetime | None = None) -> ssl.SSLContext:
        """What a server needs that is called `host` (and 127.0.0.1 if that is localhost)."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(host)]
        if host == "localhost":
            names.append(x509.IPAddress(IPv4Address("127.0.0.1")))
        certificate = (
            _draft(host, self.name, key, until)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        file = self.folder / f"{self.name}-{certificate.serial_number}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def _draft(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, until: datetime | None = None
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(LONG_AGO)
        .not_valid_after(until or datetime.now(UTC) + timedelta(days=1))
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
