"""The clock of a recharge, the times of a group, the compensations: over REST and the command."""

import csv
import io
import json
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from api.cli import app
from headend.compensations import record_of
from headend.restoration import strike
from tests.api.office import SGC, TENANT, a_recharge_body, slug

GROUP = {
    "fallback_after_s": 60,
    "restoration": {
        "tell_after_s": 600,
        "limit_after_s": 3600,
        "contacts": [{"kind": "sms", "address": "+15550199"}],
        "at_once_below_percent": 25,
    },
}


async def sell(caller, ident="sale-1"):
    answer = await caller.post("/v1/recharges", json=a_recharge_body(ident))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def pass_limit(office, ident):
    """As the watch would, so many hours later."""
    async with office.head_end.store.begin() as tx:
        clock = await tx.restoration_clocks.find(TENANT, ident)
        recharge = await tx.recharges.find(TENANT, ident)
        now = clock.limit_at + timedelta(minutes=7)
        found = strike(clock, recharge, None, now=now)
        record = record_of(found.clock, recharge, None, usage_point=None, now=now)
        await tx.restoration_clocks.save(found.clock, was=clock.version)
        await tx.compensations.add(record)


async def test_a_recharge_tells_its_clock(caller):
    await caller.put(f"/v1/supply-groups/{SGC}", json=GROUP)
    sold = await sell(caller)
    clock = sold["restoration"]
    assert clock["paid_at"] == sold["created_at"]
    assert clock["overdue"] is False
    assert clock["method"]["choice"] == "usual"
    for name in ("digits_at", "told_at", "limit_passed_at", "lit_at", "ended_at", "ended_by"):
        assert clock[name] is None
    times = [clock[name] for name in ("paid_at", "digits_due_at", "tell_at", "limit_at")]
    assert times == sorted(times)


async def test_a_group_keeps_its_times(caller):
    made = await caller.put(f"/v1/supply-groups/{SGC}", json=GROUP)
    assert made.status_code == 201, made.text
    told = (await caller.get(f"/v1/supply-groups/{SGC}")).json()
    assert told["restoration"] == GROUP["restoration"]


@pytest.mark.parametrize(
    ("fallback_s", "times", "told"),
    [
        (60, {"tell_after_s": 3600, "limit_after_s": 3600}, "limit_after_s must be after"),
        (700, {"tell_after_s": 600}, "tell_after_s must not be before"),
        (60, {"tell_after_s": 59}, "tell_after_s"),
        (60, {"limit_after_s": 31 * 86_400}, "limit_after_s"),
        (60, {"at_once_below_percent": 101}, "at_once_below_percent"),
        (60, {"contacts": [{"kind": "sms", "address": "0"}]}, "contacts"),
        (60, {"contacts": [{"kind": "sms", "address": "+15550100"}] * 6}, "contacts"),
        (60, {"tell_after_s": 1.5}, "tell_after_s"),
        (60, {"tell_affter_s": 600}, "tell_affter_s"),
    ],
)
async def test_times_out_of_order_or_bounds_are_refused(caller, fallback_s, times, told):
    body = {"fallback_after_s": fallback_s, "restoration": times}
    answer = await caller.put(f"/v1/supply-groups/{SGC}", json=body)
    assert slug(answer) == "invalid-request"
    assert told in answer.text


async def test_compensations_are_listed_and_exported(office, caller):
    for ident in ("sale-1", "sale-2", "sale-3"):
        await sell(caller, ident)
        await pass_limit(office, ident)
    first = (await caller.get("/v1/compensations", params={"limit": 2})).json()
    rest = (await caller.get("/v1/compensations", params={"cursor": first["next"]})).json()
    listed = first["items"] + rest["items"]
    assert [one["recharge"] for one in listed] == ["sale-3", "sale-2", "sale-1"]
    assert rest["next"] is None
    assert listed[0]["cause"] == "not_tried" or listed[0]["cause"] == "unknown"
    answer = await caller.get("/v1/compensations.csv", params={"sgc": SGC})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["recharge"] for row in rows] == ["sale-3", "sale-2", "sale-1"]
    nobody = await caller.get("/v1/compensations.csv", params={"sgc": "999999"})
    assert len(nobody.text.splitlines()) == 1


async def test_what_a_spreadsheet_takes_for_a_formula_is_quoted(office, caller):
    body = a_recharge_body("sale-1", reference='=HYPERLINK("http://x")')
    assert (await caller.post("/v1/recharges", json=body)).status_code == 201
    await pass_limit(office, "sale-1")
    answer = await caller.get("/v1/compensations.csv")
    [row] = csv.DictReader(io.StringIO(answer.text))
    assert row["reference"].startswith("'=")


async def test_compensations_of_others_are_not_shown(office, caller):
    await sell(caller)
    await pass_limit(office, "sale-1")
    rival = await office.caller(tenant="rival")
    assert (await rival.get("/v1/compensations")).json()["items"] == []


@pytest.mark.parametrize(
    "wrong", [{"sgc": "12"}, {"since": "yesterday"}, {"meter": "1"}, {"dark": "x"}]
)
async def test_a_filter_that_makes_no_sense_is_refused(caller, wrong):
    answer = await caller.get("/v1/compensations", params=wrong)
    assert answer.status_code in (400, 422)


# --- the command line -------------------------------------------------------------------------


def headend(folder, *arguments):
    environment = {"HEADEND_DATABASE_URL": f"sqlite:///{folder}/headend.db"}
    return CliRunner().invoke(app, list(arguments), env=environment)


def test_the_command_sets_times_and_keeps_the_others(tmp_path):
    first = headend(
        tmp_path, "groups", "restoration", "123457", "--tell-after", "700", "--tell", "+15550199",
        "--tell", "chief@utility.example", "--json",
    )  # fmt: skip
    assert first.exit_code == 0, first.output
    second = headend(tmp_path, "groups", "restoration", "123457", "--limit-after", "9000", "--json")
    times = json.loads(second.output)["restoration"]
    assert (times["tell_after_s"], times["limit_after_s"]) == (700, 9000)
    assert [contact["kind"] for contact in times["contacts"]] == ["sms", "email"]
    wrong = headend(tmp_path, "groups", "restoration", "123457", "--limit-after", "600")
    assert wrong.exit_code == 1
    assert "after restoration.tell_after_s" in wrong.output


def test_the_command_lists_nobody_where_nobody_is(tmp_path):
    assert "nobody was dark" in headend(tmp_path, "compensations").output
    assert json.loads(headend(tmp_path, "compensations", "--json").output) == []
    assert headend(tmp_path, "compensations", "--csv").output.startswith("recharge,meter,sgc")
    wrong = headend(tmp_path, "compensations", "--since", "yesterday")
    assert wrong.exit_code == 1
    assert "write a time" in wrong.output
