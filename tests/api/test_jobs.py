"""Jobs over REST: taken whole, checked, ordered once, paused, killed, capped, told line by line."""

import asyncio
import csv
import io
import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from api.catalog import KnownModels, Switchboard
from api.job_wiring import open_runner
from headend.agenda import Urgency
from headend.api_keys import Scope
from headend.dangers import SAFE, Danger
from headend.job_runner import JobRunner
from headend.jobs import LineState
from tests.api.office import (
    DRN,
    OTHER_DRN,
    RIVAL,
    TENANT,
    Caller,
    Office,
    a_meter_body,
    a_recharge_body,
    slug,
)
from tests.api.test_harm import tightened
from tests.builders import a_drn

NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Content-Type": "text/csv"}


def a_runner(office: Office) -> JobRunner:
    """The runner of a process that serves wires."""
    head_end = office.head_end
    catalog = head_end.catalog
    assert isinstance(catalog, KnownModels)
    return open_runner(
        head_end.store,
        head_end.vending.module,
        Switchboard(catalog),
        (head_end.recharges, head_end.commands, head_end.keys),
        clock=head_end.clock,
        chance=head_end.chance,
    )


@pytest.fixture
async def runner(office: Office) -> JobRunner:
    return a_runner(office)


def sale(ident: str | None = None, **more: Any) -> dict[str, Any]:
    return {"do": "recharge", **a_recharge_body(ident, **more)}


def opening(office: Office, **more: Any) -> dict[str, Any]:
    ends = (office.head_end.clock.now() + timedelta(hours=2)).isoformat()
    return {
        "do": "supply",
        "meter": DRN,
        "action": "open",
        "reason": "non_payment",
        "expires_at": ends,
    } | more


async def post(caller: Caller, *lines: dict[str, Any], ident: str = "j1", query: str = "") -> Any:
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    return await caller.post(f"/v1/jobs?id={ident}{query}", content=content, headers=NDJSON)


async def worked(runner: JobRunner, caller: Caller, ident: str = "j1") -> dict[str, Any]:
    """Let the runner work until the job has ended or nothing moves."""
    for _ in range(20_000):
        moved = await runner.work()
        if not moved:
            break
    told: dict[str, Any] = (await caller.get(f"/v1/jobs/{ident}")).json()
    return told


async def results(caller: Caller, ident: str = "j1") -> list[dict[str, Any]]:
    answer = await caller.get(f"/v1/jobs/{ident}/results?format=ndjson")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_a_job_is_ordered_line_by_line_and_told(caller: Caller, runner: JobRunner):
    clock = {"do": "clock", "meter": DRN, "id": "c1"}
    limit = {"do": "engineering", "meter": DRN, "kind": "power_limit", "value": 6000}
    answer = await post(caller, sale("sale-9"), clock, limit)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == "/v1/jobs/j1"
    assert (answer.json()["state"], answer.json()["size"]) == ("working", 3)
    told = await worked(runner, caller)
    assert (told["state"], told["failed"], told["lines"]["ordered"]) == ("done", 0, 3)
    assert sum(told["outcomes"].values()) == 3
    assert [one["id"] for one in await results(caller)] == ["sale-9", "c1", "j1.3"]
    assert (await caller.get("/v1/recharges/sale-9")).status_code == 200
    assert (await caller.get("/v1/deliveries/j1.3")).json()["command"]["kind"] == "manage"
    table = list(csv.DictReader(io.StringIO((await caller.get("/v1/jobs/j1/results")).text)))
    assert [row["outcome"] for row in table] == ["issued", "waiting", "waiting"]
    assert [one["id"] for one in (await caller.get("/v1/jobs")).json()["items"]] == ["j1"]


