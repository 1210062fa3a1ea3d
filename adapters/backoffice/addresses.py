"""Where receivers may be: nobody who can set a URL shall reach what only we can reach (SSRF).

The address that a name resolves to is judged just before it is connected to, and no other is used,
so that a name cannot change its mind in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from headend.webhook_refusals import ReceiverRefused

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAX_URL = 2000
LOOPBACK_NAMES = ("localhost", "localhost.localdomain")
LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
# Addresses that carry an IPv4 address in their last 32 bits (RFC 6052).
_NAT64 = ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class ReceiverRules:
    """`networks` are allowed although they are not public; `plain_http` also off this machine."""

    networks: tuple[Network, ...] = ()
    plain_http: bool = False

    def may_reach(self, address: Address) -> bool:
        """Whether a receiver may be at this address."""
        plain = _embedded(address)
        listed = any(plain in network for network in self.networks)
        return listed or (plain.is_global and not plain.is_multicast)

    def require_usable(self, url: str) -> None:
        """Everything that can be said of a URL without asking anybody; raises ReceiverRefused."""
        parts = _parts(url)
        host = parts.hostname or ""
        addresses = addresses_in(host)
        if parts.scheme == "http" and not (self.plain_http or _all_loopback(addresses)):
            raise _refused("over http:// anybody reads it; use https://")
        if addresses and not any(map(self.may_reach, addresses)):
            raise _refused(
                f"{addresses[0]} is no public address; outbox.private_receivers in the settings"
                " can allow its network"
            )


def addresses_in(host: str) -> Sequence[Address]:
    """The addresses that a host says without asking; none for a name that must be resolved."""
    if host.lower().rstrip(".") in LOOPBACK_NAMES:
        return LOOPBACK
    try:
        return (ip_address(host.partition("%")[0]),)
    except ValueError:
        return ()


def _parts(url: str) -> SplitResult:
    if len(url) > MAX_URL or not url.isascii() or any(ord(char) <= 0x20 for char in url):
        raise _refused(f"a URL has at most {MAX_URL} ASCII characters, none of them a blank")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _refused("it cannot be read") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise _refused("it begins with https:// and a host")
    if "@" in parts.netloc or parts.fragment:
        raise _refused("leave out user, password and fragment; messages are signed")
    return parts


def _refused(why: str) -> ReceiverRefused:
    return ReceiverRefused(f"url: {why}", field="url")


def _all_loopback(addresses: Sequence[Address]) -> bool:
    return bool(addresses) and all(address.is_loopback for address in addresses)


def _embedded(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, where a gateway or the kernel would use that."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
