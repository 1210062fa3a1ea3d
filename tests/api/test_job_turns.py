"""Jobs among jobs: whose turn it is, how many there may be, and how one is stopped."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from headend import job_desk, job_runner
from headend.api_keys import Scope
from headend.dangers import Danger
from headend.errors import StoreDown
from headend.job_runner import JobRunner
from headend.jobs import Job, JobState
from tests.api.office import DRN, RIVAL, TENANT, Caller, Office, slug
from tests.api.test_harm import tightened
from tests.api.test_jobs import a_runner, opening, post, results, sale, worked

CLOCK = {"do": "clock", "meter": DRN}


@pytest.fixture
async def runner(office: Office) -> JobRunner:
    return a_runner(office)


async def a_clerk(office: Office) -> Caller:
    """A caller whose key belongs to a person, so that its jobs may wait for an approval."""
    owner, _ = await office.person("Ama Mensah")
    return office.with_key(await office.key(*Scope, person=owner))


async def ends_told(office: Office, caller: Caller) -> list[dict[str, Any]]:
    async with office.head_end.store.begin() as tx:
        now = office.head_end.clock.now()
        await tx.outbox.order(now=now, give_up_at=now, limit=1000)
    told = (await caller.get("/v1/events?type=headend.job.ended.v1&limit=100")).json()["items"]
    return [one["data"] for one in told]


async def noted(office: Office, action: str) -> list[dict[str, Any]]:
    caller = await office.caller(Scope.AUDIT)
    told: list[dict[str, Any]] = (await caller.get(f"/v1/audit?action={action}")).json()["items"]
    return told


async def test_jobs_that_wait_for_a_person_keep_no_other_from_working(
    office: Office, caller: Caller, runner: JobRunner
):
    await tightened(office, Danger.OPEN_SUPPLY)
    clerk = await a_clerk(office)
    for number in range(20):
        answer = await post(clerk, opening(office), opening(office), ident=f"w{number}")
        assert answer.status_code == 202, answer.text
    for _ in range(200):
        if not await runner.work():
            break
    states = {(await clerk.get(f"/v1/jobs/w{number}")).json()["state"] for number in range(20)}
    assert states == {"working"}
    assert (await post(caller, sale("s1"), ident="young")).status_code == 202
    assert (await worked(runner, caller, "young"))["state"] == "done"


async def test_the_jobs_of_one_utility_take_no_turns_from_another(
    office: Office, caller: Caller, runner: JobRunner
):
    rival = await office.caller(tenant=RIVAL)
    for number in range(8):
        await post(caller, *[CLOCK] * 60, ident=f"j{number}")
    await post(rival, CLOCK, ident="r1", query="&dry_run=true")
    for _ in range(2):  # its line is checked, and then it ends
        assert await runner.work()
    assert (await rival.get("/v1/jobs/r1")).json()["state"] == "checked_with_failures"
    told = [(await caller.get(f"/v1/jobs/j{number}")).json()["lines"] for number in range(8)]
    assert [bool(lines["checked"]) for lines in told] == [True] * 2 + [False] * 6


async def test_a_job_whose_lines_are_slow_gives_its_turn_to_the_next(
    office: Office, caller: Caller, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(job_runner, "TURN_S", -1.0)  # every line takes longer than a turn
    await post(caller, *(sale(f"s{number}") for number in range(20)), ident="slow")
    await post(caller, sale("short"), ident="quick")
    for _ in range(8):
        await runner.work()
    assert (await caller.get("/v1/jobs/quick")).json()["state"] == "done"
    assert (await caller.get("/v1/jobs/slow")).json()["state"] == "working"
    assert (await worked(runner, caller, "slow"))["lines"]["ordered"] == 20


async def test_a_job_that_the_database_gives_up_on_keeps_no_other_from_working(
    office: Office, caller: Caller, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    rival = await office.caller(tenant=RIVAL)
    await post(caller, CLOCK, ident="huge", query="&dry_run=true")
    await post(caller, sale("s1"), ident="young")
    await post(rival, CLOCK, ident="r1", query="&dry_run=true")
    end = JobRunner._end

    async def timing_out(self: JobRunner, job: Job, *how: Any) -> None:
        if job.id == "huge":
            raise StoreDown("the database does not answer")
        await end(self, job, *how)

    with monkeypatch.context() as slow, capture_logs() as logs:
        slow.setattr(JobRunner, "_end", timing_out)
        for _ in range(8):
            await runner.work()
    assert {"tenant": TENANT, "job": "huge"}.items() <= logs[0].items()
    states = [(await caller.get(f"/v1/jobs/{one}")).json()["state"] for one in ("huge", "young")]
    assert states == ["working", "done"]
    assert (await rival.get("/v1/jobs/r1")).json()["state"] == "checked_with_failures"
    async with office.head_end.store.begin() as tx:
        await tx.jobs.turn(TENANT, "huge", at=office.head_end.clock.now())
    assert (await worked(runner, caller, "huge"))["state"] == "checked"


async def test_while_the_store_is_away_no_job_is_passed_over(
    office: Office, caller: Caller, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    await post(caller, sale("s1"))

    def away(self: object) -> Any:
        raise StoreDown("cannot reach the database")

    with monkeypatch.context() as broken:
        broken.setattr(type(office.head_end.store), "begin", away)
        with pytest.raises(StoreDown):
            await runner.work()
    assert (await worked(runner, caller))["state"] == "done"


async def test_a_key_and_a_utility_have_so_many_open_jobs_and_no_more(
    office: Office, caller: Caller, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(job_desk, "MAX_OPEN_OF_KEY", 2)
    monkeypatch.setattr(job_desk, "MAX_OPEN", 3)
    answers = [await post(caller, CLOCK, ident=f"j{number}") for number in range(6)]
    taken = [place for place, answer in enumerate(answers) if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert (len(taken), len(refused)) == (2, 4)
    assert {slug(answer) for answer in refused} == {"too-many-jobs"}
    assert "this API key" in refused[0].json()["detail"]
    assert int(refused[0].headers["Retry-After"]) > 0
    assert (await post(caller, CLOCK, ident=f"j{taken[0]}")).status_code == 200  # a repeat
    other, third = await office.caller(), await office.caller()
    assert (await post(other, CLOCK, ident="o1")).status_code == 202
    full = await post(third, CLOCK, ident="t1")
    assert slug(full) == "too-many-jobs"
    assert "the utility" in full.json()["detail"]
    rival = await office.caller(tenant=RIVAL)
    assert (await post(rival, CLOCK, ident="r1")).status_code == 202
    await other.post("/v1/jobs/o1/cancel")
    assert (await post(third, CLOCK, ident="t1")).status_code == 202
    await worked(runner, caller, f"j{taken[0]}")
    assert (await post(caller, CLOCK, ident="next")).status_code == 202


async def test_a_cancelled_job_tells_its_end_and_leaves_nothing_to_approve(
    office: Office, caller: Caller, runner: JobRunner
):
    await tightened(office, Danger.OPEN_SUPPLY)
    clerk = await a_clerk(office)
    await post(clerk, opening(office), opening(office), sale("s1"))
    await worked(runner, clerk)
    _, other = await office.person("Kofi Boateng")
    (approval,) = (await other.get("/v1/approvals?state=waiting")).json()["items"]
    assert (await clerk.post("/v1/jobs/j1/cancel")).json()["state"] == "cancelled"
    (end,) = await ends_told(office, caller)
    counts = {"state": "cancelled", "lines": 3, "ordered": 2, "failed": 0}
    assert end == {"job": "j1", **counts}
    (record,) = await noted(office, "job_cancelled")
    assert record["by"].startswith("key:")
    assert record["about"]["ordered"] == "2"
    assert (await other.get("/v1/approvals?state=waiting")).json()["items"] == []
    closed = (await other.get(f"/v1/approvals/{approval['id']}")).json()
    assert closed["state"] == "withdrawn"
    assert [one["subject"] for one in await noted(office, "approval_withdrawn")] == [approval["id"]]
    assert slug(await other.post(f"/v1/approvals/{approval['id']}/approval")) == "approval-ended"
    assert (await clerk.post("/v1/jobs/j1/cancel")).status_code == 200  # a repeat tells no more
    assert len(await ends_told(office, caller)) == len(await noted(office, "job_cancelled")) == 1


async def test_a_person_stops_the_job_of_any_key_of_the_utility(
    office: Office, caller: Caller, runner: JobRunner
):
    await post(caller, *(sale(f"s{number}") for number in range(60)))
    while not (ordered := len(await office.recharges())):
        await runner.work()
    ident, person = await office.person("Kofi Boateng")
    _, stranger = await office.person("Esi Owusu", tenant=RIVAL)
    assert slug(await stranger.post("/v1/jobs/j1/cancel")) == "unknown-job"
    assert slug(await person.post("/v1/jobs/j1/resume")) == "api-key-required"
    assert [one["id"] for one in (await person.get("/v1/jobs")).json()["items"]] == ["j1"]
    told = (await person.post("/v1/jobs/j1/cancel")).json()
    assert (told["state"], told["detail"]) == ("cancelled", f"cancelled by person:{ident}")
    (record,) = await noted(office, "job_cancelled")
    assert (record["by"], record["subject"]) == (f"person:{ident}", "j1")
    assert (await worked(runner, caller))["lines"]["ordered"] == ordered < 60
    (end,) = await ends_told(office, caller)
    assert end["ordered"] == ordered


async def test_lines_ordered_while_a_job_is_cancelled_are_in_the_last_word_of_its_end(
    office: Office, caller: Caller, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    await post(caller, *(sale(f"s{number}") for number in range(10)))
    order, count = JobRunner._order, [0]

    async def cancelling(self: JobRunner, *line: Any) -> None:
        await order(self, *line)
        count[0] += 1
        if count[0] == 3:
            assert (await caller.post("/v1/jobs/j1/cancel")).status_code == 200

    monkeypatch.setattr(JobRunner, "_order", cancelling)
    await worked(runner, caller)
    assert [end["ordered"] for end in await ends_told(office, caller)] == [0, 3]


async def test_a_job_that_died_and_was_cancelled_tells_which_lines_were_ordered(
    office: Office, caller: Caller, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    await post(caller, sale("s1"), sale("s2"))
    order = JobRunner._order

    async def dying(self: JobRunner, *line: Any) -> None:
        await order(self, *line)
        raise asyncio.CancelledError

    with monkeypatch.context() as mortal:
        mortal.setattr(JobRunner, "_order", dying)
        with pytest.raises(asyncio.CancelledError):
            await worked(runner, caller)
    await caller.post("/v1/jobs/j1/cancel")
    assert [one["outcome"] for one in await results(caller)] == ["issued", None]


async def test_a_job_whose_key_is_revoked_is_noted_and_asks_nobody_any_more(
    office: Office, caller: Caller, runner: JobRunner
):
    await tightened(office, Danger.OPEN_SUPPLY)
    clerk = await a_clerk(office)
    await post(clerk, opening(office), opening(office))
    await worked(runner, clerk)
    async with office.head_end.store.begin() as tx:
        job = await tx.jobs.find(TENANT, "j1")
        assert job is not None
        await tx.api_keys.revoke(job.ordered_by, office.head_end.clock.now())
    assert (await worked(a_runner(office), caller))["state"] == "working"  # it rests
    async with office.head_end.store.begin() as tx:
        await tx.jobs.turn(TENANT, "j1", at=office.head_end.clock.now())
    assert (await worked(a_runner(office), caller))["state"] == "cancelled"
    (record,) = await noted(office, "job_cancelled")
    assert (record["by"], record["result"]) == ("head-end", "its API key was revoked")
    _, other = await office.person("Kofi Boateng")
    assert (await other.get("/v1/approvals?state=waiting")).json()["items"] == []


async def test_jobs_that_rest_end_when_their_key_is_revoked(
    office: Office, caller: Caller, runner: JobRunner
):
    clerk = await office.caller()
    for ident, whose in (("paused", clerk), ("mine", caller)):
        await post(whose, sale(ident), ident=ident)
        await whose.post(f"/v1/jobs/{ident}/pause")
    async with office.head_end.store.begin() as tx:
        job = await tx.jobs.find(TENANT, "paused")
        assert job is not None
        now = office.head_end.clock.now()
        await tx.jobs.add(replace(job, id="loading", state=JobState.LOADING, turn_at=None))
        await tx.api_keys.revoke(job.ordered_by, now)
    serving = asyncio.create_task(runner.serve())
    try:
        async with asyncio.timeout(20):
            while len(await noted(office, "job_cancelled")) < 2:
                await asyncio.sleep(0.05)
    finally:
        serving.cancel()
        await asyncio.wait([serving])
    told = (await caller.get("/v1/jobs")).json()["items"]
    states = {one["id"]: one["state"] for one in told}
    assert states == {"paused": "cancelled", "loading": "cancelled", "mine": "paused"}
    why = {(one["by"], one["result"]) for one in await noted(office, "job_cancelled")}
    assert why == {("head-end", "its API key was revoked")}
    async with office.head_end.store.look() as tx:
        assert sum((await tx.jobs.open(TENANT)).values()) == 1
