"""Limits on harm over REST: caps, a second person, holds, opening hours, the audit."""

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from headend.api_keys import Scope
from headend.audit import AuditAction
from headend.dangers import SAFE, Danger
from headend.deliveries import DeliveryState, Fact
from headend.harm_watch import HarmWatch
from headend.opening_hours import OpeningHours
from headend.pages import Cursor
from tests.api.office import DRN, RIVAL, SGC, TENANT, Caller, Office, a_meter_body, slug
from tests.api.orders import ENGINEERING, KEY_CHANGES, a_change, add_second_key, happens
from tests.builders import a_drn

SUPPLY = f"/v1/meters/{DRN}/supply"
LIMIT = {"kind": "power_limit", "value": 6000}
ONE = {"per_key_hour": 1, "per_key_day": 1, "per_group_hour": 1, "per_group_day": 1}


def an_opening(office: Office, ident: str, **more: Any) -> dict[str, Any]:
    ends = office.head_end.clock.now() + timedelta(hours=2)
    order = {"id": ident, "action": "open", "reason": "non_payment", "expires_at": ends.isoformat()}
    return order | more


async def tightened(office: Office, danger: Danger, **more: Any) -> None:
    """One order of the kind goes unasked."""
    _, chief = await office.person(f"Chief {danger}")
    answer = await chief.put(f"/v1/caps/{danger}", json=ONE | more)
    assert answer.status_code == 200, answer.text


async def audited(office: Office, action: AuditAction) -> list[Any]:
    async with office.head_end.store.look() as tx:
        page = await tx.audit.page(TENANT, Cursor(limit=200), action=action)
    return [record.entry for record in page.items]


async def waiting(office: Office, order: dict[str, Any], caller: Caller, path: str = SUPPLY) -> str:
    """An order above its cap; the id of the approval that waits."""
    answer = await caller.post(path, json=order)
    assert (answer.status_code, slug(answer)) == (403, "approval-required"), answer.text
    ident: str = answer.json()["approval"]
    assert answer.headers["Location"] == f"/v1/approvals/{ident}"
    return ident


@pytest.fixture
async def clerk(office: Office, caller: Caller) -> Caller:
    """A caller whose key belongs to a person; one opening has gone, and no more go unasked."""
    await tightened(office, Danger.OPEN_SUPPLY)
    person, _ = await office.person("Ama Mensah")
    clerk = office.with_key(await office.key(*Scope, person=person))
    assert (await clerk.post(SUPPLY, json=an_opening(office, "first"))).status_code == 202
    return clerk


async def test_above_a_cap_a_second_person_approves_and_it_is_carried_out(
    office: Office, clerk: Caller
):
    order = an_opening(office, "o1")
    approval = await waiting(office, order, clerk)
    assert await waiting(office, order, clerk) == approval
    assert slug(await clerk.get("/v1/deliveries/o1")) == "unknown-delivery"
    _, other = await office.person("Kofi Boateng")
    listed = (await other.get("/v1/approvals?state=waiting")).json()["items"]
    assert [one["id"] for one in listed] == [approval]
    assert listed[0]["meter"] == DRN
    assert listed[0]["command"]["reason"] == "non_payment"
    answer = await other.post(f"/v1/approvals/{approval}/approval")
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "carried_out"
    assert (await clerk.get("/v1/deliveries/o1")).json()["state"] == "waiting"
    again = await clerk.post(SUPPLY, json=order)
    assert again.status_code == 200
    assert again.json()["id"] == "o1"
    # Used once: the same person's second click changes nothing, and the next order waits anew.
    assert (await other.post(f"/v1/approvals/{approval}/approval")).json() == answer.json()
    await waiting(office, an_opening(office, "o2"), clerk)


async def test_nobody_approves_what_was_ordered_by_or_for_them(office: Office, caller: Caller):
    await tightened(office, Danger.OPEN_SUPPLY)
    owner_id, owner = await office.person("Ama Mensah")
    named_id, named = await office.person("Esi Owusu")
    key = office.with_key(await office.key(*Scope, person=owner_id))
    await key.post(SUPPLY, json=an_opening(office, "first"))
    order = an_opening(office, "o1", requested_by=named_id)
    approval = await waiting(office, order, key)
    for person in (owner, named):
        answer = await person.post(f"/v1/approvals/{approval}/approval")
        assert (answer.status_code, slug(answer)) == (403, "same-person")
    assert slug(await key.post(f"/v1/approvals/{approval}/approval")) == "person-required"
    assert slug(await key.get("/v1/deliveries/o1")) == "unknown-delivery"
    denied = await audited(office, AuditAction.APPROVAL_DENIED)
    assert {entry.by for entry in denied} == {f"person:{owner_id}", f"person:{named_id}"}