async def test_credit_parameters_of_many_meters_are_one_job(caller: Caller, runner: JobRunner):
    warn = {"do": "parameters", "meter": DRN, "unit": "kWh", "low_credit_1": "20"}
    wrong = {"do": "parameters", "meter": DRN, "unit": "m3", "low_credit_1": "20"}
    await post(caller, warn, wrong, query="&skip_bad=true")
    assert (await worked(runner, caller))["state"] == "done_with_failures"
    done, refused = await results(caller)
    assert (done["state"], refused["problem"]) == ("ordered", "wrong-unit")
    command = (await caller.get("/v1/deliveries/j1.1")).json()["command"]
    assert command["kind"] == "set_credit_parameters"
    assert command["parameters"]["low_credit_1"] == "20"


async def test_what_a_job_orders_lets_single_orders_go_first(
    office: Office, caller: Caller, runner: JobRunner
):
    lines = (
        sale("bulk"),
        opening(office, id="b-supply"),
        {"do": "clock", "meter": DRN, "id": "b-clock"},
        {"do": "engineering", "meter": DRN, "id": "b-limit", "kind": "power_limit", "value": 6000},
    )
    await post(caller, *lines)
    assert (await worked(runner, caller))["state"] == "done"
    await caller.post("/v1/recharges", json=a_recharge_body("till"))
    async with office.head_end.store.look() as tx:
        orders = [await tx.deliveries.find(TENANT, f"b-{one}") for one in ("supply", "limit")]
        orders.append(await tx.deliveries.of("bulk", TENANT))
        clock = await tx.deliveries.find(TENANT, "b-clock")
        till = await tx.deliveries.of("till", TENANT)
    assert [one and one.priority for one in orders] == [Urgency.BULK] * 3
    assert clock is not None
    assert clock.priority == Urgency.READING
    assert till is not None
    assert till.priority == Urgency.TOKEN


async def test_the_same_job_again_is_the_same_and_another_content_is_none(
    office: Office, caller: Caller, runner: JobRunner
):
    assert (await post(caller, sale("s1"))).status_code == 202
    await worked(runner, caller)
    again = await post(caller, sale("s1"))
    assert (again.status_code, again.json()["state"]) == (200, "done")
    assert len(await office.recharges()) == 1
    for other in (
        await post(caller, sale("s2")),
        await post(caller, sale("s1"), query="&dry_run=true"),
    ):
        assert (other.status_code, slug(other)) == (409, "job-differs")
    assert (await post(caller, sale("s1"), ident="j2")).status_code == 202
    told = await worked(runner, caller, "j2")
    assert told["state"] == "done"  # its line is a repeat of the same sale
    assert len(await office.recharges()) == 1


async def test_one_bad_line_refuses_the_file_with_its_place(
    office: Office, caller: Caller, runner: JobRunner
):
    lines = [sale(f"s{number}") for number in range(50)]
    lines[41]["amount"]["value"] = "0"
    answer = await post(caller, *lines)
    assert (answer.status_code, slug(answer)) == (422, "job-file-refused")
    (fault,) = answer.json()["errors"]
    assert (fault["line"], fault["column"]) == (42, "amount.value")
    assert slug(await caller.get("/v1/jobs/j1")) == "unknown-job"
    assert await office.recharges() == []


async def test_one_bad_line_of_ten_thousand_refuses_all_or_is_skipped(
    office: Office, caller: Caller
):
    lines = [{"do": "clock", "id": f"c{number}", "meter": DRN} for number in range(10_000)]
    lines[9_998]["meter"] = "12"
    refused = await post(caller, *lines)
    assert (refused.status_code, slug(refused)) == (422, "job-file-refused")
    (fault,) = refused.json()["errors"]
    assert (fault["line"], fault["column"]) == (9_999, "meter")
    assert slug(await caller.get("/v1/jobs/j1")) == "unknown-job"
    async with office.head_end.store.look() as tx:
        assert not await tx.jobs.open(TENANT)
        assert not await tx.jobs.counts(TENANT, "j1")
    taken = await post(caller, *lines, query="&skip_bad=true&dry_run=true")
    assert (taken.status_code, taken.json()["size"]) == (202, 10_000)
    async with office.head_end.store.look() as tx:
        counts = await tx.jobs.counts(TENANT, "j1")
        (bad,) = await tx.jobs.lines(TENANT, "j1", state=LineState.BAD, after=0, limit=9)
    assert counts == {LineState.NEW: 9_999, LineState.BAD: 1}
    assert bad.number == 9_999


