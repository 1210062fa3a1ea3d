"""Addresses of transports: `tcp://host:port` and `serial:///dev/ttyUSB0?baud=9600&parity=E`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, parse_qsl, urlsplit

HOW_TO_WRITE = 'write "tcp://host:port" or "serial:///dev/ttyUSB0?baud=9600&parity=E"'
BAUDS = range(300, 4_000_001)
PARITIES = ("N", "E", "O")


class MalformedAddress(ValueError):
    """The URL names no transport; the text says how to write one."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP server."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialAddress:
    """A serial port and its settings; `parity` is N, E or O."""

    path: str
    baud: int = 9600
    parity: str = "N"
    stop: int = 1
    bits: int = 8

    @property
    def character_s(self) -> float:
        """How long one character takes on the wire, with its start bit."""
        return (1 + self.bits + (self.parity != "N") + self.stop) / self.baud

    def __str__(self) -> str:
        return f"serial://{self.path}"


Address: TypeAlias = TcpAddress | SerialAddress


def parse_address(url: str) -> Address:
    """Read a URL; raises MalformedAddress."""
    try:
        parts = urlsplit(url)
        match parts.scheme:
            case "tcp":
                return _tcp(parts)
            case "serial":
                return _serial(parts)
            case _:
                raise MalformedAddress(f"{url!r} names no transport: {HOW_TO_WRITE}")
    except MalformedAddress:
        raise
    except ValueError as exc:
        raise MalformedAddress(f"{url!r}: {exc}; {HOW_TO_WRITE}") from exc


def _tcp(parts: SplitResult) -> TcpAddress:
    if not parts.hostname or not parts.port or parts.username is not None:
        raise ValueError("a host and a port are needed, and nothing before them")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"nothing may follow the port {parts.port}")
    return TcpAddress(parts.hostname, parts.port)


def _serial(parts: SplitResult) -> SerialAddress:
    if parts.netloc or parts.path in ("", "/"):
        raise ValueError("three slashes and the path of the port are needed")
    settings = dict(
        parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    )
    if unknown := settings.keys() - {"baud", "parity", "stop", "bits"}:
        raise ValueError(f"unknown setting {min(unknown)!r}; known are baud, parity, stop, bits")
    parity = settings.get("parity", "N").upper()
    if parity not in PARITIES:
        raise ValueError(f"parity is one of {', '.join(PARITIES)}, not {parity!r}")
    return SerialAddress(
        path=parts.path,
        baud=_number(settings, "baud", BAUDS, default=9600),
        parity=parity,
        stop=_number(settings, "stop", range(1, 3), default=1),
        bits=_number(settings, "bits", range(5, 9), default=8),
    )


def _number(settings: Mapping[str, str], name: str, allowed: range, *, default: int) -> int:
    value = settings.get(name, str(default))
    if not (value.isascii() and value.isdigit()) or int(value) not in allowed:
        raise ValueError(
            f"{name} is a number from {allowed.start} to {allowed.stop - 1}, not {value!r}"
        )
    return int(value)
