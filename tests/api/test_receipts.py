"""Where gateways bring receipts: with the secret, in any form, and nobody learns anything here."""

import json
from datetime import timedelta

import pytest

from headend.deliveries import Fact
from headend.messages import Receipt, SentMessage
from headend.usage_points import Contact, ContactKind
from tests.api.office import TENANT, a_meter_body, a_recharge_body, a_settings, an_office, slug

SECRET = "a-long-enough-secret"
BOOK = {
    "secret": SECRET, "id": "id", "status": "status", "delivered": ["OK"], "failed": ["LOST"],
}  # fmt: skip
GATEWAY = {"url": "https://sms.example.org/?to={to}&text={text}", "method": "GET", "receipts": BOOK}
KEY = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture
async def sold(tmp_path):
    """An office with a gateway, and a recharge whose digits were given through it."""
    handover = {"outbox": tmp_path / "outbox", "sms_http": GATEWAY}
    async with an_office(a_settings(tmp_path, handover=handover)) as office:
        caller = await office.caller()
        await caller.post("/v1/meters", json=a_meter_body())
        assert (await caller.post("/v1/recharges", json=a_recharge_body())).status_code == 201
        await give(office)
        yield office


async def give(office):
    now = office.head_end.clock.now() - timedelta(minutes=2)
    async with office.head_end.store.begin() as tx:
        delivery = await tx.deliveries.of("sale-1", TENANT)
        handed = delivery.after(Fact.HANDED, now=now)
        await tx.deliveries.save(handed, was=delivery.state)
        await tx.sent_messages.add(
            SentMessage(
                tenant=TENANT,
                id="m1",
                delivery_id=delivery.id,
                contact=Contact(ContactKind.SMS, "+15550100"),
                provider="sms_http",
                reference="gw-1",
                sent_at=now,
            )
        )


async def message(office):
    caller = await office.caller()
    [found] = (await caller.get("/v1/recharges/sale-1")).json()["messages"]
    return found


async def test_a_receipt_shows_in_the_recharge_and_the_number_does_not(sold):
    gateway = sold.with_key(None)
    answer = await gateway.post(
        "/receipts/sms_http", json={"id": "gw-1", "status": "OK"}, headers=KEY
    )
    assert answer.status_code == 204, answer.text
    found = await message(sold)
    assert (found["receipt"], found["provider"], found["address"]) == (
        Receipt.DELIVERED,
        "sms_http",
        "…0100",
    )
    caller = await sold.caller()
    assert (await caller.get("/v1/recharges/sale-1")).json()["state"] == "issued"


@pytest.mark.parametrize(
    "call",
    [
        {"method": "GET", "params": {"id": "gw-1", "status": "LOST", "key": SECRET}},
        {"method": "POST", "data": {"id": "gw-1", "status": "LOST"}, "headers": KEY},
        {"method": "POST", "json": {"id": "gw-1", "status": "LOST"}, "auth": ("gw", SECRET)},
    ],
)
async def test_gateways_speak_as_they_speak(sold, call):
    answer = await sold.with_key(None).request(url="/receipts/sms_http", **call)
    assert answer.status_code == 204, answer.text
    assert (await message(sold))["receipt"] == "failed"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer no"}])
async def test_without_the_secret_nothing_is_taken(sold, headers):
    body = {"id": "gw-1", "status": "LOST"}
    client = sold.with_key(None)
    assert slug(await client.post("/receipts/sms_http", json=body, headers=headers)) == (
        "unauthenticated"
    )
    assert (await message(sold))["receipt"] == "none"


async def test_known_and_unknown_messages_are_answered_alike(sold):
    client = sold.with_key(None)
    for reference in ("gw-1", "nobody's"):
        body = {"id": reference, "status": "OK"}
        answer = await client.post("/receipts/sms_http", json=body, headers=KEY)
        assert (answer.status_code, answer.content) == (204, b"")


async def test_what_cannot_be_read_is_refused_and_changes_nothing(sold):
    client = sold.with_key(None)
    for content in (b"{", b"\xff", b"[1]", json.dumps({"id": "gw-1"}).encode()):
        answer = await client.post("/receipts/sms_http", content=content, headers=KEY)
        assert slug(answer) == "unreadable-receipt"
    large = await client.post("/receipts/sms_http", content=b"x" * 2_000_000, headers=KEY)
    assert slug(large) == "body-too-large"
    assert slug(await client.post("/receipts/none", json={}, headers=KEY)) == "not-found"
    assert (await message(sold))["receipt"] == "none"


async def test_a_customer_may_ask_again_and_not_too_often(sold):
    caller = await sold.caller()
    answer = await caller.post("/v1/recharges/sale-1/handover")
    assert answer.status_code == 200, answer.text
    async with sold.head_end.store.look() as tx:
        [due] = await tx.sent_messages.due_again(now=sold.head_end.clock.now(), limit=9)
    assert due.asked_at is not None
    assert slug(await caller.post("/v1/recharges/nobody/handover")) == "unknown-recharge"