async def test_with_skip_bad_the_others_are_ordered_and_the_bad_one_is_listed(
    caller: Caller, runner: JobRunner
):
    bad = sale("bad") | {"amount": None}
    stray = sale("stray", meter=OTHER_DRN)
    answer = await post(caller, sale("s1"), bad, stray, sale("s2"), query="&skip_bad=true")
    assert answer.status_code == 202, answer.text
    told = await worked(runner, caller)
    assert (told["state"], told["failed"]) == ("done_with_failures", 2)
    assert [one["problem"] for one in await results(caller)] == [
        None,
        "bad-line",
        "unknown-meter",
        None,
    ]


async def test_a_line_that_the_store_refuses_stops_the_job_before_anything_is_ordered(
    office: Office, caller: Caller, runner: JobRunner
):
    stray = sale("stray", meter=OTHER_DRN)
    assert (await post(caller, sale("s1"), stray)).status_code == 202
    told = await worked(runner, caller)
    assert (told["state"], told["failed"]) == ("refused", 1)
    assert [one["problem"] for one in await results(caller)] == [None, "unknown-meter"]
    assert await office.recharges() == []


async def test_a_dry_run_orders_nothing(office: Office, caller: Caller, runner: JobRunner):
    await caller.put("/v1/supply-groups/123457", json={"limit_per_recharge": "30", "zone": "UTC"})
    lines = [sale("s1"), sale("s2", meter=OTHER_DRN)]
    lines.append(sale("s3", amount={"kind": "units", "value": "99", "unit": "kWh"}))
    assert (await post(caller, *lines, query="&dry_run=true")).status_code == 202
    told = await worked(runner, caller)
    assert (told["state"], told["dry_run"]) == ("checked_with_failures", True)
    assert [one["problem"] for one in await results(caller)] == [
        None,
        "unknown-meter",
        "amount-above-limit",
    ]
    assert await office.recharges() == []
    assert (await post(caller, sale("s1"), ident="j2", query="&dry_run=true")).status_code == 202
    assert (await worked(runner, caller, "j2"))["state"] == "checked"


async def test_a_job_needs_the_scope_of_every_line(office: Office, caller: Caller):
    seller = await office.caller(Scope.RECHARGE)
    assert (await post(seller, sale("s1"))).status_code == 202
    for line in (
        opening(office),
        opening(office, action="permit_close"),
        {"do": "clock", "meter": DRN},
        {"do": "engineering", "meter": DRN, "kind": "clear_tamper"},
        {"do": "parameters", "meter": DRN, "power_limit_w": 6000},
    ):
        answer = await post(seller, sale("s2"), line, ident="j2")
        assert slug(answer) == "scope-missing"
    assert slug(await office.with_key(None).post("/v1/jobs?id=j2")) == "unauthenticated"


