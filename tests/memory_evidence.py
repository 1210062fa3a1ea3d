"""Evidence, the work list and what is paid but dark, in the memory store."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from adapters.store.cursors import read_cursor, write_cursor
from headend.darkness import Dark, Darkness, PaidSale
from headend.deliveries import CLOSED_BY, Delivery, DeliveryState
from headend.evidence import KEPT, Evidence, Says
from headend.meters import TenantId
from headend.pages import Cursor, Page
from headend.recharges import Recharge, RechargeState
from tests.memory_tables import Table, View


def evidence_table() -> Table[int, tuple[int, Evidence]]:
    return Table(
        delivery=lambda row: (
            (row[1].tenant, row[1].delivery_id),
            (row[1].first_at, row[0]),
        )
    )


class MemoryEvidence:
    def __init__(self, view: View[int, tuple[int, Evidence]]) -> None:
        self._view = view

    async def note(self, evidence: Evidence) -> bool:
        rows = self._rows(evidence.delivery_id, evidence.tenant)
        for number, known in rows:
            if known.same_as(evidence):
                self._view.put(number, (number, known.again(evidence)))
                return True
        if len(rows) >= KEPT:
            return False
        number = self._view.next_number()
        self._view.put(number, (number, evidence))
        return True

    async def of(self, delivery_id: str, tenant: TenantId) -> Sequence[Evidence]:
        return [one for _, one in self._rows(delivery_id, tenant)]

    def _rows(self, delivery_id: str, tenant: TenantId) -> list[tuple[int, Evidence]]:
        return list(islice(self._view.walk("delivery", (tenant, delivery_id)), KEPT))


class MemoryWorkList:
    def __init__(
        self,
        deliveries: View[Any, Delivery],
        recharges: View[Any, Recharge],
        evidence: MemoryEvidence,
    ) -> None:
        self._deliveries, self._recharges, self._evidence = deliveries, recharges, evidence

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[Delivery]:
        kinds = (datetime, str)
        beyond = None if cursor.after is None else read_cursor(cursor.after, kinds)
        every = self._deliveries.walk("made", tenant, beyond=beyond)
        found: list[Delivery] = []
        for delivery in every:
            said = {one.says for one in await self._evidence.of(delivery.id, tenant)}
            if self._waits(delivery) and Says.BOOKED not in said:
                found.append(delivery)
        items = found[: cursor.limit]
        last = (items[-1].created_at, items[-1].id) if items else None
        more = last is not None and len(found) > cursor.limit
        return Page(items, write_cursor(last) if more and last else None)

    def _waits(self, delivery: Delivery) -> bool:
        sale = self._recharges.get((delivery.tenant, delivery.recharge_id))
        state = sale.state if sale else None
        match delivery.state:
            case DeliveryState.UNRESOLVED:
                undone = (RechargeState.REVERSED, RechargeState.REPLACED)
                return state not in undone and delivery.stopped_by not in CLOSED_BY
            case DeliveryState.FAILED:
                return state is RechargeState.FAILED
            case DeliveryState.DONE:
                return state is RechargeState.REVERSED
            case _:
                return False


class MemoryPaidSales:
    def __init__(self, recharges: View[Any, Recharge], deliveries: View[Any, Delivery]) -> None:
        self._recharges, self._deliveries = recharges, deliveries

    async def page(
        self, tenant: TenantId, cursor: Cursor, *, sgc: str | None = None
    ) -> Page[PaidSale]:
        kinds = (datetime, str)
        beyond = None if cursor.after is None else read_cursor(cursor.after, kinds)
        every = self._recharges.walk("paid", tenant, beyond=beyond)
        wanted = (one for one in every if sgc is None or one.sts.sgc == sgc)
        found = list(islice(wanted, cursor.limit + 1))
        items = found[: cursor.limit]
        last = write_cursor((items[-1].created_at, items[-1].id)) if items else None
        return Page([self._sale(one) for one in items], last if len(found) > cursor.limit else None)

    async def counts(self) -> Sequence[Dark]:
        found: dict[tuple[TenantId, Darkness], list[datetime]] = {}
        for recharge in self._recharges.walk("paid_all", None):
            cause = self._sale(recharge).cause
            found.setdefault((recharge.tenant, cause), []).append(recharge.created_at)
        return [
            Dark(tenant, cause, len(moments), min(moments))
            for (tenant, cause), moments in sorted(found.items())
        ]

    def _sale(self, recharge: Recharge) -> PaidSale:
        delivery = self._deliveries.first("recharge", (recharge.tenant, recharge.id))
        return PaidSale(recharge, delivery)
