"""API keys `hk_<id>_<43 characters>`, and people's own tokens `hp_...`: who calls, what they may.

256 random bits each, of which only the SHA-256 is kept. They are looked up before a request's body
is read, and remembered for a few seconds, so a revoked one dies within those. What a person
decides is never open to an API key, nor the other way round.
"""

import asyncio
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import (
    Forbidden,
    KeyRequired,
    PersonRequired,
    Unauthenticated,
    problem_answer,
    store_down,
)
from headend.api_keys import ApiKey
from headend.api_keys import Scope as KeyScope
from headend.errors import StoreDown
from headend.meters import TenantId
from headend.people import Person, PersonId, Requester
from headend.store import Store

PREFIX, PERSON_PREFIX = "hk", "hp"
SECRET_BYTES = 32
SECRET_CHARACTERS = 43
REMEMBERED_FOR_S = 5.0
REMEMBERED = 1_000
GUARDED = "/v1/"

_bearer = HTTPBearer(
    scheme_name="api_key",
    bearerFormat="hk_<id>_<secret>",
    description="An API key, made with `headend keys create`; for what people decide, a personal"
    " token `hp_...`, made with `headend people add`.",
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
    person: PersonId | None = None,
) -> tuple[ApiKey, str]:
    """The record to keep, and the text to give away once. `secret` is 32 random bytes."""
    key = ApiKey(
        id=ident,
        tenant=tenant,
        name=name,
        scopes=scopes,
        sha256=sha256(secret).digest(),
        created_at=now,
        person=person,
    )
    return key, _bearer_text(PREFIX, ident, secret)


def new_person(
    *, ident: str, tenant: TenantId, name: str, secret: bytes, now: datetime
) -> tuple[Person, str]:
    """The record of a person, and the personal token to give away once."""
    person = Person(
        id=PersonId(ident),
        tenant=tenant,
        name=name,
        sha256=sha256(secret).digest(),
        created_at=now,
        renewed_at=now,
    )
    return person, personal_token(ident, secret)


def personal_token(ident: str, secret: bytes) -> str:
    """The text of a personal token."""
    return _bearer_text(PERSON_PREFIX, ident, secret)


def _bearer_text(prefix: str, ident: str, secret: bytes) -> str:
    assert len(secret) == SECRET_BYTES
    text = urlsafe_b64encode(secret).decode().rstrip("=")
    return f"{prefix}_{ident}_{text}"


@dataclass(frozen=True, slots=True)
class _Known:
    visitor: ApiKey | Person
    until_s: float


