"""A back-office before a real head-end: settings, SQLite, vault and desks, all but wires."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from adapters.vault.key_import import KeyToImport, import_keys
from api.app import create_app
from api.auth import new_key, new_person
from api.head_end import HeadEnd
from api.settings import Settings
from api.vault_wiring import load_masters
from api.wiring import head_end, new_chance
from headend.api_keys import Scope
from headend.meters import TenantId
from headend.pages import Cursor
from headend.people import PersonId
from headend.recharges import Recharge
from headend.store import RechargeFilter
from tests.builders import a_drn, always_open

SGC = "123457"
VENDING_KEY = "ABABABABABABABAB949494949494949401234567"  # published test key of 160 bits
TENANT, RIVAL = TenantId("city"), TenantId("rival")
DRN, OTHER_DRN = a_drn(1), a_drn(2)
PROBLEM = "application/problem+json"


def a_settings(folder: Path, **more: Any) -> Settings:
    """Settings in a folder of their own: a Modbus line that leads nowhere, no REST port."""
    return Settings.model_validate(
        {
            "role": "api",
            "database_url": f"sqlite:///{folder}/headend.db",
            "master_key_file": folder / "master.key",
            "buses": {"line-1": {"url": "tcp://127.0.0.1:9"}},
            "handover": {"outbox": folder / "outbox"},
            "listen": {"port": 0},
            **more,
        }
    )


@dataclass
class Office:
    """Callers with keys of any scopes, over HTTP without a socket."""

    settings: Settings
    head_end: HeadEnd
    app: FastAPI = field(init=False)

    def __post_init__(self) -> None:
        self.app = create_app(self.head_end)

    async def key(
        self, *scopes: Scope, tenant: TenantId = TENANT, person: PersonId | None = None
    ) -> str:
        """The text of a new key."""
        chance, now = new_chance(), self.head_end.clock.now()
        key, text = new_key(
            ident=chance.ident(now),
            tenant=tenant,
            name="test",
            scopes=frozenset(scopes),
            secret=chance.secret(),
            now=now,
            person=person,
        )
        async with self.head_end.store.begin() as tx:
            await tx.tenants.ensure(tenant, now)
            await tx.api_keys.add(key)
        return text

    async def person(self, name: str, *, tenant: TenantId = TENANT) -> "tuple[PersonId, Caller]":
        """A new person, and what speaks with the personal token."""
        chance, now = new_chance(), self.head_end.clock.now()
        person, text = new_person(
            ident=chance.ident(now), tenant=tenant, name=name, secret=chance.secret(), now=now
        )
        async with self.head_end.store.begin() as tx:
            await tx.people.add(person)
        return person.id, self.with_key(text)

    async def caller(self, *scopes: Scope, tenant: TenantId = TENANT) -> "Caller":
        """A client with a new key; without scopes named it has all."""
        return self.with_key(await self.key(*(scopes or tuple(Scope)), tenant=tenant))

    def with_key(self, text: str | None) -> "Caller":
        return Caller(self.app, text)

    async def recharges(self) -> Sequence[Recharge]:
        """All recharges of the city."""
        async with self.head_end.store.look() as tx:
            page = await tx.recharges.page(TENANT, Cursor(limit=200), RechargeFilter())
        return page.items


class Caller(httpx2.AsyncClient):
    """Speaks to the application directly."""

    def __init__(self, app: FastAPI, key: str | None) -> None:
        super().__init__(
            transport=httpx2.ASGITransport(app=app, raise_app_exceptions=False),
            base_url="http://headend",
            headers={"Authorization": f"Bearer {key}"} if key else {},
        )


@asynccontextmanager
async def an_office(settings: Settings) -> AsyncIterator[Office]:
    """An office whose tenant has one vending key."""
    async with head_end(settings) as running:
        office = Office(settings, running)
        now = running.clock.now()
        async with running.store.begin() as tx:
            await tx.tenants.ensure(TENANT, now)
            await tx.tenants.ensure(RIVAL, now)
            await tx.opening_hours.put(always_open(TENANT, SGC, now), was=None)
        await import_keys(
            running.store,
            load_masters(settings),
            [
                KeyToImport(
                    sgc=SGC, krn=1, base_date=2014, ken=255, dkga=4, mark="test", key=VENDING_KEY
                )
            ],
            tenant=TENANT,
            now=now,
        )
        yield office
        await running.writes.settle()


def a_meter_body(drn: str = DRN, **more: Any) -> dict[str, Any]:
    return {
        "drn": drn,
        "service": "electricity",
        "profile": "stsm",
        "route": {"bus": "line-1", "address": "17"},
        "sts": {"sgc": SGC, "krn": 1, "ti": 1, "kt": 2, "ea": 11},
        "keypad": "meter",
        **more,
    }


def a_recharge_body(ident: str | None = "sale-1", **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "meter": DRN,
        "amount": {"kind": "units", "value": "25.6", "unit": "kWh"},
        "fallback": [{"kind": "sms", "address": "+15550100"}],
    }
    return body | ({"id": ident} if ident else {}) | more


def slug(answer: httpx2.Response) -> str:
    """The problem type of an answer, which must be a problem document."""
    assert answer.headers["content-type"] == PROBLEM, answer.text
    document: Mapping[str, Any] = answer.json()
    assert document["status"] == answer.status_code
    assert {"type", "title", "status", "detail"} <= document.keys()
    kind: str = document["type"]
    assert kind.startswith("urn:headend:problem:")
    return kind.removeprefix("urn:headend:problem:")
