"""The work list in the database: a view of deliveries, their sales and what was booked."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, or_, select

from adapters.store.columns import literals
from adapters.store.cursors import Listing
from adapters.store.delivery_rows import delivery_of
from adapters.store.evidence_tables import evidence
from adapters.store.statements import Statements
from adapters.store.tables import deliveries, recharges
from headend.deliveries import CLOSED_BY, Delivery, DeliveryState
from headend.evidence import Says
from headend.meters import TenantId
from headend.pages import Cursor, Page
from headend.recharges import RechargeState

_c = deliveries.c
_LISTING = Listing(
    table=deliveries,
    columns=(_c.created_at, _c.id),
    kinds=(datetime, str),
    key=lambda delivery: (delivery.created_at, delivery.id),
    record=delivery_of,
)


def _of_sales(tenant: TenantId, *states: RechargeState) -> ColumnElement[bool]:
    sales = select(recharges.c.id).where(
        recharges.c.tenant == tenant, recharges.c.state.in_(literals(states))
    )
    return _c.recharge_id.in_(sales)


def _stands(state: DeliveryState) -> ColumnElement[bool]:
    return _c.state.in_(literals([state]))


def _waits(tenant: TenantId) -> ColumnElement[bool]:
    closed = _of_sales(tenant, RechargeState.REVERSED, RechargeState.REPLACED)
    return or_(
        and_(
            _stands(DeliveryState.UNRESOLVED),
            or_(_c.recharge_id.is_(None), ~closed),
            or_(_c.stopped_by.is_(None), _c.stopped_by.not_in(literals(CLOSED_BY))),
        ),
        and_(_stands(DeliveryState.FAILED), _of_sales(tenant, RechargeState.FAILED)),
        and_(_stands(DeliveryState.DONE), _of_sales(tenant, RechargeState.REVERSED)),
    )


_BOOKED = exists().where(
    evidence.c.tenant == _c.tenant,
    evidence.c.delivery_id == _c.id,
    evidence.c.says == Says.BOOKED,
)


class SqlWorkList:
    """Satisfies the work list of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[Delivery]:
        where = (_c.tenant == tenant, _waits(tenant), ~_BOOKED)
        return await _LISTING.page(self._run, cursor, *where)
