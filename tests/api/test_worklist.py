"""Orders in doubt on the work list, through REST and on the command line."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli import app
from headend.api_keys import Scope
from headend.commands import Command, SetClock, SetCreditParameters
from headend.credit_parameters import CreditParameters
from headend.deliveries import DeliveryState, Fact
from headend.evidence import Evidence, EvidenceKind, Says
from tests.api.office import DRN, TENANT, Office, a_meter_body, slug
from tests.api.serving_office import a_running_head_end
from tests.builders import a_delivery, an_opening

PERSON = {"seen_by": "K. Otieno", "note": "read on the display"}
LIMIT = SetCreditParameters(CreditParameters(power_limit_w=2_000))


async def in_doubt(office: Office, command: Command) -> str:
    """An order that has expired, and nobody could tell whether it was carried out."""
    now = office.head_end.clock.now()
    stuck = a_delivery(
        tenant=TENANT, drn=DRN, command=command, state=DeliveryState.UNRESOLVED,
        stopped_by=Fact.EXPIRED,
        maybe_taken=True, doubted_at=now - timedelta(minutes=10), created_at=now, changed_at=now,
    )  # fmt: skip
    async with office.head_end.store.begin() as tx:
        await tx.deliveries.add(stuck)
        seen = Evidence(
            tenant=TENANT, delivery_id=stuck.id, kind=EvidenceKind.SUPPLY, says=Says.NOT_SEEN,
            asked_at=now, first_at=now, received_at=now,
        )  # fmt: skip
        await tx.evidence.note(seen)
    return stuck.id


@pytest.mark.parametrize(
    ("command", "scope"),
    [
        (an_opening(), Scope.DISCONNECT),
        (SetClock(), Scope.METERS),
        (LIMIT, Scope.ENGINEERING),
    ],
)
async def test_who_may_order_it_may_close_it(office: Office, command: Command, scope: Scope):
    caller = await office.caller()
    assert (await caller.post("/v1/meters", json=a_meter_body())).status_code == 201
    ident = await in_doubt(office, command)
    (item,) = (await caller.get("/v1/worklist")).json()["items"]
    assert item["ways"] == ["confirm_taken", "confirm_not_taken", "withdraw"]
    (finding,) = item["findings"]
    assert (finding["sequence"], finding["finding"]) == (0, "not_seen")
    assert finding["text"].startswith("The meter does not stand as ordered: its supply, asked for")
    other = await office.caller(*(set(Scope) - {scope}))
    for way in ("taken", "not-taken", "withdrawn"):
        refused = await other.post(f"/v1/worklist/{ident}/{way}", json=PERSON)
        assert (refused.status_code, slug(refused)) == (403, "scope-missing")
    closer = await office.caller(scope, Scope.AUDIT, Scope.READ)
    closed = await closer.post(f"/v1/worklist/{ident}/not-taken", json=PERSON)
    assert closed.status_code == 200, closed.text
    assert (closed.json()["state"], closed.json()["stopped_by"]) == ("unresolved", "not_as_ordered")
    again = await closer.post(f"/v1/worklist/{ident}/withdrawn", json=PERSON)
    assert (again.status_code, slug(again)) == (409, "not-on-the-work-list")
    assert (await caller.get("/v1/worklist")).json()["items"] == []
    records = (await closer.get("/v1/audit?action=order_settled")).json()["items"]
    assert [record["subject"] for record in records] == [ident]


async def test_the_command_line_closes_orders_in_each_way(tmp_path):
    async with a_running_head_end(tmp_path) as running:
        caller = await running.office.caller()
        answer = await caller.post("/v1/meters", json=a_meter_body(route=None))
        assert answer.status_code == 201, answer.text
        for way, state, stopped_by in (
            ("taken", "done", "expired"),
            ("not-taken", "unresolved", "not_as_ordered"),
            ("withdrawn", "unresolved", "withdrawn"),
        ):
            ident = await in_doubt(running.office, SetClock())
            told = await headend(running, "worklist", way, ident, "--seen-by", "K. Otieno")
            assert (told["state"], told["stopped_by"]) == (state, stopped_by)
        listed = await headend(running, "worklist", "list")
    assert listed["items"] == []


async def headend(running: Any, *words: str) -> Any:
    environment = {"HEADEND_URL": running.url, "HEADEND_KEY": running.key}
    invoke = CliRunner().invoke
    result = await asyncio.to_thread(invoke, app, [*words, "--json"], env=environment)
    assert result.exit_code == 0, result.output
    text = result.stdout
    told, _ = json.JSONDecoder().raw_decode(text, text.index("{\n"))
    return told
