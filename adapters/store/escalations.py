"""Escalations in the database."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select, update

from adapters.store.columns import MOMENT
from adapters.store.inserts import new_only
from adapters.store.restoration_tables import escalations
from adapters.store.statements import SqlRow, Statements
from adapters.store.usage_points import contacts_json, contacts_of
from headend.errors import Stale
from headend.escalations import Escalation
from headend.meters import TenantId
from headend.restoration import Threshold

_c = escalations.c
_RECHARGE = (_c.tenant == bindparam("tenant_"), _c.recharge_id == bindparam("recharge_"))
_ADD = new_only(escalations)
_SAVE = update(escalations).where(*_RECHARGE, _c.threshold == bindparam("threshold_"))
_OF = select(escalations).where(*_RECHARGE).order_by(_c.made_at, _c.threshold.desc())
_DUE = (
    select(escalations)
    .where(_c.not_before.is_not(None), _c.not_before <= bindparam("now", type_=MOMENT))
    .order_by(_c.not_before, _c.tenant, _c.recharge_id, _c.threshold)
    .limit(bindparam("limit_"))
)
_DUE_LOCKED = _DUE.with_for_update(skip_locked=True)


class SqlEscalations:
    """Satisfies the escalations of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, escalation: Escalation) -> None:
        columns = {
            "tenant": escalation.tenant,
            "recharge_id": escalation.recharge_id,
            "threshold": escalation.threshold,
            "contacts": contacts_json(escalation.contacts),
            "language": escalation.language,
            "made_at": escalation.made_at,
            **_changing(escalation),
        }
        if not await self._run.changed(_ADD[self._run.dialect], columns):
            raise Stale(f"escalation of recharge {escalation.recharge_id}")

    async def due(self, *, now: datetime, limit: int) -> Sequence[Escalation]:
        statement = _DUE_LOCKED if self._run.locks else _DUE
        rows = await self._run.rows(statement, {"now": now, "limit_": limit})
        return [_escalation_of(row) for row in rows]

    async def save(self, escalation: Escalation) -> None:
        key = {
            "tenant_": escalation.tenant,
            "recharge_": escalation.recharge_id,
            "threshold_": escalation.threshold,
        }
        await self._run.change(_SAVE, _changing(escalation) | key, what="escalation")

    async def of(self, tenant: TenantId, recharge_id: str) -> Sequence[Escalation]:
        rows = await self._run.rows(_OF, {"tenant_": tenant, "recharge_": recharge_id})
        return [_escalation_of(row) for row in rows]


def _changing(escalation: Escalation) -> dict[str, object]:
    return {
        "tries": escalation.tries,
        "not_before": escalation.not_before,
        "given_at": escalation.given_at,
    }


def _escalation_of(row: SqlRow) -> Escalation:
    return Escalation(
        tenant=row.tenant,
        recharge_id=row.recharge_id,
        threshold=Threshold(row.threshold),
        contacts=contacts_of(row.contacts),
        language=row.language,
        made_at=row.made_at,
        tries=row.tries,
        not_before=row.not_before,
        given_at=row.given_at,
    )
