"""Attempts in the database."""

from collections.abc import Sequence

from sqlalchemy import bindparam, insert, select

from adapters.store.statements import SqlRow, Statements
from adapters.store.tables import attempts
from headend.attempts import Attempt
from headend.deliveries import DeliveryMethod, Fact
from headend.meters import TenantId
from headend.tokens import TokenResult

LIMIT = 200

_ADD = insert(attempts).inline()
_OF = (
    select(attempts)
    .where(
        attempts.c.tenant == bindparam("tenant_"),
        attempts.c.delivery_id == bindparam("delivery"),
    )
    .order_by(attempts.c.started_at.desc(), attempts.c.number.desc())
    .limit(LIMIT)
)


class SqlAttempts:
    """Satisfies the attempts of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, attempt: Attempt) -> None:
        columns = {
            "tenant": attempt.tenant,
            "delivery_id": attempt.delivery_id,
            "method": attempt.method,
            "started_at": attempt.started_at,
            "ended_at": attempt.ended_at,
            "outcome": attempt.outcome,
            "result": attempt.result,
            "detail": attempt.detail,
            "log_absent": attempt.log_absent,
        }
        await self._run.changed(_ADD, columns)

    async def of(self, delivery_id: str, tenant: TenantId) -> Sequence[Attempt]:
        rows = await self._run.rows(_OF, {"tenant_": tenant, "delivery": delivery_id})
        return [_attempt_of(row) for row in reversed(rows)]


def _attempt_of(row: SqlRow) -> Attempt:
    return Attempt(
        tenant=row.tenant,
        delivery_id=row.delivery_id,
        method=DeliveryMethod(row.method),
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=Fact(row.outcome),
        result=None if row.result is None else TokenResult(row.result),
        detail=row.detail,
        log_absent=bool(row.log_absent),
    )