class Doorkeeper:
    """Knows API keys and people by the text they bring."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    async def key_of(self, authorization: str | None) -> ApiKey:
        """The key of an Authorization header; raises Unauthenticated, StoreDown."""
        visitor = await self.visitor_of(authorization)
        if isinstance(visitor, Person):
            raise Unauthenticated("this is a person's token and no API key")
        return visitor

    async def visitor_of(self, authorization: str | None) -> ApiKey | Person:
        """The key or the person of an Authorization header; raises Unauthenticated, StoreDown."""
        prefix, ident, secret = _parts(authorization)
        found = await self._find(prefix, ident)
        # Compared also when there is none, so that the time tells nothing.
        same = hmac.compare_digest(sha256(secret).digest(), found.sha256 if found else bytes(32))
        if found is None or not same or found.revoked_at is not None:
            what = "personal token" if prefix == PERSON_PREFIX else "API key"
            raise Unauthenticated(f"this {what} is not known or was revoked")
        return found

    async def _find(self, prefix: str, ident: str) -> ApiKey | Person | None:
        # Not by the time of day, which may be set back.
        now_s = asyncio.get_running_loop().time()
        known = self._known.get((prefix, ident))
        if known is not None and now_s < known.until_s:
            return known.visitor
        async with self._store.look() as tx:
            found: ApiKey | Person | None
            if prefix == PERSON_PREFIX:
                found = await tx.people.find(ident)
            else:
                found = await tx.api_keys.find(ident)
        if found is not None:
            self._known[prefix, ident] = _Known(found, now_s + REMEMBERED_FOR_S)
            self._known.move_to_end((prefix, ident))
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found


def _parts(authorization: str | None) -> tuple[str, str, bytes]:
    """Prefix, id and secret bits of an Authorization header; raises Unauthenticated."""
    scheme, _, text = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        raise Unauthenticated("send the header Authorization: Bearer hk_...")
    prefix, _, rest = text.strip().partition("_")
    ident, _, secret = rest.partition("_")
    malformed = Unauthenticated("this is not the form of an API key")
    if prefix not in (PREFIX, PERSON_PREFIX) or not (ident.isascii() and ident.isalnum()):
        raise malformed
    if len(secret) != SECRET_CHARACTERS or len(ident) > 40:
        raise malformed
    try:
        return prefix, ident, urlsafe_b64decode(f"{secret}=")
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
                visitor = await self._doorkeeper.visitor_of(_header(scope))
            except Unauthenticated as problem:
                await problem_answer(problem)(scope, receive, send)
                return
            except StoreDown:
                await problem_answer(store_down())(scope, receive, send)
                return
            scope.setdefault("state", {})["visitor"] = visitor
        await self._app(scope, receive, send)


def _header(scope: Scope) -> str | None:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    return values[0].decode("latin-1") if len(values) == 1 else None


def caller_with(*scopes: KeyScope) -> Callable[[Request], ApiKey]:
    """A dependency: the key of the caller, which must have all these scopes."""

    def caller(request: Request) -> ApiKey:
        key = _visitor(request)
        if isinstance(key, Person):
            raise KeyRequired("a person's token does nothing here; bring an API key hk_...")
        require_scopes(key, *scopes)
        return key

    return caller


def _visitor(request: Request) -> ApiKey | Person:
    visitor: ApiKey | Person | None = getattr(request.state, "visitor", None)
    if visitor is None:
        raise Unauthenticated("send the header Authorization: Bearer hk_...")
    return visitor


def the_visitor(request: Request) -> ApiKey | Person:
    """A dependency: whoever calls, key or person."""
    return _visitor(request)


def principal(visitor: ApiKey | Person) -> str:
    """Who calls, as the audit names them."""
    return f"{'person' if isinstance(visitor, Person) else 'key'}:{visitor.id}"


def the_person(request: Request) -> Person:
    """A dependency: the named human who calls; an API key never is one."""
    visitor = _visitor(request)
    if not isinstance(visitor, Person):
        raise PersonRequired("no API key decides this: bring the personal token hp_... of a person")
    return visitor


def onlooker(request: Request) -> TenantId:
    """A dependency: the utility of a person, or of a key that may read."""
    visitor = _visitor(request)
    if not isinstance(visitor, Person):
        require_scopes(visitor, KeyScope.READ)
    return visitor.tenant


def requester_of(key: ApiKey, requested_by: str | None = None) -> Requester:
    """For whom a key orders: the person it belongs to, and the one it names."""
    named = [key.person, PersonId(requested_by) if requested_by else None]
    return Requester(frozenset(person for person in named if person is not None))


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
WebhookKeeper = Annotated[ApiKey, Security(caller_with(KeyScope.WEBHOOKS))]
SupplyOrderer = Annotated[ApiKey, Security(caller_with())]  # the action decides the scope
Orderer = Annotated[ApiKey, Security(caller_with())]  # the command decides the scope
Auditor = Annotated[ApiKey, Security(caller_with(KeyScope.AUDIT))]
Visitor = Annotated[ApiKey | Person, Security(the_visitor)]  # the route decides what they may
Approver = Annotated[Person, Security(the_person)]
Onlooker = Annotated[TenantId, Security(onlooker)]
field_engineers_only = Security(caller_with(KeyScope.LINES))
readers_only = Security(caller_with(KeyScope.READ))
documented = Security(_bearer)
