"""Webhooks over REST and to real receivers, good and bad, on both databases."""

import asyncio
import re
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from adapters.store.migrate import migrate
from headend.webhooks import MAX_WEBHOOKS
from tests.api.office import DRN, RIVAL, Caller, Office, a_meter_body, a_recharge_body, slug
from tests.api.serving_office import Running, a_running_head_end
from tests.servers.receiver import (
    Receiver,
    a_receiver,
    answers,
    drips,
    floods,
    hangs,
)

LOOPBACK = {"outbox": {"private_receivers": ["127.0.0.0/8"], "timeout_s": 1}}
TWENTY = re.compile(rb"(?<![0-9A-Za-z])\d(?:[ -]?\d){19}")
RECEIVER = {"url": "https://billing.example/events?password=hidden", "description": "billing"}


@pytest.fixture(params=["sqlite", "postgres"])
async def running(request, tmp_path) -> AsyncIterator[Running]:
    more: dict[str, Any] = dict(LOOPBACK)
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        await migrate(url)
        more["database_url"] = url
    async with a_running_head_end(tmp_path, **more) as running:
        yield running


async def until(fact, *, within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not fact():
            await asyncio.sleep(0.02)


async def hook(running: Running, receiver: Receiver, **more: Any) -> dict[str, Any]:
    async with running.client() as client:
        answer = await client.post("/v1/webhooks", json={"url": receiver.url, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


# --- what is told -------------------------------------------------------------------------------


async def test_a_sale_is_told_signed_in_order_and_without_digits(running):
    async with a_receiver() as receiver, running.client() as client:
        made = await hook(running, receiver)
        answer = await client.post("/v1/meters", json=a_meter_body() | {"route": None})
        assert answer.status_code == 201, answer.text
        answer = await client.post("/v1/recharges", json=a_recharge_body(reference="invoice 7"))
        assert answer.status_code == 201, answer.text
        await until(lambda: len(receiver.received) >= 4)
        shown = (await client.get("/v1/recharges/sale-1?reveal=true")).json()
        digits = shown["tokens"][0]["digits"]
        assert digits
        events = [one.verified(made["secret"]) for one in receiver.received]
    assert [one["type"] for one in events[:4]] == [
        "headend.recharge.created.v1",
        "headend.recharge.issued.v1",
        "headend.digits.out.v1",
        "headend.digits.handed_over.v1",
    ]
    assert [int(one["sequence"]) for one in events] == list(range(1, len(events) + 1))
    assert {one["subject"] for one in events} == {DRN}
    assert events[1]["data"]["reference"] == "invoice 7"
    for received in receiver.received:
        assert digits.encode() not in received.body
        assert not TWENTY.search(received.body)
        assert b"+15550100" not in received.body


async def test_bad_receivers_delay_no_good_one(running):
    behaviours = [hangs, drips, floods(500), answers(500), answers(302, Location="/x")]
    async with AsyncExitStack() as stack:
        bad = [await stack.enter_async_context(a_receiver(one)) for one in behaviours]
        good = await stack.enter_async_context(a_receiver(floods(200)))
        for receiver in (*bad, good):
            await hook(running, receiver)
        for _ in range(5):
            await running.say(DRN)
            count = len(good.received)
            await until(lambda count=count: len(good.received) > count)
        urls = {receiver.url for receiver in bad}
        async with asyncio.timeout(20), running.client() as client:
            failing: set[str] = set()
            while failing != urls:
                await asyncio.sleep(0.05)
                told = (await client.get("/v1/webhooks")).json()["items"]
                failing = {one["url"] for one in told if one["failing_since"]}
            metrics = (await client.get("/metrics")).text
    by_url = {one["url"]: one for one in told}
    assert by_url[good.url]["failures"] == 0
    for receiver in bad:
        one = by_url[receiver.url]
        assert one["pending"] == 5
        assert f'headend_webhook_pending{{tenant="city",webhook="{one["id"]}"}} 5.0' in metrics
    assert by_url[bad[0].url]["last_error"] == "no answer within 1 s"


async def test_gone_pauses_and_resuming_tells_what_was_missed(running):
    async with a_receiver(answers(410)) as receiver, running.client() as client:
        made = await hook(running, receiver)
        await running.say(DRN)
        path = f"/v1/webhooks/{made['id']}"
        state: dict[str, Any] = {}
        async with asyncio.timeout(20):
            while state.get("state") != "paused":
                state = (await client.get(path)).json()
                await asyncio.sleep(0.05)
        assert (state["paused_by"], state["pending"]) == ("receiver", 1)
        receiver.behaviour = answers(200)
        answer = await client.patch(path, json={"state": "active"})
        assert (answer.status_code, answer.json()["paused_by"]) == (200, None)
        await until(lambda: len(receiver.received) == 2)
    first, again = receiver.received
    assert (first.headers["webhook-id"], first.body) == (again.headers["webhook-id"], again.body)


async def test_a_rotated_secret_signs_beside_the_old_one_and_a_replay_has_the_old_id(running):
    async with a_receiver() as receiver, running.client() as client:
        made = await hook(running, receiver, types=["headend.recharge.*"])
        path = f"/v1/webhooks/{made['id']}"
        rotated = (await client.post(f"{path}/secret", json={"old_for_s": 3600})).json()
        await running.say(DRN)
        await until(lambda: len(receiver.received) == 1)
        event = receiver.received[0].verified(made["secret"])
        assert receiver.received[0].verified(rotated["secret"]) == event
        answer = await client.post(f"{path}/replay", json={"event": event["id"]})
        assert (answer.status_code, answer.json()) == (202, {"count": 1, "more": False})
        await until(lambda: len(receiver.received) == 2)
        again = receiver.received[1]
        assert again.headers["webhook-id"] == receiver.received[0].headers["webhook-id"]
        since = running.office.head_end.clock.now() - timedelta(hours=1)
        answer = await client.post(f"{path}/replay", json={"since": since.isoformat()})
        assert answer.json()["count"] == 1
        unknown = await client.post(f"{path}/replay", json={"event": f"{DRN}-99"})
        assert (unknown.status_code, slug(unknown)) == (404, "unknown-event")


# --- REST ---------------------------------------------------------------------------------------


async def test_a_secret_is_shown_once_and_rests_sealed(office: Office, caller: Caller):
    made = (await caller.post("/v1/webhooks", json=RECEIVER)).json()
    assert made["secret"].startswith("whsec_")
    path = f"/v1/webhooks/{made['id']}"
    shown = [await caller.get(path), await caller.get("/v1/webhooks"), await caller.delete(path)]
    for answer in shown:
        assert answer.status_code == 200
        assert made["secret"] not in answer.text
        assert "whsec_" not in answer.text
    assert (await caller.get(path)).status_code == 404


async def test_the_secret_is_not_in_the_database(office: Office, caller: Caller, tmp_path):
    made = (await caller.post("/v1/webhooks", json=RECEIVER)).json()
    secret = b64decode(made["secret"].removeprefix("whsec_"))
    assert len(secret) == 32
    for file in tmp_path.glob("headend.db*"):
        assert secret not in file.read_bytes()
        assert made["secret"].encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"url": "http://billing.example/"}, "receiver-refused"),
        ({"url": "https://10.0.0.1/"}, "receiver-refused"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "receiver-refused"),
        ({"url": "https://[::ffff:127.0.0.1]/"}, "receiver-refused"),
        ({"url": "https://localhost/"}, "receiver-refused"),
        ({"url": "https://user:pass@billing.example/"}, "receiver-refused"),
        ({"url": "ftp://billing.example/"}, "receiver-refused"),
        ({"url": "https://billing.example/", "types": ["headend.none.v1"]}, "malformed-order"),
        ({"url": "https://billing.example/", "secret": "mine"}, "invalid-request"),
        ({"url": ""}, "invalid-request"),
        ({}, "invalid-request"),
    ],
)
async def test_what_cannot_be_told_is_refused(caller: Caller, body, kind):
    answer = await caller.post("/v1/webhooks", json=body)
    assert (answer.status_code, slug(answer)) == (422, kind)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"dead_letters": False},
        {"dead_letters": True, "event": "a-1"},
        {"until": "2026-01-01T00:00:00Z"},
        {"since": "yesterday"},
    ],
)
async def test_a_replay_names_exactly_one_thing(caller: Caller, body):
    made = (await caller.post("/v1/webhooks", json=RECEIVER)).json()
    answer = await caller.post(f"/v1/webhooks/{made['id']}/replay", json=body)
    assert (answer.status_code, slug(answer)) == (422, "invalid-request")


