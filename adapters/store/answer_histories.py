"""What meters answer, in the database: one row a meter."""

from sqlalchemy import bindparam, select

from adapters.store.inserts import upsert
from adapters.store.restoration_tables import answer_histories
from adapters.store.statements import Statements
from headend.answering import AnswerHistory
from headend.meters import Drn, TenantId

# Counts fade; more places would be stored than matter.
PLACES = 4
_CHANGING = ("tried", "answered", "silent_run", "silent_at", "changed_at")

_c = answer_histories.c
_FIND = select(answer_histories).where(
    _c.tenant == bindparam("tenant_"), _c.drn == bindparam("drn_")
)
_PUT = upsert(answer_histories, lambda new: {name: new[name] for name in _CHANGING})


class SqlAnswerHistories:
    """Satisfies the answer histories of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def find(self, tenant: TenantId, drn: Drn) -> AnswerHistory | None:
        row = await self._run.row(_FIND, {"tenant_": tenant, "drn_": drn})
        if row is None:
            return None
        return AnswerHistory(
            tenant=row.tenant,
            drn=row.drn,
            tried=tuple(float(count) for count in row.tried),
            answered=tuple(float(count) for count in row.answered),
            silent_run=row.silent_run,
            silent_at=row.silent_at,
            changed_at=row.changed_at,
        )

    async def put(self, history: AnswerHistory) -> None:
        columns = {
            "tenant": history.tenant,
            "drn": history.drn,
            "tried": [round(count, PLACES) for count in history.tried],
            "answered": [round(count, PLACES) for count in history.answered],
            "silent_run": history.silent_run,
            "silent_at": history.silent_at,
            "changed_at": history.changed_at,
        }
        await self._run.changed(_PUT[self._run.dialect], columns)
