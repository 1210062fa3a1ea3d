"""The desk of jobs: they are taken, paused, resumed and cancelled; the runner does the rest."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from headend.audit import AuditAction, Entry
from headend.jobs import (
    JOB_ENDS,
    Job,
    JobDiffers,
    JobEnded,
    JobLine,
    JobState,
    Progress,
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
        JobDiffers.
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
    async def cancel(self, tenant: TenantId, ident: str) -> Job:
        """What is not ordered yet never will be; what is ordered stays. Raises UnknownJob."""
        async with self._store.begin() as tx:
            job = await tx.jobs.find(tenant, ident)
            if job is None:
                raise UnknownJob(f"no job {ident}", field="id")
            if job.state in JOB_ENDS:
                if job.state is JobState.CANCELLED:
                    return job
                raise JobEnded(f"it is {job.state}", field="id")
            ended = replace(job, state=JobState.CANCELLED, changed_at=self._clock.now())
            await tx.jobs.save(ended, was=job.state)
        return ended

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
            known = await tx.jobs.find(job.tenant, job.id)
            if known is not None:
                if known.digest != job.digest:
                    raise JobDiffers(f"job {job.id} is known with another content", field="id")
                return known, False
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
            turned = replace(job, state=to, changed_at=self._clock.now())
            await tx.jobs.save(turned, was=was)
        return turned
