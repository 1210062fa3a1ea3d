"""Recharges in the database."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, and_, bindparam, not_, or_, select, update

from adapters.store.columns import MOMENT, literals
from adapters.store.cursors import Listing
from adapters.store.inserts import new_only
from adapters.store.meters import sts_columns, sts_of
from adapters.store.orders import counted_in, order_json, order_of, unit_and_currency
from adapters.store.statements import SqlRow, Statements
from adapters.store.tables import deliveries, recharges
from headend.deliveries import CLOSED_BY
from headend.errors import Stale
from headend.meters import Drn, TenantId
from headend.pages import Cursor, Page
from headend.quantities import Amount
from headend.recharges import UNDER_WAY_STATES, UNLIT_STATES, Recharge, RechargeState
from headend.store import RechargeFilter
from headend.supply import DarkCause, SupplyProof, SupplyState
from headend.supply_groups import Reveal

UNLIT_LIMIT = 20
_LONG_AGO = datetime(1993, 1, 1, tzinfo=UTC)  # before any token

_c = recharges.c
_KEY = (_c.tenant == bindparam("tenant_"), _c.id == bindparam("id_"))
_METER = (_c.tenant == bindparam("tenant_"), _c.drn == bindparam("drn_"))
_ADD = new_only(recharges)
_FIND = select(recharges).where(*_KEY)
_FIND_LOCKED = _FIND.with_for_update()
_FIND_BY_KEY = select(recharges).where(
    _c.tenant == bindparam("tenant_"), _c.idempotency_key == bindparam("key")
)
_SAVE = update(recharges).where(*_KEY, _c.state == bindparam("was"))
_OPEN = (
    select(recharges)
    .where(_c.state.in_(literals([RechargeState.OPEN])), _c.created_at < bindparam("before"))
    .where(_c.created_at >= bindparam("since"))
    .order_by(_c.created_at, _c.tenant, _c.id)
    .limit(bindparam("limit_"))
)
_UNLIT = (
    select(recharges)
    .where(*_METER, _c.state.in_(literals(UNLIT_STATES)))
    .order_by(_c.created_at.desc(), _c.id.desc())
    .limit(UNLIT_LIMIT)
)
_d = deliveries.c
_SINCE = bindparam("since", type_=MOMENT)
_CLOSED = _d.stopped_by.in_(literals(CLOSED_BY))
_PAID_SINCE = (
    select(_c.id)
    .outerjoin(deliveries, and_(_d.tenant == _c.tenant, _d.recharge_id == _c.id))
    .where(*_METER)
    .where(
        or_(
            _c.issued_at >= _SINCE,
            _d.confirmed_at >= _SINCE,
            _c.state.in_(literals(UNDER_WAY_STATES)) & or_(_d.stopped_by.is_(None), not_(_CLOSED)),
        )
    )
    .limit(1)
)
_UNDONE = (RechargeState.FAILED, RechargeState.REVERSED, RechargeState.REPLACED)
_BOUGHT_SINCE = select(_c.requested).where(
    *_METER,
    _c.created_at >= bindparam("since"),
    _c.requested.is_not(None),
    _c.state.not_in(literals(_UNDONE)),
)


class SqlRecharges:
    """Satisfies the recharges of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, recharge: Recharge) -> None:
        columns = _born(recharge) | _changing(recharge)
        if not await self._run.changed(_ADD[self._run.dialect], columns):
            raise Stale(f"recharge {recharge.id}")

    async def find(self, tenant: TenantId, ident: str) -> Recharge | None:
        """One that is OPEN is locked in a transaction that writes: only one may issue it.

        Later its delivery is what writers lock, so that all lock in one order.
        """
        keys = {"tenant_": tenant, "id_": ident}
        row = await self._run.row(_FIND, keys)
        if row is not None and self._run.locks and row.state == RechargeState.OPEN:
            row = await self._run.row(_FIND_LOCKED, keys)
        return None if row is None else recharge_of(row)

    async def find_by_key(self, tenant: TenantId, idempotency_key: str) -> Recharge | None:
        row = await self._run.row(_FIND_BY_KEY, {"tenant_": tenant, "key": idempotency_key})
        return None if row is None else recharge_of(row)

    async def save(self, recharge: Recharge, *, was: RechargeState) -> None:
        """The order and what else a recharge was born with never change and are left alone."""
        keys = {"tenant_": recharge.tenant, "id_": recharge.id, "was": was}
        await self._run.change(_SAVE, _changing(recharge) | keys, what=f"recharge {recharge.id}")

    async def page(self, tenant: TenantId, cursor: Cursor, where: RechargeFilter) -> Page[Recharge]:
        return await _LISTING.page(self._run, cursor, *_conditions(tenant, where))

    async def open(
        self, *, since: datetime | None = None, before: datetime, limit: int
    ) -> Sequence[Recharge]:
        bounds = {"since": since or _LONG_AGO, "before": before, "limit_": limit}
        rows = await self._run.rows(_OPEN, bounds)
        return [recharge_of(row) for row in rows]

    async def unlit(self, tenant: TenantId, drn: Drn) -> Sequence[Recharge]:
        rows = await self._run.rows(_UNLIT, {"tenant_": tenant, "drn_": drn})
        return [recharge_of(row) for row in rows]

    async def paid_since(self, tenant: TenantId, drn: Drn, since: datetime) -> bool:
        keys = {"tenant_": tenant, "drn_": drn, "since": since}
        return await self._run.row(_PAID_SINCE, keys) is not None

    async def bought_since(self, tenant: TenantId, drn: Drn, since: datetime) -> Decimal:
        """Added up here: SQLite would add up binary fractions."""
        keys = {"tenant_": tenant, "drn_": drn, "since": since}
        rows = await self._run.rows(_BOUGHT_SINCE, keys)
        return sum((row.requested for row in rows), Decimal(0))