async def test_a_key_of_nobody_gets_no_further_than_the_cap(office: Office, caller: Caller):
    await tightened(office, Danger.OPEN_SUPPLY)
    assert (await caller.post(SUPPLY, json=an_opening(office, "o1"))).status_code == 202
    answer = await caller.post(SUPPLY, json=an_opening(office, "o2"))
    assert (answer.status_code, slug(answer)) == (429, "cap-reached")
    stranger, _ = await office.person("Nobody Here", tenant=RIVAL)
    for ident in ("nobody", stranger):
        order = an_opening(office, "o2", requested_by=ident)
        assert slug(await caller.post(SUPPLY, json=order)) == "unknown-person"
    assert len(await audited(office, AuditAction.CAP_REACHED)) == 1


async def test_an_approval_is_bound_to_the_exact_order(office: Office, clerk: Caller):
    order = an_opening(office, "o1")
    await waiting(office, order, clerk)
    for change in ({"reason": "tamper"}, {"expires_at": an_opening(office, "")["expires_at"]}):
        assert slug(await clerk.post(SUPPLY, json=order | change)) == "order-differs"
    await clerk.post("/v1/meters", json=a_meter_body(a_drn(2)))
    elsewhere = await clerk.post(f"/v1/meters/{a_drn(2)}/supply", json=order)
    assert slug(elsewhere) == "order-differs"


async def test_what_was_refused_stays_refused(office: Office, clerk: Caller):
    order = an_opening(office, "o1")
    approval = await waiting(office, order, clerk)
    _, other = await office.person("Kofi Boateng")
    refusal = {"reason": "wrong street"}
    told = (await other.post(f"/v1/approvals/{approval}/refusal", json=refusal)).json()
    assert (told["state"], told["detail"]) == ("refused", "wrong street")
    assert slug(await other.post(f"/v1/approvals/{approval}/approval")) == "approval-ended"
    assert slug(await clerk.post(SUPPLY, json=order)) == "approval-ended"
    assert slug(await clerk.get("/v1/deliveries/o1")) == "unknown-delivery"


async def test_an_approval_expires(office: Office, clerk: Caller, monkeypatch):
    order = an_opening(office, "o1")
    approval = await waiting(office, order, clerk)
    _, other = await office.person("Kofi Boateng")
    ends = (await other.get(f"/v1/approvals/{approval}")).json()["expires_at"]
    assert ends == order["expires_at"].replace("+00:00", "Z")  # 24 h, or when it is worthless
    now = office.head_end.clock.now() + timedelta(hours=3)
    monkeypatch.setattr(type(office.head_end.clock), "now", lambda _: now)
    assert (await other.get(f"/v1/approvals/{approval}")).json()["state"] == "expired"
    assert slug(await other.post(f"/v1/approvals/{approval}/approval")) == "approval-ended"
    assert await office.head_end.approvals.finish_approved() == 1
    assert len(await audited(office, AuditAction.APPROVAL_EXPIRED)) == 1


async def test_an_order_of_a_key_that_was_revoked_meanwhile_is_not_carried_out(
    office: Office, clerk: Caller
):
    approval = await waiting(office, an_opening(office, "o1"), clerk)
    now = office.head_end.clock.now()
    async with office.head_end.store.begin() as tx:
        for key in await tx.api_keys.all(TENANT):
            await tx.api_keys.revoke(key.id, now)
    _, other = await office.person("Kofi Boateng")
    told = (await other.post(f"/v1/approvals/{approval}/approval")).json()
    assert (told["state"], told["detail"]) == ("failed", "approval-ended")
    async with office.head_end.store.look() as tx:
        assert await tx.deliveries.find(TENANT, "o1") is None


async def test_what_a_crash_left_approved_is_carried_out_later(
    office: Office, clerk: Caller, monkeypatch
):
    approval = await waiting(office, an_opening(office, "o1"), clerk)
    desk = office.head_end.approvals
    _, other = await office.person("Kofi Boateng")
    with monkeypatch.context() as dying:

        async def died(_: Any) -> Any:
            raise asyncio.CancelledError

        dying.setattr(type(desk), "_carry_out", lambda _, approval: died(approval))
        with pytest.raises(asyncio.CancelledError):
            await other.post(f"/v1/approvals/{approval}/approval")
    assert (await other.get(f"/v1/approvals/{approval}")).json()["state"] == "approved"
    assert await desk.finish_approved() == 1
    assert (await other.get(f"/v1/approvals/{approval}")).json()["state"] == "carried_out"
    assert (await clerk.get("/v1/deliveries/o1")).status_code == 200
    assert await desk.finish_approved() == 0


