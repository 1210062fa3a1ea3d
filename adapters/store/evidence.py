"""Evidence in the database. Whoever notes some holds the lock of its delivery."""

from collections.abc import Sequence

from sqlalchemy import bindparam, insert, select, update

from adapters.store.evidence_tables import evidence as table
from adapters.store.statements import SqlRow, Statements
from headend.evidence import KEPT, Evidence, EvidenceKind, Says
from headend.meters import TenantId
from headend.tokens import TokenOrigin, TokenResult

_ADD = insert(table).inline()
_OF = (
    select(table)
    .where(table.c.tenant == bindparam("tenant_"), table.c.delivery_id == bindparam("delivery"))
    .order_by(table.c.first_at, table.c.number)
    .limit(KEPT)
)
_AGAIN = update(table).where(table.c.number == bindparam("number_"))


class SqlEvidence:
    """Satisfies the evidence log of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def note(self, evidence: Evidence) -> bool:
        rows = await self._rows(evidence.delivery_id, evidence.tenant)
        for row in rows:
            known = _evidence_of(row)
            if known.same_as(evidence):
                columns = _columns(known.again(evidence))
                await self._run.changed(_AGAIN, columns | {"number_": row.number})
                return True
        if len(rows) >= KEPT:
            return False
        await self._run.changed(_ADD, _columns(evidence))
        return True

    async def of(self, delivery_id: str, tenant: TenantId) -> Sequence[Evidence]:
        return [_evidence_of(row) for row in await self._rows(delivery_id, tenant)]

    async def _rows(self, delivery_id: str, tenant: TenantId) -> Sequence[SqlRow]:
        return await self._run.rows(_OF, {"tenant_": tenant, "delivery": delivery_id})


def _evidence_of(row: SqlRow) -> Evidence:
    return Evidence(
        tenant=row.tenant,
        delivery_id=row.delivery_id,
        token_id=row.token_id,
        kind=EvidenceKind(row.kind),
        says=Says(row.says),
        by=row.by,
        stored=row.stored,
        result=None if row.result is None else TokenResult(row.result),
        origin=None if row.origin is None else TokenOrigin(row.origin),
        asked_at=row.asked_at,
        told_at=row.told_at,
        first_at=row.first_at,
        received_at=row.received_at,
        times=row.times,
        detail=row.detail,
    )


def _columns(evidence: Evidence) -> dict[str, object]:
    return {
        "tenant": evidence.tenant,
        "delivery_id": evidence.delivery_id,
        "token_id": evidence.token_id,
        "kind": evidence.kind,
        "says": evidence.says,
        "by": evidence.by,
        "stored": evidence.stored,
        "result": evidence.result,
        "origin": evidence.origin,
        "asked_at": evidence.asked_at,
        "told_at": evidence.told_at,
        "first_at": evidence.first_at,
        "received_at": evidence.received_at,
        "times": evidence.times,
        "detail": evidence.detail[:200],
    }