def _conditions(tenant: TenantId, where: RechargeFilter) -> list[ColumnElement[bool]]:
    conditions = [_c.tenant == tenant]
    if where.drn is not None:
        conditions.append(_c.drn == where.drn)
    if where.state is not None:
        conditions.append(_c.state == where.state)
    if where.reference is not None:
        conditions.append(_c.reference == where.reference)
    if where.since is not None:
        conditions.append(_c.created_at >= where.since)
    if where.until is not None:
        conditions.append(_c.created_at < where.until)
    return conditions


def recharge_of(row: SqlRow) -> Recharge:
    return Recharge(
        id=row.id,
        tenant=row.tenant,
        drn=row.drn,
        order=order_of(row.order, row.tenant),
        state=RechargeState(row.state),
        sts=sts_of(row),
        requested=_amount_of(row, row.requested),
        encoded=_amount_of(row, row.encoded),
        taken=_amount_of(row, row.taken),
        tid=row.tid,
        rnd=row.rnd,
        reveal=Reveal(row.reveal),
        supply=SupplyState(row.supply),
        dark_cause=None if row.dark_cause is None else DarkCause(row.dark_cause),
        supply_at=row.supply_at,
        supply_proof=None if row.supply_proof is None else SupplyProof(row.supply_proof),
        missing_milli=row.missing_milli,
        debt_milli=row.debt_milli,
        created_at=row.created_at,
        issued_at=row.issued_at,
        replaces=row.replaces,
        replaced_by=row.replaced_by,
        reversed_at=row.reversed_at,
        reversal_reason=row.reversal_reason,
        changed_at=row.changed_at,
    )


def _amount_of(row: SqlRow, value: Decimal | None) -> Amount | None:
    return None if value is None else counted_in(value, row.unit, row.currency)


def _born(recharge: Recharge) -> dict[str, object]:
    return {
        "tenant": recharge.tenant,
        "id": recharge.id,
        "idempotency_key": recharge.order.idempotency_key,
        "drn": recharge.drn,
        "order": order_json(recharge.order),
        "reference": recharge.order.reference,
        "created_at": recharge.created_at,
        "replaces": recharge.replaces,
    }


def _changing(recharge: Recharge) -> dict[str, object]:
    amounts = (recharge.requested, recharge.encoded, recharge.taken)
    measures = {unit_and_currency(amount) for amount in amounts if amount is not None}
    assert len(measures) <= 1, "one recharge, one unit or currency"
    unit, currency = next(iter(measures), (None, None))
    requested, encoded, taken = (None if amount is None else amount.value for amount in amounts)
    return {
        "state": recharge.state,
        "unit": unit,
        "currency": currency,
        "requested": requested,
        "encoded": encoded,
        "taken": taken,
        "tid": recharge.tid,
        "rnd": recharge.rnd,
        "reveal": recharge.reveal,
        "supply": recharge.supply,
        "dark_cause": recharge.dark_cause,
        "supply_at": recharge.supply_at,
        "supply_proof": recharge.supply_proof,
        "missing_milli": recharge.missing_milli,
        "debt_milli": recharge.debt_milli,
        "issued_at": recharge.issued_at,
        "replaced_by": recharge.replaced_by,
        "reversed_at": recharge.reversed_at,
        "reversal_reason": recharge.reversal_reason,
        "changed_at": recharge.changed_at,
        **sts_columns(recharge.sts),
    }


_LISTING = Listing(
    table=recharges,
    columns=(_c.created_at, _c.id),
    kinds=(datetime, str),
    key=lambda recharge: (recharge.created_at, recharge.id),
    record=recharge_of,
    newest_first=True,
)
