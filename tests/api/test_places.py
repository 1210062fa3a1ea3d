"""Usage points and supply groups over REST."""

import asyncio

import pytest

from tests.api.office import SGC, Caller, slug

POINT = {
    "name": "12 Main Street",
    "contacts": [
        {"kind": "sms", "address": "+15550100"},
        {"kind": "email", "address": "someone@example.org"},
    ],
    "language": "pt-BR",
    "protected": True,
}
GROUP = {
    "name": "north",
    "zone": "Africa/Nairobi",
    "language": "sw",
    "fallback_after_s": 90,
    "deadline_after_s": 3600,
    "limit_per_recharge": "500",
    "limit_per_day": "1000.5",
    "reveal": "never",
    "reveal_at": {"hall-3": "at_once"},
}
THINGS = [("/v1/usage-points/home-1", POINT), (f"/v1/supply-groups/{SGC}", GROUP)]


@pytest.mark.parametrize(("path", "body"), THINGS)
async def test_what_is_put_is_told(caller: Caller, path, body):
    made = await caller.put(path, json=body)
    assert made.status_code == 201, made.text
    assert made.headers["ETag"] == '"1"'
    told = (await caller.get(path)).json()
    assert told == made.json()
    assert {name: told[name] for name in body} == body
    listed = (await caller.get(path.rpartition("/")[0])).json()
    assert listed == {"items": [told], "next": None}


@pytest.mark.parametrize(("path", "body"), THINGS)
async def test_replacing_needs_the_version_that_was_read(caller: Caller, path, body):
    assert slug(await caller.put(path, json=body, headers={"If-Match": '"1"'})) == "version-differs"
    await caller.put(path, json=body)
    assert slug(await caller.put(path, json={})) == "precondition-required"
    assert slug(await caller.put(path, json={}, headers={"If-Match": '"2"'})) == "version-differs"
    replaced = await caller.put(path, json={}, headers={"If-Match": '"1"'})
    assert replaced.status_code == 200
    assert replaced.headers["ETag"] == '"2"'
    assert replaced.json()["name"] == ""


@pytest.mark.parametrize(("path", "body"), THINGS)
async def test_of_many_who_make_it_at_once_one_does(caller: Caller, path, body):
    answers = await asyncio.gather(*(caller.put(path, json=body) for _ in range(8)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes[0] == 201
    assert set(codes[1:]) <= {412, 428}
    assert (await caller.get(path)).json()["version"] == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"contacts": [{"kind": "sms", "address": "0155"}]}, "contacts.0.address"),
        ({"contacts": [{"kind": "sms", "address": "+15550100"}] * 6}, "contacts"),
        ({"contacts": [{"kind": "email", "address": "a@b\nBcc: x"}]}, "contacts.0.address"),
        ({"language": "not a tag"}, "language"),
        ({"protected": "yes"}, "protected"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"owner": "me"}, "owner"),
    ],
)
async def test_a_bad_usage_point_is_not_kept(caller: Caller, change, field):
    answer = await caller.put("/v1/usage-points/home-1", json=POINT | change)
    assert slug(answer) == "invalid-request"
    assert answer.json()["field"] == field
    assert slug(await caller.get("/v1/usage-points/home-1")) == "unknown-usage-point"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"zone": "../../etc/passwd"}, "zone"),
        ({"zone": ""}, "zone"),
        ({"fallback_after_s": -1}, "fallback_after_s"),
        ({"fallback_after_s": 1.5}, "fallback_after_s"),
        ({"deadline_after_s": 0}, "deadline_after_s"),
        ({"limit_per_day": "-5"}, "limit_per_day"),
        ({"limit_per_day": 5}, "limit_per_day"),
        ({"reveal": "maybe"}, "reveal"),
        ({"reveal_at": {"hall": "maybe"}}, "reveal_at.hall"),
        ({"reveal_at": {"a\x00": "never"}}, None),
    ],
)
async def test_a_bad_supply_group_is_not_kept(caller: Caller, change, field):
    answer = await caller.put(f"/v1/supply-groups/{SGC}", json=GROUP | change)
    assert slug(answer) == "invalid-request"
    if field is not None:
        assert answer.json()["field"] == field
    assert slug(await caller.get(f"/v1/supply-groups/{SGC}")) == "unknown-supply-group"


@pytest.mark.parametrize(
    "path", ["/v1/usage-points/a%2Fb", "/v1/usage-points/%00", "/v1/supply-groups/12"]
)
async def test_a_bad_name_is_refused(caller: Caller, path):
    answer = await caller.put(path, json={})
    assert slug(answer) in {"invalid-request", "not-found"}
