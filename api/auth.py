"""API keys: `hk_<id>_<43 characters>`, 256 random bits of which only the SHA-256 is kept.

Keys are looked up before a request's body is read. A key is remembered for a few seconds, so a
revoked one dies within those.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Forbidden, Unauthenticated, problem_answer, store_down
from headend.api_keys import ApiKey
from headend.api_keys import Scope as KeyScope
from headend.errors import StoreDown
from headend.meters import TenantId
from headend.ports import Clock
from headend.store import Store

PREFIX = "hk"
SECRET_BYTES = 32
SECRET_CHARACTERS = 43
REMEMBERED_FOR = timedelta(seconds=5)
REMEMBERED = 1_000
GUARDED = "/v1/"

_bearer = HTTPBearer(
    scheme_name="api_key",
    bearerFormat="hk_<id>_<secret>",
    description="An API key, made with `headend keys create`.",
    auto_error=False,
)


def new_key(
    *,
    ident: str,
    tenant: TenantId,
    name: str,
    scopes: frozenset[KeyScope],
    secret: bytes,
    now: datetime,
) -> tuple[ApiKey, str]:
    """The record to keep, and the text to give away once. `secret` is 32 random bytes."""
    assert len(secret) == SECRET_BYTES
    text = urlsafe_b64encode(secret).decode().rstrip("=")
    key = ApiKey(
        id=ident,
        tenant=tenant,
        name=name,
        scopes=scopes,
        sha256=sha256(secret).digest(),
        created_at=now,
    )
    return key, f"{PREFIX}_{ident}_{text}"


@dataclass(frozen=True, slots=True)
class _Known:
    key: ApiKey
    until: datetime


class Doorkeeper:
    """Knows API keys by their text."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def key_of(self, authorization: str | None) -> ApiKey:
        """The key of an Authorization header; raises Unauthenticated, StoreDown."""
        ident, secret = _parts(authorization)
        key = await self._find(ident)
        # Compared also when there is none, so that the time tells nothing.
        same = hmac.compare_digest(sha256(secret).digest(), key.sha256 if key else bytes(32))
        if key is None or not same or key.revoked_at is not None:
            raise Unauthenticated("this API key is not known or was revoked")
        return key

    async def _find(self, ident: str) -> ApiKey | None:
        now = self._clock.now()
        known = self._known.get(ident)
        if known is not None and now < known.until:
            return known.key
        async with self._store.look() as tx:
            key = await tx.api_keys.find(ident)
        if key is not None:
            self._known[ident] = _Known(key, now + REMEMBERED_FOR)
            self._known.move_to_end(ident)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return key


def _parts(authorization: str | None) -> tuple[str, bytes]:
    """Id and secret bits of an Authorization header; raises Unauthenticated."""
    scheme, _, text = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        raise Unauthenticated("send the header Authorization: Bearer hk_...")
    prefix, _, rest = text.strip().partition("_")
    ident, _, secret = rest.partition("_")
    malformed = Unauthenticated("this is not the form of an API key")
    if prefix != PREFIX or not (ident.isascii() and ident.isalnum()):
        raise malformed
    if len(secret) != SECRET_CHARACTERS or len(ident) > 40:
        raise malformed
    try:
        return ident, urlsafe_b64decode(f"{secret}=")
    except ValueError:
        raise malformed from None


class Gate:
    """ASGI middleware: everything under /v1 needs a key, before its body is read."""

    def __init__(self, app: ASGIApp, doorkeeper: Doorkeeper) -> None:
        self._app = app
        self._doorkeeper = doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(GUARDED):
            try:
                caller = await self._doorkeeper.key_of(_header(scope))
            except Unauthenticated as problem:
                await problem_answer(problem)(scope, receive, send)
                return
            except StoreDown:
                await problem_answer(store_down())(scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)


def _header(scope: Scope) -> str | None:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    return values[0].decode("latin-1") if len(values) == 1 else None


def caller_with(*scopes: KeyScope) -> Callable[[Request], ApiKey]:
    """A dependency: the key of the caller, which must have all these scopes."""

    def caller(request: Request) -> ApiKey:
        key: ApiKey | None = getattr(request.state, "caller", None)
        if key is None:
            raise Unauthenticated("send the header Authorization: Bearer hk_...")
        require_scopes(key, *scopes)
        return key

    return caller


def require_scopes(key: ApiKey, *scopes: KeyScope) -> None:
    """Raises Forbidden, naming the first scope that is missing."""
    for scope in scopes:
        if scope not in key.scopes:
            raise Forbidden(f"this needs a key with the scope `{scope}`")


# The callers of the routes, by what they may do. The bearer scheme is documented by the router.
Reader = Annotated[ApiKey, Security(caller_with(KeyScope.READ))]
Seller = Annotated[ApiKey, Security(caller_with(KeyScope.RECHARGE))]
Keeper = Annotated[ApiKey, Security(caller_with(KeyScope.METERS))]
KeyKeeper = Annotated[ApiKey, Security(caller_with(KeyScope.KEYS))]
Engineer = Annotated[ApiKey, Security(caller_with(KeyScope.ENGINEERING))]
SupplyOrderer = Annotated[ApiKey, Security(caller_with())]  # the action decides the scope
Orderer = Annotated[ApiKey, Security(caller_with())]  # the command decides the scope
readers_only = Security(caller_with(KeyScope.READ))
documented = Security(_bearer)