async def test_no_token_and_no_tid_is_made_before_the_approval(office: Office, caller: Caller):
    await add_second_key(office)
    person, _ = await office.person("Ama Mensah")
    clerk = office.with_key(await office.key(*Scope, person=person))
    for danger in (Danger.POWER_LIMIT, Danger.KEY_CHANGE):
        await tightened(office, danger, approve_always=True)
    limit = {"id": "m1", **LIMIT}
    first = await waiting(office, limit, clerk, ENGINEERING)
    second = await waiting(office, a_change("k1"), clerk, KEY_CHANGES)
    async with office.head_end.store.begin() as tx:
        assert await tx.tids.last(TENANT, DRN, 2014) is None
        assert not await tx.tokens.of("m1", TENANT)
        assert not await tx.tokens.of("k1", TENANT)
    _, other = await office.person("Kofi Boateng")
    for approval in (first, second):
        told = (await other.post(f"/v1/approvals/{approval}/approval")).json()
        assert told["state"] == "carried_out", told
    async with office.head_end.store.look() as tx:
        assert len(await tx.tokens.of("m1", TENANT)) == 1
        assert await tx.tokens.of("k1", TENANT)
    assert (await clerk.post(ENGINEERING, json=limit)).status_code == 200


async def test_clearing_tamper_and_permitting_supply_are_never_capped(
    office: Office, caller: Caller
):
    for number in range(25):
        order = an_opening(office, f"p{number}", action="permit_close")
        assert (await caller.post(SUPPLY, json=order)).status_code == 202
        body = {"id": f"t{number}", "kind": "clear_tamper"}
        assert (await caller.post(ENGINEERING, json=body)).status_code == 201
    for number in range(SAFE[Danger.CLEAR_CREDIT].per_key_hour):
        clearing = {"id": f"c{number}", "kind": "clear_credit", "value": 0}
        assert (await caller.post(ENGINEERING, json=clearing)).status_code == 201
    answer = await caller.post(ENGINEERING, json=clearing | {"id": "one-too-many"})
    assert slug(answer) == "cap-reached"


async def test_caps_are_loosened_by_two_people_and_tightened_by_one(office: Office):
    _, one = await office.person("Ama Mensah")
    _, other = await office.person("Kofi Boateng")
    loose = {"per_key_hour": 99, "per_key_day": 999, "per_group_hour": 99, "per_group_day": 999}
    answer = await one.put("/v1/caps/open_supply", json=loose)
    assert slug(answer) == "approval-required"
    path = f"/v1/approvals/{answer.json()['approval']}/approval"
    assert slug(await one.post(path)) == "same-person"
    (rule,) = [
        rule
        for rule in (await one.get("/v1/caps")).json()["items"]
        if rule["kind"] == "open_supply"
    ]
    assert (rule["per_key_hour"], rule["changed_by"]) == (20, None)
    assert (await other.post(path)).json()["state"] == "carried_out"
    (rule,) = [
        rule
        for rule in (await one.get("/v1/caps")).json()["items"]
        if rule["kind"] == "open_supply"
    ]
    assert rule["per_key_hour"] == 99
    tight = await one.put(f"/v1/caps/open_supply?sgc={SGC}", json=ONE)
    assert (tight.status_code, tight.json()["sgc"]) == (200, SGC)
    assert len(await audited(office, AuditAction.CAPS_CHANGED)) == 2


async def openings_rule(person: Caller) -> dict[str, Any]:
    items = (await person.get("/v1/caps")).json()["items"]
    (rule,) = [rule for rule in items if rule["kind"] == "open_supply"]
    found: dict[str, Any] = rule
    return found


@pytest.mark.parametrize(
    "change", [{"per_key_hour": -1}, {"per_key_hour": "9"}, {"hold_percent": 0}, {"unknown": 1}]
)
async def test_bad_caps_are_refused(office: Office, change: dict[str, Any]):
    _, one = await office.person("Ama Mensah")
    assert slug(await one.put("/v1/caps/open_supply", json=ONE | change)) == "invalid-request"
    assert (await one.put("/v1/caps/everything", json=ONE)).status_code == 422


