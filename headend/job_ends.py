"""How a job ends: its state, the word of it, its approval and the audit, all in one commit."""

from dataclasses import replace
from datetime import datetime

from headend.approvals import UNDECIDED, ApprovalState, ApprovalSubject
from headend.audit import AuditAction, Entry
from headend.harm_news import approval_news, job_news
from headend.jobs import Job, JobState, LineState, Progress
from headend.outbox import announce
from headend.store import Transaction


async def end_job(
    tx: Transaction,
    job: Job,
    state: JobState,
    *,
    by: str,
    now: datetime,
    detail: str = "",
) -> Job:
    """The job as it ended, written down; `by` is who ended it. Raises Stale."""
    ended = replace(job, state=state, detail=detail, changed_at=now)
    await tx.jobs.save(ended, was=job.state)
    progress = await tx.jobs.progress(job.tenant, job.id)
    await announce(tx, job_news(ended, progress, now=now))
    await _close_approval(tx, ended, by=by, now=now)
    if state is JobState.CANCELLED:
        await _note_cancelled(tx, ended, progress, by=by, now=now)
    return ended


async def _close_approval(tx: Transaction, job: Job, *, by: str, now: datetime) -> None:
    """One that was used is carried out; nobody is asked any more for one that was not."""
    approval = await tx.approvals.of(job.tenant, ApprovalSubject.JOB, job.id)
    if approval is None or approval.state not in UNDECIDED:
        return
    if approval.state is ApprovalState.APPROVED and job.state is not JobState.CANCELLED:
        used = replace(approval, state=ApprovalState.CARRIED_OUT)
        await tx.approvals.save(used, was=approval.state)
        return
    closed = replace(approval, state=ApprovalState.WITHDRAWN, detail=f"the job is {job.state}")
    await tx.approvals.save(closed, was=approval.state)
    await announce(tx, approval_news(closed, now=now))
    await tx.audit.append(
        Entry(
            tenant=job.tenant,
            at=now,
            by=by,
            action=AuditAction.APPROVAL_WITHDRAWN,
            subject=approval.id,
            result=closed.detail,
            about={"danger": approval.danger.value, "order": job.id},
        )
    )


async def _note_cancelled(
    tx: Transaction, job: Job, progress: Progress, *, by: str, now: datetime
) -> None:
    ordered = progress.lines.get(LineState.ORDERED, 0)
    about = {
        "lines": str(job.size),
        "ordered": str(ordered),
        "failed": str(progress.failed),
    }
    if job.requesters:
        about["for"] = " ".join(sorted(job.requesters))
    await tx.audit.append(
        Entry(
            tenant=job.tenant,
            at=now,
            by=by,
            action=AuditAction.JOB_CANCELLED,
            subject=job.id,
            result=job.detail,
            about=about,
        )
    )
