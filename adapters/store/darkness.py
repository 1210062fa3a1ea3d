"""Sales that are paid and not lit, in the database."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, case, func, select

from adapters.store.columns import literals
from adapters.store.cursors import Listing
from adapters.store.darkness_tables import PAID
from adapters.store.delivery_rows import delivery_of
from adapters.store.recharges import recharge_of
from adapters.store.statements import Statements
from adapters.store.tables import deliveries, recharges
from headend.darkness import Dark, Darkness, Facets, PaidSale
from headend.deliveries import Delivery, DeliveryState
from headend.meters import TenantId
from headend.pages import Cursor, Page
from headend.recharges import Recharge, RechargeState
from headend.supply import DarkCause

_r, _d = recharges.c, deliveries.c
_LISTING: Listing[Recharge] = Listing(
    table=recharges,
    columns=(_r.created_at, _r.id),
    kinds=(datetime, str),
    key=lambda recharge: (recharge.created_at, recharge.id),
    record=recharge_of,
)
_OURS = and_(_d.tenant == _r.tenant, _d.recharge_id == _r.id)
_HANDED = func.coalesce(_d.handed_at.is_not(None), False)  # an SQL value
_SENDING = case((_d.state.in_(literals([DeliveryState.SENDING])), 1), else_=0)
_TRIED = func.coalesce(_d.attempts - _SENDING > 0, False)  # an SQL value
_MAYBE = func.coalesce(_d.maybe_taken, False)  # an SQL value
_FACETS = (
    _r.tenant,
    _r.state,
    _r.dark_cause,
    _HANDED.label("handed"),
    _MAYBE.label("maybe"),
    _TRIED.label("tried"),
)
_COUNTS = (
    select(*_FACETS, func.count().label("sales"), func.min(_r.created_at).label("oldest"))
    .select_from(recharges.outerjoin(deliveries, _OURS))
    .where(PAID)
    .group_by(*_FACETS)
)


class SqlPaidSales:
    """Satisfies the paid sales of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def page(
        self, tenant: TenantId, cursor: Cursor, *, sgc: str | None = None
    ) -> Page[PaidSale]:
        where = [_r.tenant == tenant, PAID]
        if sgc is not None:
            where.append(_r.sgc == sgc)
        page = await _LISTING.page(self._run, cursor, *where)
        found = await self._deliveries(tenant, [recharge.id for recharge in page.items])
        return Page([PaidSale(one, found.get(one.id)) for one in page.items], page.next)

    async def _deliveries(self, tenant: TenantId, sales: Sequence[str]) -> dict[str, Delivery]:
        if not sales:
            return {}
        ours = select(deliveries).where(_d.tenant == tenant, _d.recharge_id.in_(sales))
        rows = await self._run.rows(ours, {})
        return {row.recharge_id: delivery_of(row) for row in rows}

    async def counts(self) -> Sequence[Dark]:
        found: dict[tuple[TenantId, Darkness], Dark] = {}
        for row in await self._run.rows(_COUNTS, {}):
            facets = Facets(
                state=RechargeState(row.state),
                dark_cause=None if row.dark_cause is None else DarkCause(row.dark_cause),
                handed=bool(row.handed),
                maybe_taken=bool(row.maybe),
                tried=bool(row.tried),
            )
            place = (row.tenant, facets.cause)
            dark = Dark(*place, row.sales, row.oldest)
            known = found.get(place)
            if known is not None:
                oldest = min(known.oldest, dark.oldest)
                dark = Dark(*place, known.count + dark.count, oldest)
            found[place] = dark
        return sorted(found.values(), key=lambda dark: (dark.tenant, dark.cause))
