"""The desk of jobs: they are taken, paused, resumed and cancelled; the runner does the rest."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice

from headend.audit import AuditAction, Entry
from headend.job_ends import end_job
from headend.jobs import (
    JOB_ENDS,
    MAX_OPEN,
    MAX_OPEN_OF_KEY,
    Job,
    JobDiffers,
    JobEnded,
    JobLine,
    JobState,
    Progress,
    TooManyJobs,
    UnknownJob,
)
from headend.meters import TenantId
from headend.ports import Clock
from headend.races import lost_races_again
from headend.store import Store

# So many lines a commit: others write in between.
LOAD_BATCH = 250


class JobDesk:
    """Takes jobs, once per id."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def submit(self, job: Job, lines: Iterable[JobLine]) -> tuple[Job, bool]:
        """Keep a job and its lines, then let it work; whether it is new.

        The same again is a repeat, and finishes the loading that a crash cut short. Raises
        JobDiffers, TooManyJobs.
        """
        known, new = await self._opened(job)
        if known.state is not JobState.LOADING:
            return known, new
        left = iter(lines)
        while batch := list(islice(left, LOAD_BATCH)):
            async with self._store.begin() as tx:
                await tx.jobs.add_lines(batch)
        return await self._turn(job.tenant, job.id, JobState.LOADING, JobState.WORKING), new

    async def pause(self, tenant: TenantId, ident: str) -> Job:
        """Raises UnknownJob, JobEnded."""
        return await self._turn(tenant, ident, JobState.WORKING, JobState.PAUSED)

    async def resume(self, tenant: TenantId, ident: str) -> Job:
        """Raises UnknownJob, JobEnded."""
        return await self._turn(tenant, ident, JobState.PAUSED, JobState.WORKING)

    @lost_races_again
    async def cancel(self, tenant: TenantId, ident: str, *, by: str) -> Job:
        """What is not ordered yet never will be; what is ordered stays.

        `by` is who cancels it (`key:ID`, `person:ID`). Raises UnknownJob, JobEnded.
        """
        async with self._store.begin() as tx:
            job = await tx.jobs.find(tenant, ident)
            if job is None:
                raise UnknownJob(f"no job {ident}", field="id")
            if job.state in JOB_ENDS:
                if job.state is JobState.CANCELLED:
                    return job
                raise JobEnded(f"it is {job.state}", field="id")
            now = self._clock.now()
            return await end_job(
                tx, job, JobState.CANCELLED, by=by, now=now, detail=f"cancelled by {by}"
            )

    async def look(self, tenant: TenantId, ident: str) -> tuple[Job, Progress]:
        """A job and how far it is; raises UnknownJob."""
        async with self._store.look() as tx:
            job = await tx.jobs.find(tenant, ident)
            if job is None:
                raise UnknownJob(f"no job {ident}", field="id")
            return job, await tx.jobs.progress(tenant, ident)

    @lost_races_again
    async def _opened(self, job: Job) -> tuple[Job, bool]:
        async with self._store.begin() as tx:
            await tx.tenants.lock(job.tenant)
            known = await tx.jobs.find(job.tenant, job.id)
            if known is not None:
                if known.digest != job.digest:
                    raise JobDiffers(f"job {job.id} is known with another content", field="id")
                return known, False
            _require_room(await tx.jobs.open(job.tenant), job.ordered_by)
            await tx.jobs.add(job)
            await tx.audit.append(
                Entry(
                    tenant=job.tenant,
                    at=job.created_at,
                    by=f"key:{job.ordered_by}",
                    action=AuditAction.JOB_ORDERED,
                    subject=job.id,
                    about={"lines": str(job.size), "sha256": job.digest},
                )
            )
        return job, True

    @lost_races_again
    async def _turn(self, tenant: TenantId, ident: str, was: JobState, to: JobState) -> Job:
        """From one state to the other; one that is there already is left as it is."""
        async with self._store.begin() as tx:
            job = await tx.jobs.find(tenant, ident)
            if job is None:
                raise UnknownJob(f"no job {ident}", field="id")
            if job.state is not was:
                if job.state is to or was is JobState.LOADING:
                    return job
                raise JobEnded(f"it is {job.state}", field="id")
            turned = replace(job, state=to, changed_at=self._clock.now(), turn_at=None)
            await tx.jobs.save(turned, was=was)
        return turned


def _require_room(open_jobs: Mapping[str, int], key: str) -> None:
    """Raises TooManyJobs; `open_jobs` by the API key that ordered them."""
    what = None
    if open_jobs.get(key, 0) >= MAX_OPEN_OF_KEY:
        what = f"this API key has {MAX_OPEN_OF_KEY} jobs"
    elif sum(open_jobs.values()) >= MAX_OPEN:
        what = f"the utility has {MAX_OPEN} jobs"
    if what is not None:
        raise TooManyJobs(
            f"{what} that have not ended; wait until one has, or cancel one that is not wanted"
        )