async def test_only_its_own_key_pauses_a_job(office: Office, caller: Caller, runner: JobRunner):
    await post(caller, *(sale(f"s{number}") for number in range(60)))
    other = await office.caller()
    rival = await office.caller(tenant=RIVAL)
    for verb in ("pause", "resume", "cancel"):
        assert slug(await other.post(f"/v1/jobs/j1/{verb}")) == "unknown-job"
        assert slug(await rival.post(f"/v1/jobs/j1/{verb}")) == "unknown-job"
    assert slug(await rival.get("/v1/jobs/j1")) == "unknown-job"
    assert slug(await rival.get("/v1/jobs/j1/results")) == "unknown-job"
    for _ in range(3):  # two chunks are checked, one is ordered
        await runner.work()
    assert (await caller.post("/v1/jobs/j1/pause")).json()["state"] == "paused"
    ordered = len(await office.recharges())
    assert not await runner.work()
    assert len(await office.recharges()) == ordered < 60
    assert (await caller.post("/v1/jobs/j1/pause")).status_code == 200
    assert (await caller.post("/v1/jobs/j1/resume")).json()["state"] == "working"
    assert (await worked(runner, caller))["state"] == "done"
    assert len(await office.recharges()) == 60
    assert slug(await caller.post("/v1/jobs/j1/cancel")) == "job-ended"
    assert slug(await caller.post("/v1/jobs/j1/pause")) == "job-ended"


async def test_a_cancelled_job_orders_nothing_more(
    office: Office, caller: Caller, runner: JobRunner
):
    await post(caller, *(sale(f"s{number}") for number in range(30)))
    await caller.post("/v1/jobs/j1/cancel")
    assert (await worked(runner, caller))["state"] == "cancelled"
    assert await office.recharges() == []
    assert (await caller.post("/v1/jobs/j1/cancel")).status_code == 200


async def test_a_job_whose_key_is_revoked_ends(office: Office, caller: Caller, runner: JobRunner):
    await post(caller, *(sale(f"s{number}") for number in range(30)))
    now = office.head_end.clock.now()
    async with office.head_end.store.begin() as tx:
        job = await tx.jobs.find(TENANT, "j1")
        assert job is not None
        await tx.api_keys.revoke(job.ordered_by, now)
    reader = await office.caller(Scope.READ)
    told = await worked(runner, reader)
    assert (told["state"], told["detail"]) == ("cancelled", "its API key was revoked")
    assert await office.recharges() == []


@pytest.mark.parametrize("by", ["cancel", "revocation"])
async def test_nothing_is_ordered_after_an_end_in_the_middle_of_a_chunk(
    office: Office, caller: Caller, runner: JobRunner, monkeypatch: pytest.MonkeyPatch, by: str
):
    await post(caller, *(sale(f"s{number}") for number in range(10)))
    reader = await office.caller(Scope.READ)
    order, count = JobRunner._order, [0]

    async def ending(self: JobRunner, *line: Any) -> None:
        await order(self, *line)
        count[0] += 1
        if count[0] != 3:
            return
        if by == "cancel":
            assert (await caller.post("/v1/jobs/j1/cancel")).status_code == 200
            return
        async with office.head_end.store.begin() as tx:
            job = await tx.jobs.find(TENANT, "j1")
            assert job is not None
            await tx.api_keys.revoke(job.ordered_by, office.head_end.clock.now())

    monkeypatch.setattr(JobRunner, "_order", ending)
    told = await worked(runner, reader)
    assert told["state"] == "cancelled"
    assert len(await office.recharges()) == 3
    assert (told["lines"]["ordered"], told["lines"]["checked"]) == (3, 7)


async def test_a_job_that_died_anywhere_goes_on_and_orders_nothing_twice(
    office: Office, caller: Caller, monkeypatch: pytest.MonkeyPatch
):
    """Cut behind every order, before any of them was marked."""
    lines = [sale(f"s{number}") for number in range(6)] + [{"do": "clock", "meter": DRN}]
    await post(caller, *lines)
    order = JobRunner._order
    for cut in range(1, 8):
        left = [None] * cut

        async def dying(self: JobRunner, *line: Any, left: list[None] = left) -> None:
            await order(self, *line)
            left.pop()
            if not left:
                raise asyncio.CancelledError

        with monkeypatch.context() as mortal:
            mortal.setattr(JobRunner, "_order", dying)
            with pytest.raises(asyncio.CancelledError):
                await worked(a_runner(office), caller)
        told = (await caller.get("/v1/jobs/j1")).json()
        assert (told["state"], told["lines"]["ordered"]) == ("working", 0)
        assert len(await office.recharges()) == min(cut, 6)
    await worked(a_runner(office), caller)
    told = (await caller.get("/v1/jobs/j1")).json()
    assert (told["state"], told["lines"]["ordered"]) == ("done", 7)
    assert len(await office.recharges()) == 6