async def test_a_kind_that_fails_is_held_until_a_person_lifts_it(office: Office, caller: Caller):
    watch = HarmWatch(
        office.head_end.store, clock=office.head_end.clock, chance=office.head_end.chance
    )
    for number in range(10):
        answer = await caller.post(SUPPLY, json=an_opening(office, f"o{number}"))
        assert answer.status_code == 202
        fact = Fact.REFUSED if number < 3 else Fact.ACCEPTED
        await happens(office, f"o{number}", Fact.LEASED, fact)
    assert await watch.watch() == 10
    _, person = await office.person("Ama Mensah")
    (hold,) = (await person.get("/v1/holds")).json()["items"]
    assert (hold["kind"], hold["sgc"], hold["lifted_at"]) == ("open_supply", SGC, None)
    assert hold["reason"].startswith("3 of 10 failed")
    answer = await caller.post(SUPPLY, json=an_opening(office, "o10"))
    assert (answer.status_code, slug(answer)) == (409, "kind-held")
    # Permitting, other kinds and credit go on.
    permit = an_opening(office, "p", action="permit_close")
    assert (await caller.post(SUPPLY, json=permit)).status_code == 202
    assert (await caller.post(ENGINEERING, json={"id": "m", **LIMIT})).status_code == 201
    path = f"/v1/holds/{hold['id']}/lift"
    lifted = (await person.post(path, json={"reason": "line mended"})).json()
    assert lifted["lifted_at"]
    assert lifted["lift_reason"] == "line mended"
    assert (await caller.post(SUPPLY, json=an_opening(office, "o10"))).status_code == 202
    assert await watch.watch() == 0
    ended = await audited(office, AuditAction.ORDER_ENDED)
    assert sorted(entry.result for entry in ended) == ["done"] * 7 + ["failed"] * 3


async def test_few_failures_hold_nothing(office: Office, caller: Caller):
    watch = HarmWatch(
        office.head_end.store, clock=office.head_end.clock, chance=office.head_end.chance
    )
    for number in range(9):
        await caller.post(SUPPLY, json=an_opening(office, f"o{number}"))
        await happens(office, f"o{number}", Fact.LEASED, Fact.REFUSED)
    await watch.watch()
    assert (await caller.get("/v1/holds")).json()["items"] == []


async def test_customers_who_pay_hold_no_openings(office: Office, caller: Caller):
    watch = HarmWatch(
        office.head_end.store, clock=office.head_end.clock, chance=office.head_end.chance
    )
    for number in range(10):
        await caller.post(SUPPLY, json=an_opening(office, f"o{number}"))
        facts = (Fact.LEASED, Fact.NO_ANSWER, Fact.NOT_AS_ORDERED)
        ended = await happens(office, f"o{number}", *facts)
        assert ended.state is DeliveryState.UNRESOLVED
    assert await watch.watch() == 10
    assert (await caller.get("/v1/holds")).json()["items"] == []


async def shut(office: Office) -> None:
    """The group is closed today, and open tomorrow."""
    today = office.head_end.clock.now().date()
    async with office.head_end.store.begin() as tx:
        hours = OpeningHours(
            tenant=TENANT,
            sgc=SGC,
            hours=dict.fromkeys(range(7), (time.min, time.max)),
            closed_on=frozenset({today, today + timedelta(days=1)}),
            version=2,
            changed_at=office.head_end.clock.now(),
        )
        await tx.opening_hours.put(hours, was=1)


async def test_outside_the_hours_nothing_is_opened_and_for_safety_two_decide(
    office: Office, caller: Caller
):
    await shut(office)
    answer = await caller.post(SUPPLY, json=an_opening(office, "o1"))
    assert (answer.status_code, slug(answer)) == (409, "outside-opening-hours")
    assert slug(await caller.get("/v1/deliveries/o1")) == "unknown-delivery"
    safety = an_opening(office, "o2", reason="safety")
    answer = await caller.post(SUPPLY, json=safety)
    assert (answer.status_code, slug(answer)) == (403, "requester-required")
    person, _ = await office.person("Ama Mensah")
    approval = await waiting(office, safety | {"requested_by": person}, caller)
    _, other = await office.person("Kofi Boateng")
    told = (await other.post(f"/v1/approvals/{approval}/approval")).json()
    assert told["state"] == "carried_out", told
    (refused,) = await audited(office, AuditAction.ORDER_REFUSED)
    assert (refused.subject, refused.result) == ("o1", "outside-opening-hours")


