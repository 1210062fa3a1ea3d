"""Paid but dark and the work list through REST: lists, filters, words of people, metrics."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from api.head_end import head_end_of
from headend.api_keys import Scope
from headend.deliveries import Confirmation, DeliveryState, Fact
from headend.evidence import Evidence, EvidenceKind, Says
from headend.recharges import RechargeState
from headend.supply import DarkCause, SupplyState
from tests.api.office import DRN, TENANT, Office, a_recharge_body, slug

PERSON = {"seen_by": "K. Otieno", "note": "on the display"}


async def a_dark_sale(office: Office, ident: str, cause: DarkCause, missing_milli: int) -> None:
    """A sale whose credit is in, and the supply that was seen after it."""
    async with office.head_end.store.begin() as tx:
        delivery = await tx.deliveries.of(ident, TENANT)
        recharge = await tx.recharges.find(TENANT, ident)
        assert delivery is not None
        assert recharge is not None
        done = replace(delivery, state=DeliveryState.DONE, confirmed_by=Confirmation.ECHO)
        await tx.deliveries.save(done, was=delivery.state)
        dark = replace(
            recharge, state=RechargeState.DARK, supply=SupplyState.DARK, dark_cause=cause,
            missing_milli=missing_milli,
        )  # fmt: skip
        await tx.recharges.save(dark, was=recharge.state)


async def an_unresolved_sale(office: Office, ident: str) -> str:
    now = office.head_end.clock.now()
    async with office.head_end.store.begin() as tx:
        delivery = await tx.deliveries.of(ident, TENANT)
        recharge = await tx.recharges.find(TENANT, ident)
        assert delivery is not None
        assert recharge is not None
        (token,) = await tx.tokens.of(delivery.id, TENANT)
        stuck = replace(
            delivery, state=DeliveryState.UNRESOLVED, stopped_by=Fact.EXPIRED, maybe_taken=True,
            doubted_at=now - timedelta(minutes=10),
        )  # fmt: skip
        await tx.deliveries.save(stuck, was=delivery.state)
        unresolved = replace(recharge, state=RechargeState.UNRESOLVED)
        await tx.recharges.save(unresolved, was=recharge.state)
        asked = Evidence(
            tenant=TENANT, delivery_id=delivery.id, token_id=token.id,
            kind=EvidenceKind.TOKEN_LOG, says=Says.NOT_SEEN, asked_at=now, first_at=now,
            received_at=now,
        )  # fmt: skip
        await tx.evidence.note(asked)
    return delivery.id


async def test_who_paid_and_has_no_light_is_listed_with_cause_age_and_what_to_do(office, caller):
    for ident in ("short", "waiting"):
        answer = await caller.post("/v1/recharges", json=a_recharge_body(id=ident))
        assert answer.status_code == 201, answer.text
    await a_dark_sale(office, "short", DarkCause.BELOW_THRESHOLD, 2_500)
    items = (await caller.get("/v1/paid-but-dark")).json()["items"]
    assert [(item["recharge"], item["cause"]) for item in items] == [
        ("short", "below_threshold"),
        ("waiting", "on_its_way"),
    ]
    assert items[0]["missing"] == "2.500"
    assert "buys 2.500 more" in items[0]["next"]["text"]
    assert items[0]["age_s"] >= 0
    only = (await caller.get("/v1/paid-but-dark?cause=below_threshold")).json()["items"]
    assert [item["recharge"] for item in only] == ["short"]
    none = (await caller.get("/v1/paid-but-dark?group=999999")).json()
    assert none["items"] == []
    assert (await caller.get("/v1/paid-but-dark?cause=boredom")).status_code == 422
    metrics = (await caller.get("/metrics")).text
    assert 'headend_paid_but_dark{cause="below_threshold",tenant="city"} 1.0' in metrics
    assert 'headend_paid_but_dark_oldest_seconds{cause="on_its_way",tenant="city"}' in metrics
    assert "headend_restoration_overdue{" not in metrics
    late = replace(office.head_end, clock=Ahead(timedelta(minutes=16)))
    office.app.dependency_overrides[head_end_of] = lambda: late
    metrics = (await caller.get("/metrics")).text
    assert 'headend_restoration_overdue{tenant="city",threshold="tell"} 2.0' in metrics


@dataclass
class Ahead:
    by: timedelta

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by


async def test_what_waits_for_people_tells_what_is_known_and_takes_their_word(office, caller):
    await caller.post("/v1/recharges", json=a_recharge_body(id="stuck"))
    ident = await an_unresolved_sale(office, "stuck")
    (item,) = (await caller.get("/v1/worklist")).json()["items"]
    assert (item["delivery"], item["recharge"], item["meter"]) == (ident, "stuck", DRN)
    assert item["findings"][0]["finding"] == "not_seen"
    assert item["findings"][0]["text"].startswith("The meter knows nothing of the token")
    assert item["evidence"][0]["weight"] == "supports"
    assert {"ask_again", "confirm_taken", "confirm_not_taken"} <= set(item["ways"])
    reader = await office.caller(Scope.READ)
    forbidden = await reader.post(f"/v1/worklist/{ident}/taken", json=PERSON)
    assert forbidden.status_code == 403
    unnamed = await caller.post(f"/v1/worklist/{ident}/taken", json={"note": "?"})
    assert unnamed.status_code == 422
    booked = await caller.post(f"/v1/worklist/{ident}/booked", json=PERSON)
    assert (booked.status_code, slug(booked)) == (409, "not-on-the-work-list")
    done = await caller.post(f"/v1/worklist/{ident}/taken", json=PERSON)
    assert (done.json()["state"], done.json()["confirmed_by"]) == ("done", "person")
    assert (await caller.get("/v1/worklist")).json()["items"] == []
    told = (await caller.get("/v1/recharges/stuck")).json()
    assert told["findings"][0]["text"].startswith("The meter took the token")
    assert "said by K. Otieno (key " in told["findings"][0]["text"]
    again = await caller.post(f"/v1/worklist/{ident}/not-taken", json=PERSON)
    assert again.status_code == 409
    assert (await caller.post("/v1/worklist/none/taken", json=PERSON)).status_code == 404