async def test_a_tenant_has_so_many_webhooks_and_no_other_ones(office: Office, caller: Caller):
    made = [await caller.post("/v1/webhooks", json=RECEIVER) for _ in range(MAX_WEBHOOKS)]
    assert {answer.status_code for answer in made} == {201}
    full = await caller.post("/v1/webhooks", json=RECEIVER)
    assert (full.status_code, slug(full)) == (409, "too-many-webhooks")
    rival = await office.caller(tenant=RIVAL)
    path = f"/v1/webhooks/{made[0].json()['id']}"
    assert (await rival.get("/v1/webhooks")).json() == {"items": []}
    for answer in (
        await rival.get(path),
        await rival.delete(path),
        await rival.patch(path, json={"state": "paused"}),
        await rival.post(f"{path}/secret", json={}),
        await rival.post(f"{path}/replay", json={"dead_letters": True}),
        await rival.get(f"{path}/dead-letters"),
    ):
        assert (answer.status_code, slug(answer)) == (404, "unknown-webhook")


async def test_a_change_changes_what_it_names(caller: Caller):
    made = (await caller.post("/v1/webhooks", json=RECEIVER)).json()
    path = f"/v1/webhooks/{made['id']}"
    changed = await caller.patch(path, json={"types": ["headend.meter.*"], "state": "paused"})
    told = changed.json()
    assert (told["types"], told["state"], told["paused_by"]) == (
        ["headend.meter.*"],
        "paused",
        "caller",
    )
    assert (told["url"], told["description"]) == (RECEIVER["url"], "billing")
    refused = await caller.patch(path, json={"url": "http://billing.example/"})
    assert slug(refused) == "receiver-refused"
    assert (await caller.get(path)).json()["url"] == RECEIVER["url"]
