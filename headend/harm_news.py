"""What the back-office is told of approvals, holds and jobs. Pure; nothing here knows names."""

from datetime import datetime

from headend.announcing import moment_json
from headend.approvals import Approval, ApprovalState
from headend.holds import Hold
from headend.jobs import Job, LineState, Progress
from headend.occurrences import Occurrence
from headend.outbox import Announcement


def approval_news(approval: Approval, *, now: datetime) -> Announcement:
    """It waits, or what was decided and came of it."""
    waits = approval.state is ApprovalState.WAITING
    return Announcement(
        tenant=approval.tenant,
        drn=approval.drn,
        occurrence=Occurrence.APPROVAL_WAITING if waits else Occurrence.APPROVAL_DECIDED,
        at=now,
        data={
            "approval": approval.id,
            "subject": approval.subject.value,
            "order": approval.order_id,
            "kind": approval.danger.value,
            "reason": approval.reason,
            "state": approval.state.value,
            "expires_at": moment_json(approval.expires_at),
            "decided_by": approval.decided_by,
        },
    )


def hold_news(hold: Hold, *, now: datetime) -> Announcement:
    """It began, or was lifted."""
    lifted = hold.lifted_at is not None
    return Announcement(
        tenant=hold.tenant,
        drn=None,
        occurrence=Occurrence.HOLD_LIFTED if lifted else Occurrence.HOLD_BEGUN,
        at=now,
        data={
            "hold": hold.id,
            "kind": hold.danger.value,
            "sgc": hold.sgc,
            "reason": hold.reason,
            "since": moment_json(hold.since),
            "lifted_by": hold.lifted_by,
        },
    )


def job_news(job: Job, progress: Progress, *, now: datetime) -> Announcement:
    """A job has ended; what was ordered is told on its own."""
    return Announcement(
        tenant=job.tenant,
        drn=None,
        occurrence=Occurrence.JOB_ENDED,
        at=now,
        data={
            "job": job.id,
            "state": job.state.value,
            "lines": job.size,
            "ordered": progress.lines.get(LineState.ORDERED, 0),
            "failed": progress.failed,
        },
    )
