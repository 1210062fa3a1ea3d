"""Digits by SMS, through any gateway that takes an HTTP request; the request is a setting.

Placeholders in the setting: {to} is the number with its plus, {msisdn} without, {text} the message,
{id} a name by which the gateway can know a repeat. Nothing of a request or of an answer reaches an
error but the status, for both hold digits, numbers and passwords.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx2

from adapters.handover.addresses import phone_of
from adapters.handover.gsm7 import fold
from adapters.handover.message import Message
from adapters.handover.named import named
from adapters.handover.providers import ProviderDown
from headend.errors import Misconfigured, NotSent
from headend.recharges import Json
from headend.usage_points import Contact

# One that hangs must leave time for the next: see `supply_groups.HAND_OVER_LEAD_S`.
DEFAULT_TIMEOUT_S = 8.0
MAX_ANSWER_BYTES = 64 * 1024
MAX_CONNECTIONS = 10
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
PLACEHOLDER = re.compile(r"\{(to|msisdn|text|id)\}", re.ASCII)
METHODS = frozenset({"GET", "POST", "PUT"})
# These speak of the one message or its number; all else would meet every message.
OF_THE_MESSAGE = frozenset({400, 409, 422})


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsGatewaySettings:
    """One gateway and the request it takes.

    `json` or `form` is the body, if any. `answer_contains` is for gateways that answer 200 and say
    in the body whether they mean it. `answer_id` says where a JSON answer holds the gateway's own
    name of the message, by members and places (`messages.0.messageId`). `plain_http` allows
    http:// off this machine, for a gateway in the same locked room. `timeout_s` bounds the whole
    exchange.
    """

    url: str = field(repr=False)
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Json = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    answer_contains: str = ""
    answer_id: str = ""
    ca_file: Path | None = None
    plain_http: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S


class SmsGateway:
    """Carries messages to phones; raises Misconfigured for settings that cannot work.

    Hold it for the life of the process and `aclose` it: connections are kept open and bounded.
    """

    def __init__(self, settings: SmsGatewaySettings) -> None:
        _require_usable(settings)
        self._settings = settings
        # The client library logs whole addresses, and an address may hold digits and passwords.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        self._client = httpx2.AsyncClient(
            auth=_login(settings),
            verify=_tls(settings),
            timeout=settings.timeout_s,
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS),
            follow_redirects=False,
            trust_env=False,
        )

    async def send(self, message: Message, contact: Contact) -> str | None:
        """Give a message to the gateway; 2xx is given, all else raises NotSent.

        Returns what `answer_id` names in the answer, if it is there.
        """
        request = self._request(message, phone_of(contact))
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._post(request)
        except (httpx2.HTTPError, httpx2.StreamError, OSError, TimeoutError) as exc:
            raise ProviderDown(f"no use of the SMS gateway: {type(exc).__name__}") from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _post(self, request: httpx2.Request) -> str | None:
        response = await self._client.send(request, stream=True)
        settings = self._settings
        try:
            if not response.is_success:
                kind = NotSent if response.status_code in OF_THE_MESSAGE else ProviderDown
                raise kind(f"the SMS gateway answered {response.status_code}")
            if not settings.answer_contains and not settings.answer_id:
                return None
            beginning = await _beginning(response)
            if settings.answer_contains.encode() not in beginning:
                raise ProviderDown("the SMS gateway's answer lacks what its setting asks for")
            return named(beginning, settings.answer_id) if settings.answer_id else None
        finally:
            await response.aclose()

    def _request(self, message: Message, number: str) -> httpx2.Request:
        settings = self._settings
        values = {
            "to": number,
            "msisdn": number.removeprefix("+"),
            "text": fold(message.text),
            "id": quote(message.id, safe=""),
        }
        quoted = {name: quote(value, safe="") for name, value in values.items()}
        headers = {name: _filled(text, values) for name, text in settings.headers.items()}
        return self._client.build_request(
            settings.method,
            _filled(settings.url, quoted),
            headers={"Accept-Encoding": "identity"} | headers,
            json=None if settings.json is None else _filled_json(settings.json, values),
            data=settings.form and {k: _filled(v, values) for k, v in settings.form.items()},
        )


async def _beginning(response: httpx2.Response) -> bytes:
    """As much of an answer as anybody needs to read; as it came, so that no bomb unpacks."""
    beginning = b""
    async for part in response.aiter_raw():
        beginning += part
        if len(beginning) > MAX_ANSWER_BYTES:
            break
    return beginning[:MAX_ANSWER_BYTES]


def _filled(template: str, values: Mapping[str, str]) -> str:
    """In one pass, so that a message that speaks of {to} is left alone."""
    return PLACEHOLDER.sub(lambda found: values[found[1]], template)


def _filled_json(template: Json, values: Mapping[str, str]) -> Json:
    if isinstance(template, str):
        return _filled(template, values)
    if isinstance(template, Mapping):
        return {name: _filled_json(part, values) for name, part in template.items()}
    if isinstance(template, list | tuple):
        return [_filled_json(part, values) for part in template]
    return template


def _require_usable(settings: SmsGatewaySettings) -> None:
    _require_url(settings)
    if settings.method not in METHODS:
        raise Misconfigured(f"sms: method is one of {', '.join(sorted(METHODS))}")
    if settings.json is not None and settings.form is not None:
        raise Misconfigured("sms: the body is json or form, not both")
    if (settings.user is None) != (settings.password is None):
        raise Misconfigured("sms: user and password come together")
    if settings.timeout_s <= 0:
        raise Misconfigured("sms: timeout_s must be more than zero")
    used = _used({"url": settings.url, "json": settings.json, "form": settings.form})
    if "text" not in used or not used & {"to", "msisdn"}:
        raise Misconfigured("sms: url, json or form must hold {text}, and {to} or {msisdn}")
    if _used(settings.headers) - {"id"}:
        raise Misconfigured("sms: a header may hold {id} only")


def _require_url(settings: SmsGatewaySettings) -> None:
    try:
        httpx2.URL(settings.url)
        parts = urlsplit(settings.url)
        host = parts.hostname
    except (httpx2.InvalidURL, ValueError):
        raise Misconfigured("sms: url cannot be read") from None
    if parts.scheme not in {"http", "https"} or not host or PLACEHOLDER.search(parts.netloc):
        raise Misconfigured("sms: url begins with https:// and a host")
    if parts.scheme == "http" and host not in LOOPBACK and not settings.plain_http:
        raise Misconfigured("sms: over http:// anybody reads the digits; use https://")


def _used(template: Json) -> frozenset[str]:
    """The placeholders in a template."""
    if isinstance(template, str):
        return frozenset(PLACEHOLDER.findall(template))
    if isinstance(template, Mapping):
        return _used(list(template.values()))
    if isinstance(template, list | tuple):
        return frozenset().union(*map(_used, template))
    return frozenset()


def _login(settings: SmsGatewaySettings) -> httpx2.Auth | None:
    if settings.user is None or settings.password is None:
        return None
    return httpx2.BasicAuth(settings.user, settings.password)


def _tls(settings: SmsGatewaySettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as exc:
        raise Misconfigured(f"sms: ca_file {settings.ca_file}: {exc.strerror or exc}") from exc
