"""Health and metrics: what a probe, a till and a scraper are told."""

from dataclasses import replace
from datetime import timedelta

from api.head_end import head_end_of
from headend.deliveries import DeliveryState
from headend.meters import BusName
from tests.api.office import DRN, RIVAL, TENANT, Caller, Office, a_recharge_body


async def test_probes_need_no_key(office: Office):
    async with office.with_key(None) as probe:
        for path in ("/health/live", "/health/ready"):
            answer = await probe.get(path)
            assert answer.status_code == 200
            assert answer.json() == {"ok": True, "because": []}


async def test_a_tenant_can_vend_when_one_of_its_keys_opens(office: Office):
    assert (await (await office.caller()).get("/v1/health/can-vend")).json()["ok"]
    rival = await office.caller(tenant=RIVAL)
    answer = await rival.get("/v1/health/can-vend")
    assert answer.status_code == 503
    assert "headend vault import" in answer.json()["because"][0]


async def test_a_bus_that_nobody_serves_is_told(office: Office, caller: Caller):
    answer = await caller.get("/v1/health/can-deliver")
    assert answer.status_code == 200
    (bus,) = answer.json()["buses"]
    assert bus == {"name": "line-1", "linked": None, "overdue_since": None}
    told = (await caller.post("/v1/recharges", json=a_recharge_body())).json()
    async with office.head_end.store.begin() as tx:
        delivery = await tx.deliveries.of(told["id"], TENANT)
        assert delivery is not None
        late = replace(delivery, not_before=delivery.not_before - timedelta(minutes=5))
        await tx.deliveries.save(late, was=DeliveryState.WAITING)
    answer = await caller.get("/v1/health/can-deliver")
    assert answer.status_code == 503
    assert answer.json()["because"] == ["bus line-1 is not served"]


async def test_a_link_that_is_down_is_told(office: Office, caller: Caller):
    linked = {BusName("line-1"): lambda: False}
    office.app.dependency_overrides[head_end_of] = lambda: replace(office.head_end, linked=linked)
    answer = await caller.get("/v1/health/can-deliver")
    assert answer.status_code == 503
    assert answer.json()["because"] == ["bus line-1 has no link"]


async def test_metrics_name_routes_but_no_meter_and_no_key(office: Office, caller: Caller):
    await caller.get(f"/v1/meters/{DRN}")
    office.head_end.intake.dropped["wrong_route"] += 2
    async with office.with_key(None) as scraper:
        text = (await scraper.get("/metrics")).text
    assert 'headend_requests_total{method="GET",route="/v1/meters/{drn}",status="200"}' in text
    assert 'headend_reports_dropped_total{reason="wrong_route"} 2' in text
    assert DRN not in text
    assert "hk_" not in text