async def test_opening_hours_are_set_by_a_person_and_told(office: Office, caller: Caller):
    _, person = await office.person("Ama Mensah")
    path = f"/v1/supply-groups/{SGC}/opening-hours"
    body = {
        "hours": [{"weekday": 1, "opens": "08:00", "closes": "24:00"}],
        "closed_on": ["2026-12-25"],
    }
    assert slug(await person.put(path, json=body)) == "precondition-required"
    answer = await person.put(path, json=body, headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text
    told = (await caller.get(path)).json()
    assert (told["hours"], told["closed_on"]) == (body["hours"], body["closed_on"])
    fresh = "/v1/supply-groups/999999/opening-hours"
    default = (await caller.get(fresh)).json()
    assert default["version"] == 0
    assert [one["weekday"] for one in default["hours"]] == [1, 2, 3, 4, 5]
    assert (await person.put(fresh, json=body)).status_code == 201
    assert len(await audited(office, AuditAction.HOURS_CHANGED)) == 2


@pytest.mark.parametrize(
    "hours",
    [
        [{"weekday": 0, "opens": "08:00", "closes": "09:00"}],
        [{"weekday": 1, "opens": "08:00", "closes": "08:00"}],
        [{"weekday": 1, "opens": "8:00", "closes": "09:00"}],
        [{"weekday": 1, "opens": "08:00", "closes": "25:00"}],
        [{"weekday": 1, "opens": "08:00", "closes": "09:00"}] * 2,
    ],
)
async def test_bad_hours_are_refused(office: Office, hours: list[Any]):
    _, person = await office.person("Ama Mensah")
    path = "/v1/supply-groups/999999/opening-hours"
    assert slug(await person.put(path, json={"hours": hours})) == "invalid-request"


async def test_digits_that_are_shown_are_audited_without_them(office: Office, caller: Caller):
    await caller.put(f"/v1/supply-groups/{SGC}", json={"reveal": "at_once"})
    sale = {
        "id": "sale-1",
        "meter": DRN,
        "amount": {"kind": "units", "value": "25.6", "unit": "kWh"},
    }
    sold = (await caller.post("/v1/recharges", json=sale)).json()
    digits = sold["tokens"][0]["digits"]
    assert digits
    (shown,) = await audited(office, AuditAction.DIGITS_REVEALED)
    assert shown.subject == "sale-1"
    told = await caller.get("/v1/audit?action=digits_revealed")
    assert told.json()["items"][0]["by"].startswith("key:")
    assert digits not in told.text


async def test_one_utility_sees_nothing_of_another(office: Office, clerk: Caller):
    approval = await waiting(office, an_opening(office, "o1"), clerk)
    _, rival = await office.person("Kofi Boateng", tenant=RIVAL)
    for path in ("/v1/approvals", "/v1/holds", "/v1/people"):
        items = (await rival.get(path)).json()["items"]
        assert all(one["name"] == "Kofi Boateng" for one in items if "name" in one)
        assert path == "/v1/people" or items == []
    assert slug(await rival.get(f"/v1/approvals/{approval}")) == "unknown-approval"
    assert slug(await rival.post(f"/v1/approvals/{approval}/approval")) == "unknown-approval"


def test_a_day_has_its_hours_where_the_group_lives():
    monday = date(2026, 11, 23)
    hours = OpeningHours(
        tenant=TENANT,
        sgc=SGC,
        closed_on=frozenset({monday + timedelta(days=1)}),
        changed_at=office_time(monday, 0),
    )
    assert not hours.allow(office_time(monday, 4), zone="Africa/Nairobi")
    assert hours.allow(office_time(monday, 5), zone="Africa/Nairobi")  # 08:00 there
    assert not hours.allow(office_time(monday, 13), zone="Africa/Nairobi")  # 16:00
    assert hours.next_open(office_time(monday, 4), zone="Africa/Nairobi") == office_time(monday, 5)
    wednesday = office_time(monday + timedelta(days=2), 5)
    assert hours.next_open(office_time(monday, 13), zone="Africa/Nairobi") == wednesday


def office_time(day: date, hour: int) -> Any:
    return datetime.combine(day, time(hour), tzinfo=UTC)


async def test_a_second_key_of_the_same_person_does_not_pass_the_cap_of_the_group(
    office: Office, caller: Caller
):
    """The cap of a key is that key's; what several keys order together the group's cap bounds."""
    _, chief = await office.person("Chief")
    caps = {"per_key_hour": 2, "per_key_day": 2, "per_group_hour": 3, "per_group_day": 3}
    assert (await chief.put("/v1/caps/open_supply", json=caps)).status_code == 200
    owner, _ = await office.person("Ama Mensah")
    keys = [office.with_key(await office.key(*Scope, person=owner)) for _ in range(2)]
    told = []
    for number in range(4):
        answer = await keys[number % 2].post(SUPPLY, json=an_opening(office, f"o{number}"))
        told.append(answer.status_code)
    assert told == [202, 202, 202, 403]
    detail = answer.json()["detail"]
    assert slug(answer) == "approval-required"
    assert "3 an hour for a supply group" in detail
