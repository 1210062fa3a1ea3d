"""Receivers, told by HTTP. Whatever one of them does, telling it takes a bounded time and memory.

One connection a message, to an address that was judged: a connection kept open could be taken for
another name at the same address. No redirect is followed, no proxy asked, no answer believed beyond
its status. Nothing of a URL or an answer reaches a detail, for a URL may hold a password.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx2

from adapters.backoffice.addresses import Address, ReceiverRules, addresses_in
from adapters.backoffice.signing import signed_headers
from headend.cloud_events import MEDIA_TYPE
from headend.receivers import TOO_MANY, UNAVAILABLE, Message, Reply
from headend.webhook_refusals import ReceiverRefused

DEFAULT_TIMEOUT_S = 10.0
# Read so that a polite receiver can end its answer; what comes beyond is nobody's business.
MAX_ANSWER_BYTES = 16 * 1024
ANSWER_S = 1.0
MAX_ADDRESSES = 3
# Names are looked up apart from everybody else's: a dead resolver blocks only receivers.
RESOLVERS = 16
USER_AGENT = "headend-webhooks/1"


class _Unreachable(Exception):
    """No address of the receiver can be used; the text says why."""


class HttpReceivers:
    """Satisfies the receivers of the core. Hold it for the life of the process and `aclose` it."""

    def __init__(
        self,
        rules: ReceiverRules,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._rules = rules
        self._timeout_s = timeout_s
        # The client library logs whole addresses.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        self._resolvers = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="webhook-dns")
        self._client = httpx2.AsyncClient(
            verify=tls or ssl.create_default_context(),
            timeout=timeout_s,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=False,
        )

    def check(self, url: str) -> None:
        """Raises ReceiverRefused for one that would never be told."""
        self._rules.require_usable(url)

    async def tell(self, message: Message) -> Reply:
        """Never raises for what a receiver or a network does, and takes a bounded time."""
        try:
            self._rules.require_usable(message.url)
            async with asyncio.timeout(self._timeout_s):
                response = await self._told(message)
            return await _answered(response, message.at)
        except TimeoutError:
            return Reply(detail=f"no answer within {self._timeout_s:g} s")
        except (_Unreachable, ReceiverRefused) as error:
            return Reply(detail=str(error))
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError) as error:
            return Reply(detail=_reason(error))

    async def aclose(self) -> None:
        """Close what is open."""
        await self._client.aclose()
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def _told(self, message: Message) -> httpx2.Response:
        """By the first address that takes a connection; the answer's head, and its body to come."""
        addresses = await self._addresses(message.url)
        for address in addresses[:-1]:
            with suppress(httpx2.ConnectError):
                return await self._told_at(address, message)
        return await self._told_at(addresses[-1], message)

    async def _told_at(self, address: Address, message: Message) -> httpx2.Response:
        return await self._client.send(self._request(address, message), stream=True)

    def _request(self, address: Address, message: Message) -> httpx2.Request:
        url = httpx2.URL(message.url)
        return self._client.build_request(
            "POST",
            url.copy_with(host=str(address)),
            content=message.body,
            headers={
                "Host": url.netloc.decode("ascii"),
                "Content-Type": MEDIA_TYPE,
                "User-Agent": USER_AGENT,
                "Accept-Encoding": "identity",
                "Connection": "close",
                **signed_headers(message),
            },
            extensions={"sni_hostname": url.host},
        )

    async def _addresses(self, url: str) -> Sequence[Address]:
        host = urlsplit(url).hostname or ""
        found = addresses_in(host) or await self._resolved(host)
        usable = [address for address in found if self._rules.may_reach(address)]
        if not usable:
            raise _Unreachable("its address is not public, and not allowed in the settings")
        return usable[:MAX_ADDRESSES]

    async def _resolved(self, host: str) -> Sequence[Address]:
        look_up = partial(
            socket.getaddrinfo, host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._resolvers, look_up)
        except (OSError, UnicodeError):
            raise _Unreachable("its name does not resolve") from None
        return [ip_address(str(place[0]).partition("%")[0]) for *_, place in found]


async def _answered(response: httpx2.Response, now: datetime) -> Reply:
    """What the head says; the body is read a little, for politeness, and changes nothing."""
    try:
        with suppress(TimeoutError, httpx2.HTTPError, httpx2.StreamError, OSError):
            async with asyncio.timeout(ANSWER_S):
                await _read_some(response)
        return _reply(response, now)
    finally:
        await response.aclose()


def _reply(response: httpx2.Response, now: datetime) -> Reply:
    status = response.status_code
    if response.is_success:
        return Reply(status=status)
    redirects = "; redirects are not followed" if response.has_redirect_location else ""
    return Reply(
        status=status,
        retry_after=retry_after(response.headers, now) if status in _ASK_LATER else None,
        detail=f"answered {status}{redirects}",
    )


_ASK_LATER = frozenset({TOO_MANY, UNAVAILABLE})


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Seconds or a date (RFC 9110, 10.2.3); None for what is neither, or is past."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=int(text[:9]))
    try:
        wait = parsedate_to_datetime(text) - now
    except (ValueError, TypeError, OverflowError):
        return None
    return wait if wait > timedelta(0) else None


async def _read_some(response: httpx2.Response) -> None:
    """As it comes, so that no bomb unpacks."""
    size = 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            return


def _reason(error: Exception) -> str:
    """What went wrong, without the address."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "its certificate is not trusted"
        if isinstance(cause, ConnectionRefusedError):
            return "the connection is refused"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    return f"it cannot be told ({type(error).__name__})"
