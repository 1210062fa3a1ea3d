"""What bounds harm, in memory: the same contract as the databases."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from adapters.store.cursors import read_cursor, write_cursor
from headend.approvals import UNDECIDED, Approval, ApprovalState, ApprovalSubject
from headend.audit import AuditAction, AuditRecord, Entry, Head, chained
from headend.dangers import (
    DAY,
    ENDED_STATES,
    FAILED_STATES,
    HOUR,
    CapRule,
    Danger,
    DangerousOrder,
    Share,
    Tally,
)
from headend.deliveries import CLOSED_BY, Delivery, DeliveryState
from headend.errors import Stale
from headend.holds import Hold
from headend.meters import TenantId
from headend.opening_hours import OpeningHours
from headend.pages import Cursor, Page
from headend.people import Person, same_name
from tests.memory_tables import Table, View


def harm_tables() -> dict[str, Table[Any, Any]]:
    def if_undecided(one: Approval) -> Any:
        place = (one.created_at, one.tenant, one.id)
        return (None, place) if one.state in UNDECIDED else None

    return {
        "people": Table(
            tenant=lambda one: (one.tenant, (one.created_at, one.id)),
            name=lambda one: ((one.tenant, same_name(one.name)), (one.id,)),
        ),
        "audit": Table(all=lambda one: (one.entry.tenant, (one.number,))),
        "caps": Table(all=lambda one: (one.tenant, (one.danger.value, one.sgc or ""))),
        "dangers": Table(
            kind=lambda one: ((one.tenant, one.danger), (one.admitted_at, one.id)),
            open=lambda one: (
                (None, (one.admitted_at, one.tenant, one.id)) if one.result is None else None
            ),
        ),
        "approvals": Table(
            all=lambda one: (one.tenant, (one.created_at, one.id)),
            order=lambda one: ((one.tenant, one.subject, one.order_id), (one.id,)),
            undecided=if_undecided,
        ),
        "holds": Table(
            all=lambda one: (one.tenant, (one.since, one.id)),
            kind=lambda one: ((one.tenant, one.danger, one.sgc), (one.since, one.id)),
        ),
        "opening_hours": Table(),
    }


class MemoryPeople:
    def __init__(self, view: View[str, Person]) -> None:
        self._view = view

    async def add(self, person: Person) -> None:
        named = self._view.first("name", (person.tenant, same_name(person.name)))
        if named is not None or self._view.get(person.id) is not None:
            raise Stale(f"person {person.name}")
        self._view.put(person.id, person)

    async def find(self, ident: str) -> Person | None:
        return self._view.get(ident)

    async def all(self, tenant: TenantId) -> Sequence[Person]:
        return list(self._view.walk("tenant", tenant))

    async def renew(self, ident: str, sha256: bytes, now: datetime) -> bool:
        person = self._view.get(ident)
        if person is None:
            return False
        self._view.put(ident, replace(person, sha256=sha256, renewed_at=now, revoked_at=None))
        return True

    async def revoke(self, ident: str, now: datetime) -> bool:
        person = self._view.get(ident)
        if person is None or person.revoked_at is not None:
            return False
        self._view.put(ident, replace(person, revoked_at=now))
        return True


class MemoryAudit:
    def __init__(self, view: View[tuple[TenantId, int], AuditRecord]) -> None:
        self._view = view

    async def append(self, entry: Entry) -> AuditRecord:
        record = chained(entry, await self.head(entry.tenant))
        self._view.put((entry.tenant, record.number), record)
        return record

    async def head(self, tenant: TenantId) -> Head:
        last = next(self._view.walk("all", tenant, newest_first=True), None)
        return Head() if last is None else Head(last.number, last.hash)

    async def following(
        self, tenant: TenantId, number: int, *, limit: int
    ) -> Sequence[AuditRecord]:
        return list(islice(self._view.walk("all", tenant, beyond=(number,)), limit))

    async def page(
        self, tenant: TenantId, cursor: Cursor, *, action: AuditAction | None = None
    ) -> Page[AuditRecord]:
        beyond = None if cursor.after is None else read_cursor(cursor.after, (int,))
        rows = self._view.walk("all", tenant, newest_first=True, beyond=beyond)
        wanted = (one for one in rows if action in (None, one.entry.action))
        return _page(wanted, cursor, lambda one: (one.number,))


class MemoryCapRules:
    def __init__(self, view: View[tuple[TenantId, str | None, Danger], CapRule]) -> None:
        self._view = view

    async def find(self, tenant: TenantId, sgc: str | None, danger: Danger) -> CapRule | None:
        return self._view.get((tenant, sgc, danger))

    async def put(self, rule: CapRule, *, was: int | None) -> None:
        key = (rule.tenant, rule.sgc, rule.danger)
        known = self._view.get(key)
        if (None if known is None else known.version) != was:
            raise Stale(f"caps of {rule.danger}")
        self._view.put(key, rule)

    async def all(self, tenant: TenantId) -> Sequence[CapRule]:
        return list(self._view.walk("all", tenant))


class MemoryDangerousOrders:
    def __init__(
        self,
        view: View[tuple[TenantId, str], DangerousOrder],
        deliveries: View[tuple[TenantId, str], Delivery],
    ) -> None:
        self._view, self._deliveries = view, deliveries

    async def lock(self, tenant: TenantId, danger: Danger) -> None:
        """There is one writer at a time."""

    async def find(self, tenant: TenantId, ident: str) -> DangerousOrder | None:
        return self._view.get((tenant, ident))

    async def add(self, order: DangerousOrder) -> None:
        if self._view.get((order.tenant, order.id)) is not None:
            raise Stale(f"dangerous order {order.id}")
        self._view.put((order.tenant, order.id), order)

    async def tally(
        self, tenant: TenantId, danger: Danger, *, key: str, sgc: str, now: datetime
    ) -> Tally:
        rows = self._view.walk("kind", (tenant, danger))
        day = [one for one in rows if one.admitted_at > now - DAY]
        hour = [one for one in day if one.admitted_at > now - HOUR]
        return Tally(
            sum(one.ordered_by == key for one in hour),
            sum(one.ordered_by == key for one in day),
            sum(one.sgc == sgc for one in hour),
            sum(one.sgc == sgc for one in day),
        )

    async def ended(
        self, *, since: datetime, limit: int
    ) -> Sequence[tuple[DangerousOrder, DeliveryState]]:
        found = []
        for one in self._view.walk("open", None):
            delivery = self._deliveries.get((one.tenant, one.id))
            if one.admitted_at >= since and delivery and delivery.state in ENDED_STATES:
                found.append((one, delivery.state))
        return found[:limit]

    async def settle(self, order: DangerousOrder) -> None:
        known = self._view.get((order.tenant, order.id))
        if known is None or known.result is not None:
            raise Stale(f"dangerous order {order.id}")
        self._view.put((order.tenant, order.id), order)

    async def share(self, tenant: TenantId, danger: Danger, sgc: str, *, since: datetime) -> Share:
        counted = [
            one.result
            for one in self._view.walk("kind", (tenant, danger))
            if one.sgc == sgc and one.ended_at is not None and one.ended_at > since
            if not self._closed(one)
        ]
        ended = [result for result in counted if result is not DeliveryState.CANCELLED]
        return Share(len(ended), sum(result in FAILED_STATES for result in ended))

    def _closed(self, order: DangerousOrder) -> bool:
        delivery = self._deliveries.get((order.tenant, order.id))
        stopped_by = None if delivery is None else delivery.stopped_by
        return order.result is DeliveryState.UNRESOLVED and stopped_by in CLOSED_BY


class MemoryApprovals:
    def __init__(self, view: View[str, Approval]) -> None:
        self._view = view

    async def add(self, approval: Approval) -> None:
        if await self.of(approval.tenant, approval.subject, approval.order_id) is not None:
            raise Stale(f"approval of {approval.order_id}")
        self._view.put(approval.id, approval)

    async def find(self, tenant: TenantId, ident: str) -> Approval | None:
        found = self._view.get(ident)
        return found if found is not None and found.tenant == tenant else None

    async def of(
        self, tenant: TenantId, subject: ApprovalSubject, order_id: str
    ) -> Approval | None:
        return self._view.first("order", (tenant, subject, order_id))

    async def save(self, approval: Approval, *, was: ApprovalState) -> None:
        known = self._view.get(approval.id)
        if known is None or known.state is not was:
            raise Stale(f"approval {approval.id}")
        self._view.put(approval.id, approval)

    async def page(
        self, tenant: TenantId, cursor: Cursor, *, state: ApprovalState | None = None
    ) -> Page[Approval]:
        beyond = None if cursor.after is None else read_cursor(cursor.after, (datetime, str))
        rows = self._view.walk("all", tenant, newest_first=True, beyond=beyond)
        wanted = (one for one in rows if state in (None, one.state))
        return _page(wanted, cursor, lambda one: (one.created_at, one.id))

    async def approved(self, *, limit: int) -> Sequence[Approval]:
        rows = self._view.walk("undecided", None)
        approved = (
            one
            for one in rows
            if one.state is ApprovalState.APPROVED and one.subject is ApprovalSubject.ORDER
        )
        return list(islice(approved, limit))

    async def lapsed(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        rows = self._view.walk("undecided", None)
        return list(islice((one for one in rows if one.expires_at <= now), limit))


class MemoryHolds:
    def __init__(self, view: View[str, Hold]) -> None:
        self._view = view

    async def add(self, hold: Hold) -> bool:
        if await self.in_force(hold.tenant, hold.danger, hold.sgc) is not None:
            return False
        self._view.put(hold.id, hold)
        return True

    async def find(self, tenant: TenantId, ident: str) -> Hold | None:
        found = self._view.get(ident)
        return found if found is not None and found.tenant == tenant else None

    async def in_force(self, tenant: TenantId, danger: Danger, sgc: str) -> Hold | None:
        rows = self._view.walk("kind", (tenant, danger, sgc))
        return next((one for one in rows if one.lifted_at is None), None)

    async def last_lifted(self, tenant: TenantId, danger: Danger, sgc: str) -> datetime | None:
        rows = self._view.walk("kind", (tenant, danger, sgc))
        return max((one.lifted_at for one in rows if one.lifted_at is not None), default=None)

    async def lift(self, hold: Hold) -> bool:
        known = await self.find(hold.tenant, hold.id)
        if known is None or known.lifted_at is not None:
            return False
        self._view.put(hold.id, hold)
        return True

    async def all_in_force(self, tenant: TenantId) -> Sequence[Hold]:
        return [one for one in self._view.walk("all", tenant) if one.lifted_at is None]

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[Hold]:
        beyond = None if cursor.after is None else read_cursor(cursor.after, (datetime, str))
        rows = self._view.walk("all", tenant, newest_first=True, beyond=beyond)
        return _page(rows, cursor, lambda one: (one.since, one.id))


class MemoryOpeningHours:
    def __init__(self, view: View[tuple[TenantId, str], OpeningHours]) -> None:
        self._view = view

    async def find(self, tenant: TenantId, sgc: str) -> OpeningHours | None:
        return self._view.get((tenant, sgc))

    async def put(self, hours: OpeningHours, *, was: int | None) -> None:
        known = self._view.get((hours.tenant, hours.sgc))
        if (None if known is None else known.version) != was:
            raise Stale(f"opening hours of {hours.sgc}")
        self._view.put((hours.tenant, hours.sgc), hours)


def _page(rows: Any, cursor: Cursor, key: Any) -> Page[Any]:
    found = list(islice(rows, cursor.limit + 1))
    items = found[: cursor.limit]
    more = len(found) > cursor.limit
    return Page(items, write_cursor(key(items[-1])) if more else None)
