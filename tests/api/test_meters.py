"""Meters over REST: added, read, changed by version, listed; and ordered about."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from headend.api_keys import Scope
from headend.attempts import Attempt
from headend.dangers import SAFE, Danger
from headend.deliveries import DeliveryMethod, Fact
from headend.events import EventType, MeterEvent
from headend.meters import Drn
from headend.readings import Reading, ReadingType
from headend.tokens import TokenResult
from tests.api.office import (
    DRN,
    OTHER_DRN,
    TENANT,
    Caller,
    Office,
    a_meter_body,
    a_recharge_body,
    slug,
)
from tests.builders import a_drn

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def test_a_meter_is_told_as_it_was_added(caller: Caller):
    answer = await caller.post("/v1/meters", json=a_meter_body(OTHER_DRN))
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/meters/{OTHER_DRN}"
    assert answer.headers["ETag"] == '"1"'
    told = answer.json()
    asked = a_meter_body(OTHER_DRN)
    assert {name: told[name] for name in asked} == asked
    assert told["state"] == "in_service"
    read = await caller.get(f"/v1/meters/{OTHER_DRN}")
    assert read.json() == told
    assert read.headers["ETag"] == '"1"'


STS = a_meter_body()["sts"]
BAD = [
    ({"drn": DRN}, "meter-exists", "drn"),
    ({"drn": "12345"}, "malformed-meter-number", "drn"),
    ({"drn": OTHER_DRN[:-1] + str((int(OTHER_DRN[-1]) + 1) % 10)}, "wrong-check-digit", "drn"),
    ({"drn": 5}, "invalid-request", "drn"),
    ({"service": "steam"}, "invalid-request", "service"),
    ({"profile": "no-such-model"}, "unknown-profile", "profile"),
    ({"profile": ""}, "invalid-request", "profile"),
    ({"profile": "amr-v1"}, "unknown-profile", "profile"),
    ({"route": {"bus": "line-9", "address": "1"}}, "unknown-bus", "bus"),
    ({"route": {"bus": "line-1"}}, "invalid-request", "route.address"),
    ({"route": {"bus": "line-1", "address": "a b"}}, "invalid-request", "route.address"),
    ({"sts": STS | {"sgc": "12345"}}, "invalid-request", "sts.sgc"),
    ({"sts": STS | {"sgc": 123457}}, "invalid-request", "sts.sgc"),
    ({"sts": STS | {"krn": 0}}, "invalid-request", "sts.krn"),
    ({"sts": STS | {"krn": "1"}}, "invalid-request", "sts.krn"),
    ({"sts": STS | {"ti": 100}}, "invalid-request", "sts.ti"),
    ({"sts": STS | {"kt": 4}}, "invalid-request", "sts.kt"),
    ({"sts": STS | {"ea": 9}}, "malformed-order", "ea"),
    ({"keypad": "yes"}, "invalid-request", "keypad"),
    ({"usage_point": "nowhere"}, "unknown-usage-point", "usage_point"),
    ({"usage_point": "a/b"}, "invalid-request", "usage_point"),
    ({"colour": "red"}, "invalid-request", "colour"),
]


@pytest.mark.parametrize(("change", "kind", "field"), BAD)
async def test_a_bad_meter_is_its_own_problem_and_is_not_kept(caller: Caller, change, kind, field):
    answer = await caller.post("/v1/meters", json=a_meter_body(OTHER_DRN) | change)
    assert slug(answer) == kind
    assert answer.json()["field"] == field
    assert slug(await caller.get(f"/v1/meters/{OTHER_DRN}")) == "unknown-meter"


async def test_a_patch_changes_what_it_names(caller: Caller):
    await caller.put("/v1/usage-points/home-1", json={})
    patch = {"sts": {"krn": 2}, "route": {"address": "18"}, "usage_point": "home-1"}
    answer = await caller.patch(
        f"/v1/meters/{DRN}",
        json=patch,
        headers={"If-Match": '"1"', "Content-Type": "application/merge-patch+json"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["ETag"] == '"2"'
    told = answer.json()
    assert told["sts"] == STS | {"krn": 2}
    assert told["route"] == {"bus": "line-1", "address": "18"}
    assert told["usage_point"] == "home-1"
    away = await caller.patch(
        f"/v1/meters/{DRN}", json={"route": None, "usage_point": None}, headers={"If-Match": '"2"'}
    )
    assert away.json()["route"] is None
    assert away.json()["usage_point"] is None
    assert away.json()["version"] == 3


@pytest.mark.parametrize(
    ("if_match", "status", "kind"),
    [
        (None, 428, "precondition-required"),
        ('"2"', 412, "version-differs"),
        ('W/"1"', 412, "version-differs"),
        ("1", 412, "version-differs"),
        ("", 412, "version-differs"),
    ],
)
async def test_a_patch_needs_the_version_that_was_read(caller: Caller, if_match, status, kind):
    headers = {} if if_match is None else {"If-Match": if_match}
    answer = await caller.patch(f"/v1/meters/{DRN}", json={"state": "retired"}, headers=headers)
    assert answer.status_code == status
    assert slug(answer) == kind
    assert (await caller.get(f"/v1/meters/{DRN}")).json()["state"] == "in_service"


@pytest.mark.parametrize("if_match", ["*", '"1"', '"7", "1"'])
async def test_a_patch_with_a_match_is_taken(caller: Caller, if_match):
    answer = await caller.patch(
        f"/v1/meters/{DRN}", json={"state": "suspended"}, headers={"If-Match": if_match}
    )
    assert answer.json()["state"] == "suspended"


async def test_of_many_patches_of_one_version_one_wins(caller: Caller):
    answers = await asyncio.gather(
        *(
            caller.patch(
                f"/v1/meters/{DRN}",
                json={"route": {"address": str(number)}},
                headers={"If-Match": '"1"'},
            )
            for number in range(1, 11)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 9
    assert (await caller.get(f"/v1/meters/{DRN}")).json()["version"] == 2


@pytest.mark.parametrize(
    ("patch", "kind", "field"),
    [
        ({"drn": OTHER_DRN}, "invalid-request", "drn"),
        ({"service": "gas"}, "invalid-request", "service"),
        ({"profile": None}, "invalid-request", "profile"),
        ({"profile": "nope"}, "unknown-profile", "profile"),
        ({"sts": None}, "invalid-request", "sts"),
        ({"sts": {"krn": None}}, "invalid-request", "sts.krn"),
        ({"state": "sold"}, "invalid-request", "state"),
        ({"route": {"bus": "nope"}}, "unknown-bus", "bus"),
        ({"usage_point": "nowhere"}, "unknown-usage-point", "usage_point"),
        ([], "invalid-request", ""),
    ],
)
async def test_a_bad_patch_changes_nothing(caller: Caller, patch, kind, field):
    before = (await caller.get(f"/v1/meters/{DRN}")).json()
    answer = await caller.patch(f"/v1/meters/{DRN}", json=patch, headers={"If-Match": '"1"'})
    assert slug(answer) == kind
    assert answer.json()["field"] == field
    assert (await caller.get(f"/v1/meters/{DRN}")).json() == before


async def test_a_patch_cannot_give_half_a_route(caller: Caller):
    await caller.post("/v1/meters", json=a_meter_body(OTHER_DRN, route=None))
    answer = await caller.patch(
        f"/v1/meters/{OTHER_DRN}", json={"route": {"address": "1"}}, headers={"If-Match": "*"}
    )
    assert slug(answer) == "invalid-request"
    assert answer.json()["field"] == "route.bus"


async def test_meters_are_listed_by_number_and_group(caller: Caller):
    drns = sorted([DRN] + [a_drn(number) for number in range(3, 7)])
    for drn in drns[1:]:
        await caller.post("/v1/meters", json=a_meter_body(drn, sts=STS | {"sgc": "600675"}))
    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await caller.get("/v1/meters", params=query)).json()
        seen += [item["drn"] for item in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert seen == drns
    of_group = (await caller.get("/v1/meters?sgc=600675")).json()["items"]
    assert [item["drn"] for item in of_group] == [drn for drn in drns if drn != DRN]
    assert slug(await caller.get("/v1/meters?sgc=12")) == "invalid-request"


# --- orders -------------------------------------------------------------------------------------


def an_order(office: Office, **more):
    expires_at = office.head_end.clock.now() + timedelta(hours=1)
    return {
        "id": "order-1",
        "action": "open",
        "reason": "safety",
        "expires_at": expires_at.isoformat(),
    } | more


async def test_an_order_is_taken_and_told(office: Office, caller: Caller):
    answer = await caller.post(f"/v1/meters/{DRN}/supply", json=an_order(office))
    assert answer.status_code == 202
    assert answer.headers["Location"] == "/v1/deliveries/order-1"
    told = answer.json()
    assert told["command"]["kind"] == "set_supply"
    assert told["command"]["action"] == "open"
    assert told["state"] == "waiting"
    assert told["methods"] == ["remote"]
    assert (await caller.get("/v1/deliveries/order-1")).json() == told
    again = await caller.post(
        f"/v1/meters/{DRN}/supply",
        json=an_order(office) | {"expires_at": told["command"]["expires_at"]},
    )
    assert again.status_code == 200
    assert again.json() == told


async def test_a_clock_is_set_once_per_id(caller: Caller):
    first = await caller.post(f"/v1/meters/{DRN}/clock", json={"id": "c1"})
    again = await caller.post(f"/v1/meters/{DRN}/clock", json={"id": "c1"})
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["command"]["kind"] == "set_clock"


async def test_opening_and_permitting_are_two_scopes(office: Office, caller: Caller):
    opener = await office.caller(Scope.DISCONNECT)
    permitter = await office.caller(Scope.SUPPLY)
    closing = an_order(office, id="o2", action="permit_close")
    path = f"/v1/meters/{DRN}/supply"
    assert slug(await opener.post(path, json=closing)) == "scope-missing"
    assert slug(await permitter.post(path, json=an_order(office))) == "scope-missing"
    assert (await opener.post(path, json=an_order(office))).status_code == 202
    assert (await permitter.post(path, json=closing)).status_code == 202


async def test_the_protected_are_not_disconnected(office: Office, caller: Caller):
    await caller.put("/v1/usage-points/ward-4", json={"protected": True})
    await caller.patch(
        f"/v1/meters/{DRN}", json={"usage_point": "ward-4"}, headers={"If-Match": "*"}
    )
    answer = await caller.post(f"/v1/meters/{DRN}/supply", json=an_order(office))
    assert answer.status_code == 409
    assert slug(answer) == "supply-protected"
    assert slug(await caller.get("/v1/deliveries/order-1")) == "unknown-delivery"


async def test_disconnections_are_capped_by_the_hour(office: Office, caller: Caller):
    path = f"/v1/meters/{DRN}/supply"
    for number in range(SAFE[Danger.OPEN_SUPPLY].per_key_hour):
        order = an_order(office, id=f"o{number}")
        assert (await caller.post(path, json=order)).status_code == 202
    answer = await caller.post(path, json=an_order(office, id="one-too-many"))
    assert answer.status_code == 429
    assert slug(answer) == "cap-reached"
    assert int(answer.headers["Retry-After"]) > 0
    permitted = an_order(office, id="light", action="permit_close")
    assert (await caller.post(path, json=permitted)).status_code == 202


@pytest.mark.parametrize(
    ("change", "kind", "field"),
    [
        ({"action": "toggle"}, "invalid-request", "action"),
        ({"reason": "because"}, "invalid-request", "reason"),
        ({"id": ""}, "invalid-request", "id"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "malformed-order", "expires_at"),
        ({"expires_at": "2999-01-01T00:00:00Z"}, "malformed-order", "expires_at"),
        ({"expires_at": "tomorrow"}, "invalid-request", "expires_at"),
        ({"expires_at": 1700000000}, "invalid-request", "expires_at"),
        ({"force": True}, "invalid-request", "force"),
    ],
)
async def test_a_bad_order_is_not_kept(office: Office, caller: Caller, change, kind, field):
    answer = await caller.post(f"/v1/meters/{DRN}/supply", json=an_order(office) | change)
    assert slug(answer) == kind
    assert answer.json()["field"] == field
    assert slug(await caller.get("/v1/deliveries/order-1")) == "unknown-delivery"


async def test_a_meter_that_cannot_be_told_gets_no_order(office: Office, caller: Caller):
    await caller.post("/v1/meters", json=a_meter_body(OTHER_DRN, profile="eastron-sdm630"))
    answer = await caller.post(f"/v1/meters/{OTHER_DRN}/supply", json=an_order(office))
    assert slug(answer) == "command-unsupported"
    answer = await caller.post(f"/v1/meters/{OTHER_DRN}/clock", json={"id": "c"})
    assert slug(answer) == "command-unsupported"


async def test_an_id_of_another_order_is_no_repeat(office: Office, caller: Caller):
    await caller.post(f"/v1/meters/{DRN}/clock", json={"id": "order-1"})
    answer = await caller.post(f"/v1/meters/{DRN}/supply", json=an_order(office))
    assert answer.status_code == 409
    assert slug(answer) == "order-differs"


# --- what a meter says --------------------------------------------------------------------------


async def test_readings_are_told_newest_first(office: Office, caller: Caller):
    readings = [
        Reading(
            tenant=TENANT,
            drn=Drn(DRN),
            type=kind,
            value=1000 * minute,
            taken_at=NOW + timedelta(minutes=minute),
            received_at=NOW + timedelta(minutes=minute),
        )
        for minute in range(3)
        for kind in (ReadingType.ENERGY_IMPORT_WH, ReadingType.POWER_W)
    ]
    async with office.head_end.store.begin() as tx:
        await tx.readings.add(readings)
    told = (await caller.get(f"/v1/meters/{DRN}/readings?type=energy_import_wh&limit=2")).json()
    assert [item["value"] for item in told["items"]] == [2000, 1000]
    assert told["items"][0] == {
        "type": "energy_import_wh",
        "obis": "1-0:1.8.0",
        "cim": "0.0.0.1.1.1.12.0.0.0.0.0.0.0.0.0.72.0",
        "value": 2000,
        "quality": "good",
        "taken_at": "2026-03-01T12:02:00Z",
        "received_at": "2026-03-01T12:02:00Z",
    }
    rest = await caller.get(
        f"/v1/meters/{DRN}/readings",
        params={"type": "energy_import_wh", "cursor": told["next"], "limit": 2},
    )
    assert [item["value"] for item in rest.json()["items"]] == [0]
    assert slug(await caller.get(f"/v1/meters/{DRN}/readings?type=warmth")) == "invalid-request"
    assert slug(await caller.get(f"/v1/meters/{OTHER_DRN}/readings")) == "unknown-meter"


async def test_events_are_told_with_their_names(office: Office, caller: Caller):
    events = [
        MeterEvent(tenant=TENANT, drn=Drn(DRN), code=code, taken_at=at, received_at=at)
        for code, at in [(EventType.MAGNET, NOW), (0x7F01, NOW + timedelta(minutes=1))]
    ]
    async with office.head_end.store.begin() as tx:
        await tx.events.add(events)
    told = (await caller.get(f"/v1/meters/{DRN}/events")).json()["items"]
    assert [(item["code"], item["type"], item["severity"]) for item in told] == [
        (0x7F01, "unknown", "info"),
        (0x0304, "magnet", "critical"),
    ]


async def test_attempts_and_results_are_told_by_name_and_number(office: Office, caller: Caller):
    recharge = (await caller.post("/v1/recharges", json=a_recharge_body())).json()
    now = office.head_end.clock.now()
    async with office.head_end.store.begin() as tx:
        await tx.attempts.add(
            Attempt(
                tenant=TENANT,
                delivery_id=recharge["delivery"],
                method=DeliveryMethod.REMOTE,
                started_at=now,
                ended_at=now,
                outcome=Fact.LOCKED_OUT,
                result=TokenResult.LOCK_OUT,
            )
        )
    (attempt,) = (await caller.get("/v1/recharges/sale-1")).json()["attempts"]
    assert attempt["method"] == "remote"
    assert attempt["outcome"] == "locked_out"
    assert attempt["result"] == {"number": 15, "name": "lock_out"}
