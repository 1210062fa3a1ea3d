"""Where the broker is and how we log in: read from a URL.

`mqtt://user:password@host:1883?version=5`, or `mqtts://host:8883?version=3.1.1&cafile=ca.pem
&certfile=headend.pem&keyfile=headend.key`. The password never prints.
"""

import ssl
from dataclasses import dataclass, field
from enum import StrEnum, unique
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from headend.errors import Misconfigured

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_TLS_FILES = frozenset({"cafile", "certfile", "keyfile"})
_EXAMPLE = "write mqtt://user:password@host:1883?version=5, or mqtts:// with TLS"


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho only forgets it."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


@unique
class MqttVersion(StrEnum):
    """The two versions in use; 3.1.1 for brokers without MQTT 5."""

    V5 = "5"
    V311 = "3.1.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """One broker and our login there. `tls` is None for a plain connection."""

    host: str
    port: int
    version: MqttVersion = MqttVersion.V5
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_broker_url(url: str) -> BrokerAddress:
    """Read a broker URL; raises Misconfigured, which never repeats the password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise Misconfigured(f"the broker's URL cannot be read: {_EXAMPLE}") from exc
    if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/"):
        raise Misconfigured(f"the broker's URL cannot be read: {_EXAMPLE}")
    options = _options(parts)
    return BrokerAddress(
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        version=_version(options.pop("version", MqttVersion.V5)),
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        tls=_tls(parts.scheme, options),
    )


def _options(parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in options:
        if name != "version" and name not in _TLS_FILES:
            raise Misconfigured(
                f"the broker's URL has an unknown option {name!r}:"
                f" there are version, {', '.join(sorted(_TLS_FILES))}"
            )
    return options


def _version(text: str) -> MqttVersion:
    try:
        return MqttVersion(text)
    except ValueError as exc:
        raise Misconfigured("the broker's URL asks for a version other than 5, 3.1.1") from exc


def _tls(scheme: str, files: dict[str, str]) -> ssl.SSLContext | None:
    if scheme == "mqtt":
        if files:
            raise Misconfigured("the broker's URL names TLS files but no TLS: write mqtts://")
        return None
    if "keyfile" in files and "certfile" not in files:
        raise Misconfigured("the broker's URL has a keyfile without its certfile")
    try:
        context = ssl.create_default_context(cafile=files.get("cafile"))
        context.sslsocket_class = _TlsSocket
        if certfile := files.get("certfile"):
            context.load_cert_chain(certfile, files.get("keyfile"))
    except (OSError, ssl.SSLError) as exc:
        raise Misconfigured(f"the TLS files of the broker's URL cannot be used: {exc}") from exc
    return context
