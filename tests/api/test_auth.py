"""API keys: who gets in, and for what."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from api.auth import Doorkeeper, new_key
from api.problems import Unauthenticated
from headend.api_keys import Scope
from headend.meters import TenantId
from headend.store import Store
from tests.api.office import DRN, RIVAL, Caller, Office, a_meter_body, a_recharge_body, slug
from tests.api.orders import ENGINEERING, KEY_CHANGES, a_change, a_clearing, add_second_key
from tests.fakes import FakeClock

ASKED_NOW = f"/v1/meters/{DRN}/readings"
LIMIT = {"id": "l1", "power_limit_w": 6000}
OPEN = {
    "id": "o1",
    "action": "open",
    "reason": "safety",
    "expires_at": "2030-01-01T00:00:00Z",
}
# Every route under /v1 with a sound request, and the scope it needs.
ROUTES = [
    ("POST", "/v1/recharges", a_recharge_body(), Scope.RECHARGE),
    ("GET", "/v1/recharges", None, Scope.READ),
    ("GET", "/v1/recharges/sale-1", None, Scope.READ),
    ("GET", "/v1/recharges/sale-1?reveal=true", None, Scope.REVEAL),
    ("POST", "/v1/recharges/sale-1/reversal", {"reason": "mistyped"}, Scope.RECHARGE),
    ("POST", "/v1/recharges/sale-1/replacement", {"id": "sale-2"}, Scope.RECHARGE),
    ("GET", "/v1/deliveries/d1", None, Scope.READ),
    ("GET", "/v1/deliveries/k1?reveal=true", None, Scope.REVEAL),
    ("POST", "/v1/deliveries/k1/confirmation", {"seen_by": "K. Otieno"}, Scope.KEYS),
    ("POST", "/v1/deliveries/k1/inquiry", None, Scope.KEYS),
    ("POST", "/v1/deliveries/m1/confirmation", {"seen_by": "K. Otieno"}, Scope.ENGINEERING),
    ("POST", "/v1/deliveries/m1/inquiry", None, Scope.ENGINEERING),
    ("POST", KEY_CHANGES, a_change(), Scope.KEYS),
    ("POST", ENGINEERING, a_clearing(), Scope.ENGINEERING),
    ("POST", "/v1/tokens/verify", {"meter": DRN, "token": "1" * 20}, Scope.ENGINEERING),
    ("POST", "/v1/meters", a_meter_body(), Scope.METERS),
    ("GET", "/v1/meters", None, Scope.READ),
    ("GET", f"/v1/meters/{DRN}", None, Scope.READ),
    ("PATCH", f"/v1/meters/{DRN}", {}, Scope.METERS),
    ("GET", f"/v1/meters/{DRN}/readings", None, Scope.READ),
    ("GET", f"/v1/meters/{DRN}/events", None, Scope.READ),
    ("POST", f"/v1/meters/{DRN}/supply", OPEN, Scope.DISCONNECT),
    ("POST", f"/v1/meters/{DRN}/supply", OPEN | {"action": "permit_close"}, Scope.SUPPLY),
    ("POST", f"/v1/meters/{DRN}/clock", {"id": "c1"}, Scope.METERS),
    ("POST", f"/v1/meters/{DRN}/credit-parameters", LIMIT, Scope.ENGINEERING),
    ("PUT", "/v1/usage-points/p1", {}, Scope.METERS),
    ("GET", "/v1/usage-points/p1", None, Scope.READ),
    ("GET", "/v1/usage-points", None, Scope.READ),
    ("PUT", "/v1/supply-groups/123457", {}, Scope.METERS),
    ("GET", "/v1/supply-groups/123457", None, Scope.READ),
    ("GET", "/v1/supply-groups", None, Scope.READ),
    ("POST", "/v1/recharges/sale-1/handover", None, Scope.RECHARGE),
    ("POST", "/v1/deliveries/k1/withdrawal", {"seen_by": "K. Otieno"}, Scope.KEYS),
    ("GET", "/v1/compensations", None, Scope.READ),
    ("GET", "/v1/compensations.csv", None, Scope.READ),
    ("GET", "/v1/paid-but-dark", None, Scope.READ),
    ("GET", "/v1/worklist", None, Scope.READ),
    ("POST", "/v1/worklist/m1/taken", {"seen_by": "K. Otieno"}, Scope.ENGINEERING),
    ("POST", "/v1/worklist/m1/not-taken", {"seen_by": "K. Otieno"}, Scope.ENGINEERING),
    ("POST", "/v1/worklist/m1/withdrawn", {"seen_by": "K. Otieno"}, Scope.ENGINEERING),
    ("POST", "/v1/worklist/d1/booked", {"seen_by": "K. Otieno"}, Scope.RECHARGE),
    ("GET", "/v1/jobs", None, Scope.READ),
    ("GET", "/v1/jobs/j1", None, Scope.READ),
    ("GET", "/v1/jobs/j1/results", None, Scope.READ),
    ("GET", "/v1/approvals", None, Scope.READ),
    ("GET", "/v1/approvals/a1", None, Scope.READ),
    ("GET", "/v1/holds", None, Scope.READ),
    ("GET", "/v1/caps", None, Scope.READ),
    ("GET", "/v1/supply-groups/123457/opening-hours", None, Scope.READ),
    ("GET", "/v1/people", None, Scope.READ),
    ("GET", "/v1/audit", None, Scope.AUDIT),
    ("GET", "/v1/events", None, Scope.READ),
    ("GET", "/v1/events/stream?after=999", None, Scope.READ),
    ("POST", "/v1/webhooks", {"url": "https://billing.example/"}, Scope.WEBHOOKS),
    ("GET", "/v1/webhooks", None, Scope.WEBHOOKS),
    ("GET", "/v1/webhooks/w1", None, Scope.WEBHOOKS),
    ("PATCH", "/v1/webhooks/w1", {}, Scope.WEBHOOKS),
    ("DELETE", "/v1/webhooks/w1", None, Scope.WEBHOOKS),
    ("POST", "/v1/webhooks/w1/secret", {}, Scope.WEBHOOKS),
    ("GET", "/v1/webhooks/w1/dead-letters", None, Scope.WEBHOOKS),
    ("POST", "/v1/webhooks/w1/replay", {"dead_letters": True}, Scope.WEBHOOKS),
    ("GET", "/v1/lines", None, Scope.LINES),
    ("GET", "/v1/lines/line-1", None, Scope.LINES),
    ("GET", "/v1/lines/line-1/frames", None, Scope.LINES),
    ("GET", "/v1/health/can-vend", None, Scope.READ),
    ("GET", "/v1/health/can-deliver", None, Scope.READ),
]


CAPS = {"per_key_hour": 1, "per_key_day": 1, "per_group_hour": 1, "per_group_day": 1}
# What only a named person does.
DECISIONS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/v1/approvals/a1/approval", None),
    ("POST", "/v1/approvals/a1/refusal", {"reason": "no"}),
    ("POST", "/v1/holds/h1/lift", {"reason": "mended"}),
    ("PUT", "/v1/caps/open_supply", CAPS),
    ("PUT", "/v1/supply-groups/123457/opening-hours", {"hours": []}),
]


JOBS = ("/v1/jobs", "/v1/jobs/j1/pause", "/v1/jobs/j1/resume", "/v1/jobs/j1/cancel")
# What people may look at before they decide.
LOOKED_AT = {"jobs", "approvals", "holds", "caps", "people", "supply-groups"}


@pytest.fixture
async def ordered(office: Office) -> Office:
    """An office with a meter and an order for each scope that the command decides."""
    await add_second_key(office)
    caller = await office.caller()
    for path, body in [
        ("/v1/meters", a_meter_body()),
        (ENGINEERING, a_clearing()),
        (KEY_CHANGES, a_change()),
    ]:
        assert (await caller.post(path, json=body)).status_code == 201
    return office


def test_the_table_names_every_route(office: Office):
    documented = {
        (verb.upper(), path)
        for path, verbs in office.app.openapi()["paths"].items()
        if path.startswith("/v1/")
        for verb in verbs
    }
    named = {(verb, path.partition("?")[0]) for verb, path, _, _ in ROUTES}
    named |= {(verb, path) for verb, path, _ in DECISIONS}
    named |= {("POST", path) for path in JOBS}  # see test_jobs: the lines decide the scope
    named |= {("POST", ASKED_NOW)}  # two scopes, see below
    for verb, template in documented:
        fitting = [path for v, path in named if v == verb and fits(path, template)]
        assert fitting, (verb, template)


@pytest.mark.parametrize("scope", [Scope.READ, Scope.LINES])
async def test_a_meter_is_asked_at_once_by_who_may_read_and_use_lines(office: Office, scope: Scope):
    caller = await office.caller(scope)
    assert slug(await caller.post(ASKED_NOW)) == "scope-missing"


def fits(path: str, template: str) -> bool:
    parts, names = path.split("/"), template.split("/")
    return len(parts) == len(names) and all(
        part == name or name.startswith("{") for part, name in zip(parts, names, strict=True)
    )


@pytest.mark.parametrize(("verb", "path", "body", "scope"), ROUTES)
async def test_no_route_answers_without_a_key(office: Office, verb, path, body, scope):
    async with office.with_key(None) as nobody:
        answer = await nobody.request(verb, path, json=body)
    assert answer.status_code == 401
    assert slug(answer) == "unauthenticated"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("verb", "path", "body", "scope"), ROUTES)
async def test_a_key_without_the_scope_gets_nowhere(ordered: Office, verb, path, body, scope):
    caller = await ordered.caller(*(set(Scope) - {scope}))
    answer = await caller.request(verb, path, json=body)
    assert answer.status_code == 403
    assert slug(answer) == "scope-missing"
    assert f"`{scope}`" in answer.json()["detail"]


@pytest.mark.parametrize(("verb", "path", "body", "scope"), ROUTES)
async def test_a_key_with_the_scope_gets_in(ordered: Office, verb, path, body, scope):
    scopes = {scope, Scope.READ} if scope is Scope.REVEAL else {scope}
    caller = await ordered.caller(*scopes)
    answer = await caller.request(verb, path, json=body)
    assert answer.status_code not in (401, 403), answer.text


@pytest.mark.parametrize(("verb", "path", "body"), DECISIONS)
async def test_no_api_key_decides_what_a_person_must(ordered: Office, verb, path, body):
    async with ordered.with_key(None) as nobody:
        assert (await nobody.request(verb, path, json=body)).status_code == 401
    mighty = await ordered.caller()
    answer = await mighty.request(verb, path, json=body)
    assert answer.status_code == 403
    assert slug(answer) == "person-required"
    _, person = await ordered.person("Ama Mensah")
    answer = await person.request(verb, path, json=body)
    assert answer.status_code not in (401, 403), answer.text


@pytest.mark.parametrize(("verb", "path", "body", "scope"), ROUTES)
async def test_a_person_does_nothing_that_needs_a_key(ordered: Office, verb, path, body, scope):
    _, person = await ordered.person("Ama Mensah")
    answer = await person.request(verb, path, json=body)
    if answer.status_code != 403:
        assert verb == "GET"
        assert path.removeprefix("/v1/").partition("/")[0] in LOOKED_AT
        return
    assert slug(answer) == "api-key-required"


async def test_a_person_who_was_revoked_gets_no_further(office: Office):
    ident, person = await office.person("Ama Mensah")
    now = office.head_end.clock.now()
    async with office.head_end.store.begin() as tx:
        assert await tx.people.revoke(ident, now)
    assert slug(await person.get("/v1/holds")) == "unauthenticated"


async def test_a_caller_without_a_key_cannot_make_us_read_a_body(office: Office):
    async def endless():
        while True:
            yield b"x" * 1000

    async with office.with_key(None) as nobody:
        answer = await nobody.post("/v1/recharges", content=endless())
    assert answer.status_code == 401


async def test_keys_of_the_wrong_form_are_refused_alike(office: Office):
    good = await office.key(Scope.READ)
    prefix, ident, secret = good.split("_", 2)
    for text in (
        "",
        "hk",
        "hk__",
        f"hk_{ident}",
        f"hk_{ident}_",
        f"hk_{ident}_{secret[:-1]}",
        f"hk_{ident}_{secret}A",
        f"hk_{ident}_{'A' * 43}",
        f"hk_{'0' * 26}_{secret}",
        f"{prefix}-{ident}-{secret}",
        f"hk_{ident}_{'é' * 43}",
    ):
        headers = {b"Authorization": f"Bearer {text}".encode()}
        async with office.with_key(None) as caller:
            answer = await caller.get("/v1/meters", headers=headers)
        assert slug(answer) == "unauthenticated", text
        assert not secret or secret not in answer.text


@pytest.mark.virtual_time
async def test_a_revoked_key_dies_within_seconds_whatever_the_time_of_day():
    key, text = a_key(FakeClock().now())
    shelf = KeyShelf(key)
    doorkeeper = Doorkeeper(cast(Store, shelf))
    assert (await doorkeeper.key_of(f"Bearer {text}")).id == key.id
    shelf.revoked = True
    assert (await doorkeeper.key_of(f"Bearer {text}")).id == key.id
    await asyncio.sleep(6)
    with pytest.raises(Unauthenticated):
        await doorkeeper.key_of(f"Bearer {text}")


async def test_a_revoked_key_gets_no_further(office: Office, tmp_path):
    text = await office.key(Scope.READ)
    async with office.head_end.store.begin() as tx:
        assert await tx.api_keys.revoke(text.split("_")[1], office.head_end.clock.now())
    async with office.with_key(text) as caller:
        assert slug(await caller.get("/v1/meters")) == "unauthenticated"


def test_a_key_never_prints_its_secret():
    key, text = a_key(datetime(2026, 1, 1, tzinfo=UTC))
    secret = text.split("_", 2)[2]
    assert len(secret) == 43
    assert secret not in repr(key)
    assert key.sha256.hex() not in repr(key)


async def test_another_tenants_things_are_as_unknown(office: Office, caller: Caller):
    await caller.post("/v1/recharges", json=a_recharge_body())
    await caller.put("/v1/usage-points/p1", json={})
    await caller.put("/v1/supply-groups/123457", json={})
    rival = await office.caller(tenant=RIVAL)
    expiry = (office.head_end.clock.now() + timedelta(hours=1)).isoformat()
    order = {"id": "x", "action": "open", "reason": "safety", "expires_at": expiry}
    for verb, path, body, kind in [
        ("GET", "/v1/recharges/sale-1", None, "unknown-recharge"),
        ("GET", "/v1/recharges/sale-1?reveal=true", None, "unknown-recharge"),
        ("POST", "/v1/recharges/sale-1/reversal", {"reason": "x"}, "unknown-recharge"),
        ("POST", "/v1/recharges", a_recharge_body("theirs"), "unknown-meter"),
        ("GET", f"/v1/meters/{DRN}", None, "unknown-meter"),
        ("PATCH", f"/v1/meters/{DRN}", {"state": "retired"}, "unknown-meter"),
        ("GET", f"/v1/meters/{DRN}/readings", None, "unknown-meter"),
        ("GET", f"/v1/meters/{DRN}/events", None, "unknown-meter"),
        ("POST", f"/v1/meters/{DRN}/supply", order, "unknown-meter"),
        ("POST", f"/v1/meters/{DRN}/clock", {"id": "x"}, "unknown-meter"),
        ("POST", f"/v1/meters/{DRN}/credit-parameters", LIMIT, "unknown-meter"),
        ("GET", "/v1/usage-points/p1", None, "unknown-usage-point"),
        ("GET", "/v1/supply-groups/123457", None, "unknown-supply-group"),
    ]:
        answer = await rival.request(verb, path, json=body, headers={"If-Match": '"1"'})
        assert slug(answer) == kind, (verb, path)
    for path in ("recharges", "meters", "usage-points", "supply-groups"):
        assert (await rival.get(f"/v1/{path}")).json() == {"items": [], "next": None}


def a_key(now):
    return new_key(
        ident="01JN0000000000000000000001",
        tenant=TenantId("city"),
        name="till",
        scopes=frozenset({Scope.READ}),
        secret=bytes(range(32)),
        now=now,
    )


class KeyShelf:
    """A store with one key and nothing else."""

    def __init__(self, key) -> None:
        self.key = key
        self.revoked = False
        self.api_keys = self

    def look(self):
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def find(self, ident):
        return replace(self.key, revoked_at=self.key.created_at if self.revoked else None)
