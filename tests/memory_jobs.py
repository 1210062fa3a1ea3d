"""Jobs in memory: the same contract as the databases."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from adapters.store.cursors import read_cursor, write_cursor
from headend.api_keys import ApiKey
from headend.deliveries import Delivery
from headend.errors import Stale
from headend.jobs import (
    FAILED_LINES,
    JOB_ENDS,
    RESTING,
    TURN_MAX,
    Job,
    JobLine,
    JobState,
    LineResult,
    LineState,
    Progress,
)
from headend.meters import TenantId
from headend.pages import Cursor, Page
from headend.recharges import Recharge, RechargeOrder
from tests.memory_tables import Table, View


def job_tables() -> dict[str, Table[Any, Any]]:
    return {
        "jobs": Table(
            all=lambda one: (one.tenant, (one.created_at, one.id)),
            working=lambda one: (
                (None, (one.turn_at or one.created_at, one.created_at, one.tenant, one.id))
                if one.state is JobState.WORKING
                else None
            ),
            resting=lambda one: (
                (None, (one.created_at, one.tenant, one.id)) if one.state in RESTING else None
            ),
        ),
        "job_lines": Table(
            all=lambda one: ((one.tenant, one.job_id), (one.number,)),
            state=lambda one: ((one.tenant, one.job_id, one.state), (one.number,)),
        ),
    }


class MemoryJobs:
    def __init__(
        self,
        view: View[tuple[TenantId, str], Job],
        lines: View[tuple[TenantId, str, int], JobLine],
        recharges: View[tuple[TenantId, str], Recharge],
        deliveries: View[tuple[TenantId, str], Delivery],
        *,
        keys: View[str, ApiKey],
    ) -> None:
        self._view, self._lines = view, lines
        self._recharges, self._deliveries = recharges, deliveries
        self._keys = keys

    async def add(self, job: Job) -> None:
        if self._view.get((job.tenant, job.id)) is not None:
            raise Stale(f"job {job.id}")
        self._view.put((job.tenant, job.id), job)

    async def find(self, tenant: TenantId, ident: str) -> Job | None:
        return self._view.get((tenant, ident))

    async def save(self, job: Job, *, was: JobState) -> None:
        known = self._view.get((job.tenant, job.id))
        if known is None or known.state is not was:
            raise Stale(f"job {job.id}")
        self._view.put((job.tenant, job.id), job)

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[Job]:
        beyond = None if cursor.after is None else read_cursor(cursor.after, (datetime, str))
        rows = self._view.walk("all", tenant, newest_first=True, beyond=beyond)
        found = list(islice(rows, cursor.limit + 1))
        items = found[: cursor.limit]
        last = items[-1] if len(found) > cursor.limit else None
        return Page(items, write_cursor((last.created_at, last.id)) if last else None)

    async def due(self, *, now: datetime, limit: int) -> Sequence[Job]:
        first: dict[TenantId, Job] = {}
        for job in self._view.walk("working", None):
            if job.turn_at is None or not now < job.turn_at <= now + TURN_MAX:
                first.setdefault(job.tenant, job)
        return list(first.values())[:limit]

    async def orphaned(self, *, limit: int) -> Sequence[Job]:
        found = []
        for job in self._view.walk("resting", None):
            key = self._keys.get(job.ordered_by)
            if key is not None and key.revoked_at is not None:
                found.append(job)
        return found[:limit]

    async def turn(self, tenant: TenantId, ident: str, *, at: datetime) -> None:
        if (job := self._view.get((tenant, ident))) is not None:
            self._view.put((tenant, ident), replace(job, turn_at=at))

    async def open(self, tenant: TenantId) -> Mapping[str, int]:
        every = self._view.walk("all", tenant)
        return Counter(job.ordered_by for job in every if job.state not in JOB_ENDS)

    async def add_lines(self, lines: Sequence[JobLine]) -> None:
        for line in lines:
            key = (line.tenant, line.job_id, line.number)
            if self._lines.get(key) is None:
                self._lines.put(key, line)

    async def lines(
        self, tenant: TenantId, job_id: str, *, state: LineState, after: int, limit: int
    ) -> Sequence[JobLine]:
        rows = self._lines.walk("state", (tenant, job_id, state), beyond=(after,))
        return list(islice(rows, limit))

    async def mark(self, line: JobLine, *, was: LineState) -> None:
        key = (line.tenant, line.job_id, line.number)
        known = self._lines.get(key)
        if known is None or known.state is not was:
            raise Stale(f"line {line.number} of job {line.job_id}")
        self._lines.put(key, line)

    async def counts(self, tenant: TenantId, job_id: str) -> Mapping[LineState, int]:
        return Counter(line.state for line in self._lines.walk("all", (tenant, job_id)))

    async def progress(self, tenant: TenantId, job_id: str) -> Progress:
        results = await self.results(tenant, job_id, after=0, limit=10**9)
        ordered = [one for one in results if one.line.state is LineState.ORDERED]
        outcomes = Counter(one.outcome for one in ordered if one.outcome is not None)
        return Progress(await self.counts(tenant, job_id), outcomes)

    async def results(
        self, tenant: TenantId, job_id: str, *, after: int, limit: int
    ) -> Sequence[LineResult]:
        rows = self._lines.walk("all", (tenant, job_id), beyond=(after,))
        return [LineResult(line, self._outcome(line)) for line in islice(rows, limit)]

    def _outcome(self, line: JobLine) -> str | None:
        if line.state in FAILED_LINES:
            return None
        key = (line.tenant, line.ident)
        of_sale = isinstance(line.content, RechargeOrder)
        found = self._recharges.get(key) if of_sale else self._deliveries.get(key)
        return found.state.value if found is not None else None
