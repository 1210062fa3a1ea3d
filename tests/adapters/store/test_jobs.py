"""Jobs in every store: lines are loaded, taken in order, marked once, and counted."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from headend.api_keys import ApiKey, Scope
from headend.commands import Manage, SetClock, SetCreditParameters
from headend.credit_parameters import CreditParameters
from headend.deliveries import DeliveryState
from headend.errors import Stale
from headend.jobs import Job, JobLine, JobState, LineState, Progress
from headend.pages import Cursor
from headend.people import PersonId
from headend.tokens import ManagementKind, ManagementOrder
from tests.builders import (
    DRN,
    NOW,
    OTHER_TENANT,
    TENANT,
    a_delivery,
    a_recharge,
    an_opening,
    an_order,
)


def a_job(ident: str = "j1", **more: Any) -> Job:
    fields: dict[str, Any] = {
        "id": ident,
        "tenant": TENANT,
        "digest": "d",
        "size": 3,
        "ordered_by": "k1",
        "requesters": frozenset({PersonId("p1")}),
        "created_at": NOW,
        "changed_at": NOW,
    }
    return Job(**(fields | more))


def a_key(ident: str) -> ApiKey:
    return ApiKey(
        id=ident,
        tenant=TENANT,
        name=ident,
        scopes=frozenset({Scope.RECHARGE}),
        sha256=ident.encode(),
        created_at=NOW,
    )


def a_line(number: int, **more: Any) -> JobLine:
    fields: dict[str, Any] = {
        "tenant": TENANT,
        "job_id": "j1",
        "number": number,
        "ident": f"j1.{number}",
        "drn": DRN,
        "content": SetClock(),
    }
    return JobLine(**(fields | more))


async def test_a_job_is_kept_once_and_changed_from_the_state_it_was_in(store):
    job = a_job()
    async with store.begin() as tx:
        await tx.jobs.add(job)
        await tx.jobs.add(a_job(tenant=OTHER_TENANT))
    with pytest.raises(Stale):
        async with store.begin() as tx:
            await tx.jobs.add(a_job())
    working = replace(job, state=JobState.WORKING, detail="x")
    async with store.begin() as tx:
        assert await tx.jobs.find(TENANT, "j1") == job
        await tx.jobs.save(working, was=JobState.LOADING)
    with pytest.raises(Stale):
        async with store.begin() as tx:
            await tx.jobs.save(job, was=JobState.LOADING)
    async with store.begin() as tx:
        await tx.jobs.add(a_job("j2", created_at=NOW + timedelta(minutes=1)))
    async with store.look() as tx:
        assert await tx.jobs.due(now=NOW, limit=5) == [working]
        page = await tx.jobs.page(TENANT, Cursor(limit=1))
        assert [one.id for one in page.items] == ["j2"]
        assert (await tx.jobs.page(TENANT, Cursor(after=page.next))).items == [working]


async def test_jobs_that_rest_are_orphaned_when_their_key_is_revoked(store):
    async with store.begin() as tx:
        await tx.api_keys.add(a_key("revoked"))
        await tx.api_keys.add(a_key("good"))
        await tx.api_keys.revoke("revoked", NOW)
        for minutes, state in enumerate(JobState):
            at = NOW - timedelta(minutes=minutes)
            for key in ("revoked", "good"):
                ident = f"{state}-{key}"
                await tx.jobs.add(a_job(ident, state=state, ordered_by=key, created_at=at))
    async with store.look() as tx:
        found = [job.id for job in await tx.jobs.orphaned(limit=5)]
        assert found == ["paused-revoked", "loading-revoked"]
        assert [job.id for job in await tx.jobs.orphaned(limit=1)] == found[:1]


async def test_jobs_of_a_tenant_take_turns_and_every_tenant_has_one(store):
    minute = timedelta(minutes=1)
    async with store.begin() as tx:
        for number, ident in enumerate(("a", "b", "c"), start=1):
            at = NOW + number * minute
            await tx.jobs.add(a_job(ident, state=JobState.WORKING, created_at=at))
        await tx.jobs.add(a_job("z", tenant=OTHER_TENANT, state=JobState.WORKING))
        await tx.jobs.add(a_job("p", state=JobState.PAUSED, ordered_by="k2"))
        await tx.jobs.add(a_job("e", state=JobState.DONE))
    now = NOW + 10 * minute
    turns = []
    for _ in range(4):
        async with store.begin() as tx:
            due = await tx.jobs.due(now=now, limit=5)
            turns.append([job.id for job in due])
            for job in due:
                await tx.jobs.turn(job.tenant, job.id, at=now)
        now += minute
    assert turns == [["z", "a"], ["b", "z"], ["c", "z"], ["a", "z"]]
    async with store.begin() as tx:
        for ident in ("a", "b", "c"):
            await tx.jobs.turn(TENANT, ident, at=now + timedelta(seconds=5))
        await tx.jobs.turn(OTHER_TENANT, "z", at=now + timedelta(hours=9))  # a clock was set back
    async with store.look() as tx:
        assert [job.id for job in await tx.jobs.due(now=now, limit=5)] == ["z"]
        later = await tx.jobs.due(now=now + timedelta(seconds=5), limit=1)
        assert [job.id for job in later] == ["a"]
        assert await tx.jobs.open(TENANT) == {"k1": 3, "k2": 1}
        assert await tx.jobs.open(OTHER_TENANT) == {"k1": 1}


async def test_lines_are_kept_as_they_are_taken_in_order_and_marked_once(store):
    contents = [
        an_order(id="j1.1"),
        an_opening(),
        SetClock(),
        Manage(ManagementOrder(ManagementKind.CLEAR_TAMPER)),
        None,
        SetCreditParameters(CreditParameters(unit="kWh", overdraft=Decimal("2.5"))),
    ]
    lines = [a_line(number, content=one) for number, one in enumerate(contents, start=1)]
    lines[4] = replace(lines[4], drn=None, state=LineState.BAD, problem="bad-line", detail="x")
    async with store.begin() as tx:
        await tx.jobs.add(a_job())
        await tx.jobs.add_lines(lines[3:])
        await tx.jobs.add_lines(lines)  # loading that was cut short goes on
    async with store.look() as tx:
        new = await tx.jobs.lines(TENANT, "j1", state=LineState.NEW, after=0, limit=10)
        assert new == [*lines[:4], lines[5]]
        assert await tx.jobs.lines(TENANT, "j1", state=LineState.NEW, after=2, limit=1) == [
            lines[2]
        ]
        assert await tx.jobs.counts(TENANT, "j1") == {LineState.NEW: 5, LineState.BAD: 1}
        results = await tx.jobs.results(TENANT, "j1", after=0, limit=10)
        assert [result.line for result in results] == lines
        assert {result.outcome for result in results} == {None}
    checked = replace(lines[0], state=LineState.CHECKED)
    async with store.begin() as tx:
        await tx.jobs.mark(checked, was=LineState.NEW)
    with pytest.raises(Stale):
        async with store.begin() as tx:
            await tx.jobs.mark(checked, was=LineState.NEW)


async def test_what_became_of_a_line_is_that_of_its_own_recharge_or_delivery(store):
    ordered = LineState.ORDERED
    lines = [
        a_line(1, content=an_order(id="j1.1"), state=ordered),
        a_line(2, content=SetClock(), state=ordered),
        a_line(3, content=SetClock(), ident="sale", state=ordered),
        a_line(4, content=SetClock(), ident="known", state=LineState.REFUSED, problem="p"),
        a_line(5, content=SetClock(), ident="unmarked", state=LineState.CHECKED),
    ]
    async with store.begin() as tx:
        await tx.jobs.add(a_job())
        await tx.jobs.add_lines(lines)
        await tx.recharges.add(a_recharge(id="j1.1", order=an_order(id="j1.1")))
        await tx.recharges.add(a_recharge(id="sale", order=an_order(id="sale")))
        await tx.deliveries.add(a_delivery(id="j1.2", command=SetClock(), recharge_id=None))
        for ident in ("sale", "known", "unmarked"):
            await tx.deliveries.add(
                a_delivery(id=ident, command=SetClock(), recharge_id=None, state=DeliveryState.DONE)
            )
    async with store.look() as tx:
        results = await tx.jobs.results(TENANT, "j1", after=0, limit=10)
        assert [result.outcome for result in results] == [
            "open",
            "waiting",
            "done",
            None,
            "done",
        ]
        assert await tx.jobs.progress(TENANT, "j1") == Progress(
            {ordered: 3, LineState.REFUSED: 1, LineState.CHECKED: 1},
            {"open": 1, "waiting": 1, "done": 1},
        )
