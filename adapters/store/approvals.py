"""Approvals in the database; what is read to be written is locked."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Integer, bindparam, select, update

from adapters.store.columns import MOMENT, literals
from adapters.store.commands import command_json, command_of
from adapters.store.cursors import Listing
from adapters.store.dangers import caps_json, caps_of
from adapters.store.harm_tables import approvals
from adapters.store.inserts import new_only
from adapters.store.statements import SqlRow, Statements
from headend.approvals import UNDECIDED, Approval, ApprovalState, ApprovalSubject
from headend.dangers import Danger
from headend.errors import Stale
from headend.meters import TenantId
from headend.pages import Cursor, Page

_c = approvals.c
_TENANT = _c.tenant == bindparam("tenant_")
_ID = (_TENANT, _c.id == bindparam("id_"))
_LIMIT = bindparam("limit_", type_=Integer())
_ADD = new_only(approvals)
_FIND = select(approvals).where(*_ID)
_OF = select(approvals).where(
    _TENANT, _c.subject == bindparam("subject_"), _c.order_id == bindparam("order_")
)
_SAVE = update(approvals).where(*_ID, _c.state == bindparam("was"))
_OPEN = select(approvals).where(_c.state.in_(literals(UNDECIDED)))
_APPROVED = (
    _OPEN.where(_c.state == ApprovalState.APPROVED.value, _c.subject == ApprovalSubject.ORDER.value)
    .order_by(_c.created_at)
    .limit(_LIMIT)
)
_LAPSED = (
    _OPEN.where(_c.expires_at <= bindparam("now", type_=MOMENT))
    .order_by(_c.created_at)
    .limit(_LIMIT)
)


class SqlApprovals:
    """Satisfies the approvals of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, approval: Approval) -> None:
        columns = _columns(approval)
        if not await self._run.changed(_ADD[self._run.dialect], columns):
            raise Stale(f"approval of {approval.order_id}")

    async def find(self, tenant: TenantId, ident: str) -> Approval | None:
        statement = _FIND.with_for_update() if self._run.locks else _FIND
        row = await self._run.row(statement, {"tenant_": tenant, "id_": ident})
        return None if row is None else _approval_of(row)

    async def of(
        self, tenant: TenantId, subject: ApprovalSubject, order_id: str
    ) -> Approval | None:
        statement = _OF.with_for_update() if self._run.locks else _OF
        given = {"tenant_": tenant, "subject_": subject, "order_": order_id}
        row = await self._run.row(statement, given)
        return None if row is None else _approval_of(row)

    async def save(self, approval: Approval, *, was: ApprovalState) -> None:
        keys = {"tenant_": approval.tenant, "id_": approval.id, "was": was}
        what = f"approval {approval.id}"
        await self._run.change(_SAVE, _columns(approval) | keys, what=what)

    async def page(
        self, tenant: TenantId, cursor: Cursor, *, state: ApprovalState | None = None
    ) -> Page[Approval]:
        where: list[ColumnElement[bool]] = [_c.tenant == tenant]
        if state is not None:
            where.append(_c.state == state.value)
        return await _LISTING.page(self._run, cursor, *where)

    async def approved(self, *, limit: int) -> Sequence[Approval]:
        return [_approval_of(row) for row in await self._run.rows(_APPROVED, {"limit_": limit})]

    async def lapsed(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        rows = await self._run.rows(_LAPSED, {"now": now, "limit_": limit})
        return [_approval_of(row) for row in rows]


def _columns(approval: Approval) -> dict[str, object]:
    return {
        "id": approval.id,
        "tenant": approval.tenant,
        "subject": approval.subject,
        "order_id": approval.order_id,
        "danger": approval.danger,
        "sgc": approval.sgc,
        "drn": approval.drn,
        "command": None if approval.command is None else command_json(approval.command),
        "three_kct": approval.three_kct,
        "caps": None if approval.caps is None else caps_json(approval.caps),
        "ordered_by": approval.ordered_by,
        "requesters": sorted(approval.requesters),
        "reason": approval.reason,
        "state": approval.state,
        "created_at": approval.created_at,
        "expires_at": approval.expires_at,
        "decided_by": approval.decided_by,
        "decided_at": approval.decided_at,
        "detail": approval.detail,
    }


def _approval_of(row: SqlRow) -> Approval:
    return Approval(
        id=row.id,
        tenant=row.tenant,
        subject=ApprovalSubject(row.subject),
        order_id=row.order_id,
        danger=Danger(row.danger),
        sgc=row.sgc,
        drn=row.drn,
        command=None if row.command is None else command_of(row.command),
        three_kct=row.three_kct,
        caps=None if row.caps is None else caps_of(row.caps),
        ordered_by=row.ordered_by,
        requesters=frozenset(row.requesters),
        reason=row.reason,
        state=ApprovalState(row.state),
        created_at=row.created_at,
        expires_at=row.expires_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        detail=row.detail,
    )


_LISTING = Listing(
    table=approvals,
    columns=(_c.created_at, _c.id),
    kinds=(datetime, str),
    key=lambda approval: (approval.created_at, approval.id),
    record=_approval_of,
    newest_first=True,
)