async def test_loading_that_was_cut_short_is_finished_by_the_same_job_again(
    office: Office, caller: Caller, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    lines = [sale(f"s{number}") for number in range(5)]
    with monkeypatch.context() as mortal:

        async def died(*_: Any) -> Any:
            raise asyncio.CancelledError

        mortal.setattr(type(office.head_end.jobs), "_turn", died)
        with pytest.raises(asyncio.CancelledError):
            await post(caller, *lines)
    assert (await caller.get("/v1/jobs/j1")).json()["state"] == "loading"
    assert not await runner.work()
    again = await post(caller, *lines)
    assert (again.status_code, again.json()["state"]) == (200, "working")
    assert (await worked(runner, caller))["lines"]["ordered"] == 5


async def test_a_job_does_not_get_round_a_cap_and_one_approval_covers_it(
    office: Office, caller: Caller, runner: JobRunner
):
    await tightened(office, Danger.OPEN_SUPPLY)
    owner, own = await office.person("Ama Mensah")
    clerk = office.with_key(await office.key(*Scope, person=owner))
    for number in range(2, 6):
        await clerk.post("/v1/meters", json=a_meter_body(a_drn(number)))
    lines = [opening(office, meter=a_drn(number)) for number in range(2, 6)]
    assert (await post(clerk, *lines, sale("s1"))).status_code == 202
    told = await worked(runner, clerk)
    # One opening goes, the sale behind the others goes, and three openings wait.
    assert (told["state"], told["lines"]["ordered"], told["lines"]["checked"]) == ("working", 2, 3)
    _, other = await office.person("Kofi Boateng")
    (approval,) = (await other.get("/v1/approvals?state=waiting")).json()["items"]
    assert (approval["subject"], approval["order"]) == ("job", "j1")
    path = f"/v1/approvals/{approval['id']}/approval"
    assert slug(await own.post(path)) == "same-person"
    assert (await other.post(path)).json()["state"] == "approved"
    told = await worked(a_runner(office), clerk)
    assert (told["state"], told["lines"]["ordered"]) == ("done", 5)
    done = (await other.get(f"/v1/approvals/{approval['id']}")).json()
    assert done["state"] == "carried_out"
    assert slug(await clerk.post(f"/v1/meters/{DRN}/supply", json=single(office))) == (
        "approval-required"
    )


async def test_an_approval_of_openings_is_none_of_clear_credits(
    office: Office, caller: Caller, runner: JobRunner
):
    await tightened(office, Danger.OPEN_SUPPLY)
    await tightened(office, Danger.CLEAR_CREDIT)
    owner, _ = await office.person("Ama Mensah")
    clerk = office.with_key(await office.key(*Scope, person=owner))
    for number in range(2, 4):
        await clerk.post("/v1/meters", json=a_meter_body(a_drn(number)))
    drns = [DRN, a_drn(2), a_drn(3)]
    openings = [opening(office, meter=drn) for drn in drns]
    clears = [
        {"do": "engineering", "meter": drn, "kind": "clear_credit", "value": 0} for drn in drns
    ]
    assert (await post(clerk, *openings, *clears)).status_code == 202
    told = await worked(runner, clerk)
    assert told["state"] == "working", await results(clerk)
    _, other = await office.person("Kofi Boateng")
    (approval,) = (await other.get("/v1/approvals?state=waiting")).json()["items"]
    assert "open_supply" in approval["reason"]
    await other.post(f"/v1/approvals/{approval['id']}/approval")
    told = await worked(a_runner(office), clerk)
    assert told["state"] == "done_with_failures"
    problems = [row["problem"] for row in await results(clerk)]
    assert problems == [None, None, None, None, "cap-reached", "cap-reached"]


async def test_without_any_right_to_order_a_file_is_not_read(office: Office):
    reader = await office.caller(Scope.READ)
    answer = await reader.post("/v1/jobs?id=j1", content=b"\xff" * 1000, headers=CSV)
    assert slug(answer) == "scope-missing"


async def test_lines_above_the_cap_of_a_refused_job_are_refused(
    office: Office, caller: Caller, runner: JobRunner
):
    await tightened(office, Danger.OPEN_SUPPLY)
    owner, _ = await office.person("Ama Mensah")
    clerk = office.with_key(await office.key(*Scope, person=owner))
    await post(clerk, opening(office), opening(office))
    await worked(runner, clerk)
    _, other = await office.person("Kofi Boateng")
    (approval,) = (await other.get("/v1/approvals?state=waiting")).json()["items"]
    await other.post(f"/v1/approvals/{approval['id']}/refusal", json={"reason": "no"})
    told = await worked(a_runner(office), clerk)
    assert (told["state"], told["failed"]) == ("done_with_failures", 1)
    assert (await results(clerk))[1]["problem"] == "approval-ended"


async def test_a_job_of_nobody_gets_no_further_than_the_cap(
    office: Office, caller: Caller, runner: JobRunner
):
    most = SAFE[Danger.CLEAR_CREDIT].per_key_hour
    line = {"do": "engineering", "meter": DRN, "kind": "clear_credit", "value": 0}
    await post(caller, *[line] * (most + 3))
    told = await worked(runner, caller)
    assert (told["state"], told["lines"]["ordered"], told["failed"]) == (
        "done_with_failures",
        most,
        3,
    )
    assert {one["problem"] for one in (await results(caller))[most:]} == {"cap-reached"}


@pytest.mark.parametrize(
    ("content", "kind", "headers"),
    [
        (b"", "job-file-refused", CSV),
        (b"do;meter\n", "job-file-refused", CSV),
        (b"do,meter\nclock,\xff\n", "job-file-refused", CSV),
        (b"[1]\n", "job-file-refused", NDJSON),
        (b"{}", "unsupported-media-type", {"Content-Type": "application/json"}),
        (b"x" * (16 * 1024 * 1024 + 1), "body-too-large", NDJSON),
    ],
)
async def test_a_file_that_is_none_is_refused(caller: Caller, content, kind, headers):
    answer = await caller.post("/v1/jobs?id=j1", content=content, headers=headers)
    assert slug(answer) == kind
    assert slug(await caller.get("/v1/jobs/j1")) == "unknown-job"


async def test_others_sell_while_a_job_of_ten_thousand_lines_works(office: Office, caller: Caller):
    rows = "".join(f"clock,c{number},{DRN}\n" for number in range(10_000))
    content = f"do,id,meter\n{rows}".encode()
    answer = await caller.post("/v1/jobs?id=j1", content=content, headers=CSV)
    assert (answer.status_code, answer.json()["size"]) == (202, 10_000)
    working = asyncio.create_task(a_runner(office).serve())
    for number in range(5):
        sold = await caller.post("/v1/recharges", json=a_recharge_body(f"till-{number}"))
        assert sold.status_code == 201
    told = answer.json()
    while not told["lines"]["checked"]:
        await asyncio.sleep(0.05)
        told = (await caller.get("/v1/jobs/j1")).json()
    assert (await caller.post("/v1/jobs/j1/cancel")).json()["state"] == "cancelled"
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    assert len(await results(caller)) == 10_000


def single(office: Office) -> dict[str, Any]:
    line = opening(office, id="single")
    return {name: line[name] for name in ("id", "action", "reason", "expires_at")}
