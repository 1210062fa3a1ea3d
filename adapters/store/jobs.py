"""Jobs in the database; what became of a line is read where its recharge or delivery stands."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, and_, bindparam, func, or_, select, update

from adapters.store.columns import MOMENT, literals
from adapters.store.commands import command_json, command_of
from adapters.store.cursors import Listing
from adapters.store.inserts import new_only
from adapters.store.job_tables import job_lines, jobs
from adapters.store.orders import order_json, order_of
from adapters.store.statements import SqlRow, Statements
from adapters.store.tables import api_keys, deliveries, recharges
from headend.commands import Manage, SetClock, SetCreditParameters, SetSupply
from headend.errors import Stale
from headend.jobs import (
    FAILED_LINES,
    JOB_ENDS,
    RESTING,
    TURN_MAX,
    Job,
    JobLine,
    JobState,
    LineContent,
    LineResult,
    LineState,
    Progress,
)
from headend.meters import TenantId
from headend.pages import Cursor, Page
from headend.recharges import RechargeOrder

_j, _l = jobs.c, job_lines.c
_KEY = (_j.tenant == bindparam("tenant_"), _j.id == bindparam("id_"))
_LINES = (_l.tenant == bindparam("tenant_"), _l.job_id == bindparam("job_"))
_LIMIT = bindparam("limit_", type_=Integer())
_AFTER = _l.number > bindparam("after_", type_=Integer())
_ADD = new_only(jobs)
_FIND = select(jobs).where(*_KEY)
_SAVE = update(jobs).where(*_KEY, _j.state == bindparam("was"))
_SINCE = func.coalesce(_j.turn_at, _j.created_at)
_PLACE = func.row_number().over(partition_by=_j.tenant, order_by=(_SINCE, _j.created_at, _j.id))
_WAITING = (
    select(jobs, _SINCE.label("since"), _PLACE.label("place"))
    .where(
        _j.state.in_(literals([JobState.WORKING])),
        or_(
            _j.turn_at.is_(None),
            _j.turn_at <= bindparam("now_", type_=MOMENT),
            _j.turn_at > bindparam("never_", type_=MOMENT),
        ),
    )
    .subquery()
)
_DUE = (
    select(_WAITING)
    .where(_WAITING.c.place == 1)
    .order_by(_WAITING.c.since, _WAITING.c.tenant)
    .limit(_LIMIT)
)
_ORPHANED = (
    select(jobs)
    .join_from(jobs, api_keys, api_keys.c.id == _j.ordered_by)
    .where(_j.state.in_(literals(RESTING)), api_keys.c.revoked_at.is_not(None))
    .order_by(_j.created_at, _j.tenant, _j.id)
    .limit(_LIMIT)
)
_TURN = update(jobs).where(*_KEY).values(turn_at=bindparam("at_", type_=MOMENT))
_OPEN = (
    select(_j.ordered_by, func.count().label("many"))
    .where(_j.tenant == bindparam("tenant_"), _j.state.not_in(literals(JOB_ENDS)))
    .group_by(_j.ordered_by)
)
_ADD_LINES = {
    dialect: statement.returning(_l.number) for dialect, statement in new_only(job_lines).items()
}
_SOME = (
    select(job_lines)
    .where(*_LINES, _l.state == bindparam("state_"), _AFTER)
    .order_by(_l.number)
    .limit(_LIMIT)
)
_MARK = update(job_lines).where(
    *_LINES, _l.number == bindparam("number_"), _l.state == bindparam("was")
)
_COUNTS = select(_l.state, func.count().label("many")).where(*_LINES).group_by(_l.state)
_OUTCOME = func.coalesce(recharges.c.state, deliveries.c.state).label("outcome")
_JOINED = job_lines.outerjoin(
    recharges,
    and_(
        recharges.c.tenant == _l.tenant,
        recharges.c.id == _l.ident,
        _l.content["type"].as_string() == "recharge",
    ),
).outerjoin(
    deliveries,
    and_(
        deliveries.c.tenant == _l.tenant,
        deliveries.c.id == _l.ident,
        _l.content["type"].as_string() != "recharge",
    ),
)
_ORDERED = _l.state == LineState.ORDERED.value
_OUTCOMES = (
    select(_OUTCOME, func.count().label("many"))
    .select_from(_JOINED)
    .where(*_LINES, _ORDERED)
    .group_by(_OUTCOME)
)
_RESULTS = (
    select(job_lines, _OUTCOME)
    .select_from(_JOINED)
    .where(*_LINES, _AFTER)
    .order_by(_l.number)
    .limit(_LIMIT)
)


class SqlJobs:
    """Satisfies the jobs of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, job: Job) -> None:
        if not await self._run.changed(_ADD[self._run.dialect], _columns(job)):
            raise Stale(f"job {job.id}")

    async def find(self, tenant: TenantId, ident: str) -> Job | None:
        statement = _FIND.with_for_update() if self._run.locks else _FIND
        row = await self._run.row(statement, {"tenant_": tenant, "id_": ident})
        return None if row is None else _job_of(row)

    async def save(self, job: Job, *, was: JobState) -> None:
        keys = {"tenant_": job.tenant, "id_": job.id, "was": was}
        await self._run.change(_SAVE, _columns(job) | keys, what=f"job {job.id}")

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[Job]:
        return await _LISTING.page(self._run, cursor, _j.tenant == tenant)

    async def due(self, *, now: datetime, limit: int) -> Sequence[Job]:
        given = {"now_": now, "never_": now + TURN_MAX, "limit_": limit}
        return [_job_of(row) for row in await self._run.rows(_DUE, given)]

    async def orphaned(self, *, limit: int) -> Sequence[Job]:
        return [_job_of(row) for row in await self._run.rows(_ORPHANED, {"limit_": limit})]

    async def turn(self, tenant: TenantId, ident: str, *, at: datetime) -> None:
        await self._run.changed(_TURN, {"tenant_": tenant, "id_": ident, "at_": at})

    async def open(self, tenant: TenantId) -> Mapping[str, int]:
        rows = await self._run.rows(_OPEN, {"tenant_": tenant})
        return {row.ordered_by: row.many for row in rows}

    async def add_lines(self, lines: Sequence[JobLine]) -> None:
        if lines:
            rows = [_line_columns(line) for line in lines]
            await self._run.returned(_ADD_LINES[self._run.dialect], rows)

    async def lines(
        self, tenant: TenantId, job_id: str, *, state: LineState, after: int, limit: int
    ) -> Sequence[JobLine]:
        given = {
            "tenant_": tenant,
            "job_": job_id,
            "state_": state,
            "after_": after,
            "limit_": limit,
        }
        return [_line_of(row) for row in await self._run.rows(_SOME, given)]

    async def mark(self, line: JobLine, *, was: LineState) -> None:
        given = {
            "tenant_": line.tenant,
            "job_": line.job_id,
            "number_": line.number,
            "was": was,
            "state": line.state,
            "problem": line.problem,
            "detail": line.detail,
        }
        await self._run.change(_MARK, given, what=f"line {line.number} of job {line.job_id}")

    async def counts(self, tenant: TenantId, job_id: str) -> Mapping[LineState, int]:
        rows = await self._run.rows(_COUNTS, {"tenant_": tenant, "job_": job_id})
        return {LineState(row.state): row.many for row in rows}

    async def progress(self, tenant: TenantId, job_id: str) -> Progress:
        rows = await self._run.rows(_OUTCOMES, {"tenant_": tenant, "job_": job_id})
        outcomes = {row.outcome: row.many for row in rows if row.outcome is not None}
        return Progress(await self.counts(tenant, job_id), outcomes)

    async def results(
        self, tenant: TenantId, job_id: str, *, after: int, limit: int
    ) -> Sequence[LineResult]:
        given = {"tenant_": tenant, "job_": job_id, "after_": after, "limit_": limit}
        rows = await self._run.rows(_RESULTS, given)
        return [LineResult(line=_line_of(row), outcome=_outcome(row)) for row in rows]


