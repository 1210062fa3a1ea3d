"""Postings as rows."""

from adapters.store.statements import Parameters, SqlRow
from headend.meters import Drn
from headend.webhooks import Posting, PostingState


def posting_columns(posting: Posting) -> Parameters:
    return {
        "webhook_id": posting.webhook_id,
        "cursor": posting.cursor,
        "tenant": posting.tenant,
        "drn": posting.drn or "",
        "state": posting.state,
        "attempts": posting.attempts,
        "not_before": posting.not_before,
        "give_up_at": posting.give_up_at,
        "status": posting.status,
        "detail": posting.detail,
        "lease_id": posting.lease_id,
        "lease_until": posting.lease_until,
        "ended_at": posting.ended_at,
    }


def posting_of(row: SqlRow) -> Posting:
    return Posting(
        webhook_id=row.webhook_id,
        cursor=row.cursor,
        tenant=row.tenant,
        drn=Drn(row.drn) if row.drn else None,
        state=PostingState(row.state),
        attempts=row.attempts,
        not_before=row.not_before,
        give_up_at=row.give_up_at,
        status=row.status,
        detail=row.detail,
        lease_id=row.lease_id,
        lease_until=row.lease_until,
        ended_at=row.ended_at,
    )
