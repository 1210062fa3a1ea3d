"""Broker URLs, TLS to a real broker, profiles: what operators write."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.mqtt.address import MqttVersion, parse_broker_url
from headend.errors import Misconfigured
from tests.adapters.mqtt.gateway import topic
from tests.adapters.mqtt.headend_side import a_head_end, running
from tests.adapters.mqtt.test_broker import fault_of
from tests.servers.mosquitto import find_program
from tests.servers.process import HOST, ServerProcess, free_port


def test_a_url_says_everything():
    broker = parse_broker_url("mqtt://head%40end:p%3Ass@broker.example:1884?version=3.1.1")
    assert (broker.host, broker.port) == ("broker.example", 1884)
    assert (broker.username, broker.password) == ("head@end", "p:ss")
    assert (broker.version, broker.tls) == (MqttVersion.V311, None)


def test_a_short_url_has_the_usual_ports_and_version():
    assert parse_broker_url("mqtt://h").port == 1883
    secure = parse_broker_url("mqtts://h")
    assert (secure.port, secure.version) == (8883, MqttVersion.V5)
    assert secure.tls is not None
    assert secure.tls.verify_mode is ssl.CERT_REQUIRED
    assert secure.tls.check_hostname


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://u:s3cret@h",
        "mqtt://",
        "mqtt://u:s3cret@h:port",
        "mqtt://u:s3cret@h:99999",
        "mqtt://u:s3cret@[h",
        "mqtt://u:s3cret@h/path",
        "mqtt://u:s3cret@h?version=4",
        "mqtt://u:s3cret@h?colour=red",
        "mqtt://u:s3cret@h?cafile=ca.pem",
        "mqtts://u:s3cret@h?cafile=/nowhere/ca.pem",
        "mqtts://u:s3cret@h?keyfile=key.pem",
    ],
)
def test_a_wrong_url_is_told_without_the_password(url: str):
    with pytest.raises(Misconfigured) as caught:
        parse_broker_url(url)
    assert "s3cret" not in str(caught.value)


def test_a_password_never_prints():
    assert "s3cret" not in repr(parse_broker_url("mqtt://u:s3cret@h"))


@dataclass(frozen=True)
class TlsBroker:
    port: int
    ca: Path


def write_certificate(folder: Path) -> None:
    """One self-signed certificate that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.fixture
def tls_broker(tmp_path: Path) -> Iterator[TlsBroker]:
    write_certificate(tmp_path)
    port = free_port()
    settings = tmp_path / "mosquitto.conf"
    settings.write_text(
        f"listener {port} {HOST}\nallow_anonymous true\nuser root\n"
        f"certfile {tmp_path}/cert.pem\nkeyfile {tmp_path}/key.pem\n"
    )
    server = ServerProcess([find_program(), "-c", str(settings)], port=port, log=tmp_path / "log")
    server.start()
    yield TlsBroker(port, tmp_path / "cert.pem")
    server.kill()


async def test_tls_with_a_known_authority(tls_broker: TlsBroker):
    url = f"mqtts://{HOST}:{tls_broker.port}?cafile={tls_broker.ca}"
    headend = a_head_end(url, queue_limit=5)
    async with running(headend):
        for number in range(50):  # more than fits, and in records of several messages
            await headend.link.publish(
                topic("birth"), b'{"v": 1}', expiry_s=60, reply="r", correlation=b"%d" % number
            )
        await headend.until(lambda: len(headend.reports) == 50)


async def test_tls_with_an_unknown_authority_is_our_fault(tls_broker: TlsBroker):
    error = await fault_of(a_head_end(f"mqtts://{HOST}:{tls_broker.port}"))
    assert isinstance(error, Misconfigured)
    assert "cafile" in str(error)


async def test_tls_towards_a_plain_port_does_not_hang(mosquitto):
    error = await fault_of(a_head_end(f"mqtts://{HOST}:{mosquitto.port}"))
    assert str(mosquitto.port) in str(error)