def _outcome(row: SqlRow) -> str | None:
    """Of a line that was ordered, marked or not yet; to a refused one another order is none."""
    return None if row.state in FAILED_LINES else row.outcome


def _columns(job: Job) -> dict[str, object]:
    return {
        "tenant": job.tenant,
        "id": job.id,
        "digest": job.digest,
        "size": job.size,
        "dry_run": job.dry_run,
        "skip_bad": job.skip_bad,
        "ordered_by": job.ordered_by,
        "requesters": sorted(job.requesters),
        "state": job.state,
        "detail": job.detail,
        "created_at": job.created_at,
        "changed_at": job.changed_at,
        "turn_at": job.turn_at,
    }


def _job_of(row: SqlRow) -> Job:
    return Job(
        tenant=row.tenant,
        id=row.id,
        digest=row.digest,
        size=row.size,
        dry_run=row.dry_run,
        skip_bad=row.skip_bad,
        ordered_by=row.ordered_by,
        requesters=frozenset(row.requesters),
        state=JobState(row.state),
        detail=row.detail,
        created_at=row.created_at,
        changed_at=row.changed_at,
        turn_at=row.turn_at,
    )


def _line_columns(line: JobLine) -> dict[str, object]:
    return {
        "tenant": line.tenant,
        "job_id": line.job_id,
        "number": line.number,
        "ident": line.ident,
        "drn": line.drn,
        "content": None if line.content is None else _content_json(line.content),
        "state": line.state,
        "problem": line.problem,
        "detail": line.detail,
    }


def _content_json(content: LineContent) -> dict[str, object]:
    if isinstance(content, RechargeOrder):
        return {"type": "recharge", "order": order_json(content)}
    return command_json(content)


def _content_of(plain: Mapping[str, Any], tenant: TenantId) -> LineContent:
    if plain["type"] == "recharge":
        return order_of(plain["order"], tenant)
    command = command_of(plain)
    assert isinstance(command, SetSupply | SetClock | SetCreditParameters | Manage)
    return command


def _line_of(row: SqlRow) -> JobLine:
    return JobLine(
        tenant=row.tenant,
        job_id=row.job_id,
        number=row.number,
        ident=row.ident,
        drn=row.drn,
        content=None if row.content is None else _content_of(row.content, row.tenant),
        state=LineState(row.state),
        problem=row.problem,
        detail=row.detail,
    )


_LISTING = Listing(
    table=jobs,
    columns=(_j.created_at, _j.id),
    kinds=(datetime, str),
    key=lambda job: (job.created_at, job.id),
    record=_job_of,
    newest_first=True,
)
