"""Jobs: many recharges and commands from one file, as CSV or NDJSON."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.auth import Onlooker, Orderer, Visitor, principal, requester_of, require_scopes
from api.documenting import explained
from api.head_end import Desks, HeadEnd
from api.jobs_file import MAX_BYTES, MEDIA_TYPES, Checked, FileUnreadable, JobFile, JobFormat
from api.problems import (
    BodyTooLarge,
    Forbidden,
    JobFileRefused,
    TooManyOfKey,
    UnsupportedMediaType,
)
from api.routes.forms import Ident, IdentPath, PagesAsked, PageTold, Told, grows
from headend import refusals
from headend.api_keys import ApiKey, Scope
from headend.jobs import (
    Job,
    JobDiffers,
    JobEnded,
    JobState,
    LineState,
    Progress,
    TooManyJobs,
    UnknownJob,
)
from headend.meters import TenantId
from headend.people import Person
from headend.refusals import UnknownPerson

router = APIRouter(prefix="/v1", tags=["jobs"])
FAULTS_TOLD = 20
ID_MAX = 48  # a line's own id is the job's, a dot and its number
EXAMPLE = {
    "text/csv": "do,id,meter,value,unit\nrecharge,sale-1,01000000008,25.6,kWh\n",
    "application/x-ndjson": '{"do":"clock","meter":"01000000008"}\n',
}
FILE = {
    "requestBody": {
        "required": True,
        "content": {
            media_type: {"schema": {"type": "string"}, "example": example}
            for media_type, example in EXAMPLE.items()
        },
    }
}
# Who may order none of these may not have a file read either.
ORDERING = frozenset(
    {Scope.RECHARGE, Scope.SUPPLY, Scope.DISCONNECT, Scope.METERS, Scope.ENGINEERING}
)
JobId = Annotated[
    Ident, Query(max_length=ID_MAX, description="Your id of the job; the same again is the same.")
]


class JobTold(Told):
    """How far a job is. `lines` by their state; `outcomes`: what became of the ordered ones.

    `done_with_failures`: some lines were bad or refused; the result file names each.
    """

    id: str
    state: Annotated[JobState, grows(JobState)]
    detail: str
    size: int
    dry_run: bool
    skip_bad: bool
    ordered_by: str
    lines: Mapping[str, int]
    outcomes: Mapping[str, int]
    failed: int
    created_at: datetime
    changed_at: datetime

    @classmethod
    def of(cls, job: Job, progress: Progress) -> "JobTold":
        return cls(
            id=job.id,
            state=job.state,
            detail=job.detail,
            size=job.size,
            dry_run=job.dry_run,
            skip_bad=job.skip_bad,
            ordered_by=job.ordered_by,
            lines={state.value: progress.lines.get(state, 0) for state in LineState},
            outcomes=dict(progress.outcomes),
            failed=progress.failed,
            created_at=job.created_at,
            changed_at=job.changed_at,
        )


class JobListed(Told):
    """A job without its counts."""

    id: str
    state: Annotated[JobState, grows(JobState)]
    size: int
    dry_run: bool
    created_at: datetime
    changed_at: datetime

    @classmethod
    def of(cls, job: Job) -> "JobListed":
        return cls(
            id=job.id,
            state=job.state,
            size=job.size,
            dry_run=job.dry_run,
            created_at=job.created_at,
            changed_at=job.changed_at,
        )


@router.post(
    "/jobs",
    summary="Order many things from one file",
    status_code=202,
    openapi_extra=FILE,
    responses=explained(
        JobDiffers,
        TooManyJobs,
        refusals.UnknownPerson,
        JobFileRefused,
        BodyTooLarge,
        TooManyOfKey,
        UnsupportedMediaType,
        also={200: {"model": JobTold, "description": "Known: the same job"}},
    ),
)
async def create_job(
    request: Request,
    response: Response,
    caller: Orderer,
    desks: Desks,
    id: JobId,
    *,
    dry_run: Annotated[
        bool, Query(description="Check every line against meters, ways and limits; order nothing.")
    ] = False,
    skip_bad: Annotated[
        bool, Query(description="Order the good lines although others are bad.")
    ] = False,
    requested_by: Annotated[
        Ident | None, Query(description="Id of the person for whom it is ordered.")
    ] = None,
) -> JobTold:
    """CSV (with a header) or NDJSON, at most 16 MiB and 100,000 lines. `do` says what a line is:
    `recharge`, `supply`, `clock`, `engineering` or `parameters`; its other members are those of
    the single order. The file is read whole first: a bad line refuses it, with line and column,
    unless `skip_bad`.
    The key needs the scope of every line. Then lines are checked against the store (a bad one
    refuses the job before anything is ordered, unless `skip_bad`) and ordered in the background,
    under the caps of single orders; above a cap the job waits for one approval (`/v1/approvals`).
    """
    with ExitStack() as held:
        form = _format(request)
        _require_some_right(caller)
        held.callback(desks.job_files.take(caller.id))
        content = await _content(request)
        file = JobFile(content, form, tenant=caller.tenant, job_id=id)
        now = desks.clock.now()
        settings = f"{form}/{dry_run}/{skip_bad}/{requested_by or ''}/"
        job = Job(
            id=id,
            tenant=caller.tenant,
            digest=_digest(settings, content),
            size=0,
            dry_run=dry_run,
            skip_bad=skip_bad,
            ordered_by=caller.id,
            requesters=requester_of(caller, requested_by).people,
            created_at=now,
            changed_at=now,
        )
        submitted = _submitted(desks, caller, job, file, held=held.pop_all())
        kept, new = await desks.writes.finish(submitted)
    response.status_code = 202 if new else 200
    response.headers["Location"] = f"/v1/jobs/{kept.id}"
    return await _told(desks, caller.tenant, kept.id)


async def _submitted(
    desks: HeadEnd, caller: ApiKey, job: Job, file: JobFile, *, held: ExitStack
) -> tuple[Job, bool]:
    """Check a file and keep it. Its share is held to the end, even when the caller has left."""
    with held:
        found = await _checked(file)
        require_scopes(caller, *sorted(found.scopes))
        if not job.skip_bad:
            _require_good(found)
        await _require_people(desks, job)
        return await desks.jobs.submit(replace(job, size=found.lines), file.lines())


def _digest(settings: str, content: bytes) -> str:
    digest = sha256(settings.encode())
    digest.update(content)
    return digest.hexdigest()


async def _checked(file: JobFile) -> Checked:
    """What is wrong with the lines of a file. In a thread: others are answered meanwhile."""
    try:
        return await asyncio.to_thread(file.check, most=FAULTS_TOLD)
    except FileUnreadable as error:
        raise JobFileRefused(str(error)) from None


def _require_good(found: Checked) -> None:
    if not found.bad:
        return
    told: list[Mapping[str, object]] = [
        {"in": "body", "line": one.line, "column": one.column, "detail": one.problem}
        for one in found.faults
    ]
    first = found.faults[0]
    raise JobFileRefused(
        f"{found.bad} of {found.lines} lines are bad; the first is line {first.line},"
        f" {first.column or 'the whole line'}: {first.problem}",
        told,
    )


@router.get("/jobs", summary="Jobs, newest first", responses=explained(refusals.MalformedOrder))
async def list_jobs(tenant: Onlooker, desks: Desks, paging: PagesAsked) -> PageTold[JobListed]:
    async with desks.store.look() as tx:
        page = await tx.jobs.page(tenant, paging.cursor)
    return paging.told(page, [JobListed.of(job) for job in page.items])


@router.get("/jobs/{id}", summary="One job", responses=explained(UnknownJob))
async def read_job(id: IdentPath, tenant: Onlooker, desks: Desks) -> JobTold:
    return await _told(desks, tenant, id)


@router.post(
    "/jobs/{id}/pause",
    summary="Pause a job",
    responses=explained(UnknownJob, JobEnded, body=True),
)
async def pause_job(id: IdentPath, caller: Orderer, desks: Desks) -> JobTold:
    """By the key that ordered it. Lines that are ordered go on."""
    await _require_own(desks, caller, id)
    await desks.writes.finish(desks.jobs.pause(caller.tenant, id))
    return await _told(desks, caller.tenant, id)


@router.post(
    "/jobs/{id}/resume",
    summary="Go on with a paused job",
    responses=explained(UnknownJob, JobEnded, body=True),
)
async def resume_job(id: IdentPath, caller: Orderer, desks: Desks) -> JobTold:
    """By the key that ordered it."""
    await _require_own(desks, caller, id)
    await desks.writes.finish(desks.jobs.resume(caller.tenant, id))
    return await _told(desks, caller.tenant, id)


@router.post(
    "/jobs/{id}/cancel",
    summary="Order nothing more of a job",
    responses=explained(UnknownJob, JobEnded, body=True),
)
async def cancel_job(id: IdentPath, caller: Visitor, desks: Desks) -> JobTold:
    """By the key that ordered it, or by a person of the utility, whoever ordered it. Lines that
    are ordered stay ordered; an approval that the job waits for is withdrawn.
    """
    if not isinstance(caller, Person):
        await _require_own(desks, caller, id)
    await desks.writes.finish(desks.jobs.cancel(caller.tenant, id, by=principal(caller)))
    return await _told(desks, caller.tenant, id)


def _format(request: Request) -> JobFormat:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = MEDIA_TYPES.get(kind)
    if form is None:
        raise UnsupportedMediaType("send a file of text/csv or application/x-ndjson")
    return form


def _require_some_right(caller: ApiKey) -> None:
    """Raises Forbidden for a key that may order nothing at all."""
    if not caller.scopes & ORDERING:
        raise Forbidden("this needs a key that may order something")


async def _content(request: Request) -> bytes:
    """The whole file; raises BodyTooLarge."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MAX_BYTES:
            raise BodyTooLarge(f"a file has at most {MAX_BYTES >> 20} MiB; split it")
    return bytes(content)


async def _require_people(desks: HeadEnd, job: Job) -> None:
    async with desks.store.look() as tx:
        for ident in job.requesters:
            person = await tx.people.find(ident)
            if person is None or person.tenant != job.tenant:
                raise UnknownPerson("no such person in this utility", field="requested_by")


async def _require_own(desks: HeadEnd, caller: ApiKey, id: str) -> None:
    """Another's job is as good as none to a key that cannot order."""
    job, _ = await desks.jobs.look(caller.tenant, id)
    if job.ordered_by != caller.id:
        raise UnknownJob(f"no job {id} of this key", field="id")


async def _told(desks: HeadEnd, tenant: TenantId, id: str) -> JobTold:
    return JobTold.of(*await desks.jobs.look(tenant, id))
