"""The store port in memory: the same contract as the databases (tests/adapters/store).

One writer at a time, as on SQLite; readers see what is committed. Rows are the records themselves.
"""

import asyncio
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from itertools import islice
from typing import Any, TypeVar

from adapters.store.cursors import read_cursor, write_cursor
from headend.api_keys import ApiKey
from headend.attempts import Attempt
from headend.commands import ChangeKey, Manage, SetSupply
from headend.darkness import PAID_STATES
from headend.deliveries import (
    CLOSED_BY,
    NEWEST_LIMIT,
    OPEN_STATES,
    Delivery,
    DeliveryMethod,
    DeliveryState,
    Fact,
)
from headend.errors import Stale
from headend.events import MeterEvent
from headend.meters import BusName, Drn, Meter, TenantId, UsagePointId
from headend.pages import Cursor, Page
from headend.polling import Poll
from headend.readings import Quality, Reading, ReadingType
from headend.recharges import UNDER_WAY_STATES, UNLIT_STATES, Recharge, RechargeState
from headend.refusals import MeterExists, TokenKnown
from headend.store import Leased, RechargeFilter
from headend.supply import SupplyAction
from headend.supply_groups import SupplyGroup
from headend.tokens import Token, TokenPurpose, TokenResult
from headend.usage_points import UsagePoint
from headend.vending_keys import SealedKey
from tests.memory_evidence import MemoryEvidence, MemoryPaidSales, MemoryWorkList, evidence_table
from tests.memory_harm import (
    MemoryApprovals,
    MemoryAudit,
    MemoryCapRules,
    MemoryDangerousOrders,
    MemoryHolds,
    MemoryOpeningHours,
    MemoryPeople,
    harm_tables,
)
from tests.memory_jobs import MemoryJobs, job_tables
from tests.memory_loans import MemoryLoans
from tests.memory_outbox import MemoryOutbox, MemoryPostings, MemoryWebhooks, outbox_tables
from tests.memory_restoration import (
    MemoryAnswerHistories,
    MemoryCompensations,
    MemoryEscalations,
    MemoryRestorationClocks,
    MemorySentMessages,
    restoration_tables,
)
from tests.memory_tables import Place, Table, View

R = TypeVar("R")
SENDABLE = OPEN_STATES - {DeliveryState.SENDING}
HANDS = frozenset({DeliveryMethod.LOCAL, DeliveryMethod.MANUAL})


class MemoryStore:
    """Keeps everything until it is dropped."""

    def __init__(self) -> None:
        self._tables = _tables()
        self._writing = asyncio.Lock()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["MemoryTransaction"]:
        async with self._writing:
            tx = MemoryTransaction(self._tables)
            yield tx
            tx.outbox.write_down()
            tx.write_down()

    @asynccontextmanager
    async def look(self) -> AsyncIterator["MemoryTransaction"]:
        yield MemoryTransaction(self._tables, reads_only=True)


class MemoryTransaction:
    """All collections, each with its view made when it is first asked for."""

    def __init__(self, tables: Mapping[str, Table[Any, Any]], *, reads_only: bool = False) -> None:
        self._tables = tables
        self._reads_only = reads_only
        self._views: list[View[Any, Any]] = []

    def write_down(self) -> None:
        for view in self._views:
            view.write_down()

    def _view(self, name: str) -> View[Any, Any]:
        view = View(self._tables[name], reads_only=self._reads_only)
        self._views.append(view)
        return view

    @cached_property
    def tenants(self) -> "MemoryTenants":
        return MemoryTenants(self._view("tenants"))

    @cached_property
    def meters(self) -> "MemoryMeters":
        return MemoryMeters(self._view("meters"))

    @cached_property
    def usage_points(self) -> "MemoryUsagePoints":
        return MemoryUsagePoints(self._view("usage_points"))

    @cached_property
    def supply_groups(self) -> "MemorySupplyGroups":
        return MemorySupplyGroups(self._view("supply_groups"))

    @cached_property
    def tids(self) -> "MemoryTids":
        return MemoryTids(self._view("tids"))

    @cached_property
    def recharges(self) -> "MemoryRecharges":
        return MemoryRecharges(self._view("recharges"), self.deliveries)

    @cached_property
    def tokens(self) -> "MemoryTokens":
        return MemoryTokens(self._view("tokens"))

    @cached_property
    def deliveries(self) -> "MemoryDeliveries":
        return MemoryDeliveries(self._view("deliveries"), self.meters, self.tokens)

    @cached_property
    def attempts(self) -> "MemoryAttempts":
        return MemoryAttempts(self._view("attempts"))

    @cached_property
    def evidence(self) -> MemoryEvidence:
        return MemoryEvidence(self._view("evidence"))

    @cached_property
    def paid_sales(self) -> MemoryPaidSales:
        return MemoryPaidSales(self._view("recharges"), self._view("deliveries"))

    @cached_property
    def worklist(self) -> MemoryWorkList:
        return MemoryWorkList(self._view("deliveries"), self._view("recharges"), self.evidence)

    @cached_property
    def readings(self) -> "MemoryReadings":
        return MemoryReadings(self._view("readings"))

    @cached_property
    def events(self) -> "MemoryEvents":
        return MemoryEvents(self._view("events"))

    @cached_property
    def polls(self) -> "MemoryPolls":
        return MemoryPolls(self._view("polls"), self.meters)

    @cached_property
    def api_keys(self) -> "MemoryApiKeys":
        return MemoryApiKeys(self._view("api_keys"))

    @cached_property
    def restoration_clocks(self) -> "MemoryRestorationClocks":
        return MemoryRestorationClocks(self._view("restoration_clocks"))

    @cached_property
    def escalations(self) -> "MemoryEscalations":
        return MemoryEscalations(self._view("escalations"))

    @cached_property
    def compensations(self) -> "MemoryCompensations":
        return MemoryCompensations(self._view("compensations"))

    @cached_property
    def answer_histories(self) -> "MemoryAnswerHistories":
        return MemoryAnswerHistories(self._view("answer_histories"))

    @cached_property
    def sent_messages(self) -> "MemorySentMessages":
        return MemorySentMessages(self._view("sent_messages"))

    @cached_property
    def vending_keys(self) -> "MemoryVendingKeys":
        return MemoryVendingKeys(self._view("vending_keys"))

    @cached_property
    def outbox(self) -> MemoryOutbox:
        return MemoryOutbox(
            self._announcements,
            self._view("counters"),
            self._view("tail"),
            self._webhooks,
            self._postings,
        )

    @cached_property
    def webhooks(self) -> MemoryWebhooks:
        return MemoryWebhooks(self._webhooks, self._postings)

    @cached_property
    def postings(self) -> MemoryPostings:
        return MemoryPostings(self._postings, self._announcements)

    @cached_property
    def _announcements(self) -> View[Any, Any]:
        return self._view("announcements")

    @cached_property
    def _webhooks(self) -> View[Any, Any]:
        return self._view("webhooks")

    @cached_property
    def _postings(self) -> View[Any, Any]:
        return self._view("postings")

    @cached_property
    def people(self) -> MemoryPeople:
        return MemoryPeople(self._view("people"))

    @cached_property
    def audit(self) -> MemoryAudit:
        return MemoryAudit(self._view("audit"))

    @cached_property
    def caps(self) -> MemoryCapRules:
        return MemoryCapRules(self._view("caps"))

    @cached_property
    def approvals(self) -> MemoryApprovals:
        return MemoryApprovals(self._view("approvals"))

    @cached_property
    def jobs(self) -> MemoryJobs:
        recharges, deliveries = self._view("recharges"), self._view("deliveries")
        jobs, lines, keys = self._view("jobs"), self._view("job_lines"), self._view("api_keys")
        return MemoryJobs(jobs, lines, recharges, deliveries, keys=keys)

    @cached_property
    def loans(self) -> MemoryLoans:
        return MemoryLoans(self._view("loans"))

    @cached_property
    def holds(self) -> MemoryHolds:
        return MemoryHolds(self._view("holds"))

    @cached_property
    def opening_hours(self) -> MemoryOpeningHours:
        return MemoryOpeningHours(self._view("opening_hours"))

    @cached_property
    def dangers(self) -> MemoryDangerousOrders:
        return MemoryDangerousOrders(self._view("dangers"), self._view("deliveries"))


def _tables() -> dict[str, Table[Any, Any]]:
    return {
        **outbox_tables(),
        **harm_tables(),
        **job_tables(),
        **restoration_tables(),
        "tenants": Table(),
        "meters": Table(
            all=lambda one: (one.tenant, (one.drn,)),
            group=lambda one: ((one.tenant, one.sts.sgc), (one.drn,)),
        ),
        "usage_points": Table(all=lambda one: (one.tenant, (one.id,))),
        "supply_groups": Table(all=lambda one: (one.tenant, (one.sgc,))),
        "tids": Table(),
        "loans": Table(),
        "recharges": Table(
            all=lambda one: (one.tenant, (one.created_at, one.id)),
            meter=lambda one: ((one.tenant, one.drn), (one.created_at, one.id)),
            paid=lambda one: _if(one.state in PAID_STATES, one.tenant, (one.created_at, one.id)),
            paid_all=lambda one: _if(
                one.state in PAID_STATES, None, (one.tenant, one.created_at, one.id)
            ),
            key=lambda one: _if(
                one.order.idempotency_key, (one.tenant, one.order.idempotency_key), (one.id,)
            ),
            open=lambda one: _if(
                one.state is RechargeState.OPEN, None, (one.created_at, one.tenant, one.id)
            ),
            unlit=lambda one: _if(
                one.state in UNLIT_STATES, (one.tenant, one.drn), (one.created_at, one.id)
            ),
        ),
        "tokens": Table(
            delivery=lambda one: ((one.tenant, one.delivery_id), (one.sequence, one.id)),
            digits=lambda one: ((one.tenant, one.drn, one.digits), (one.id,)),
            tid=lambda one: ((one.tenant, one.drn, one.tid), (one.delivery_id, one.sequence)),
        ),
        "deliveries": _deliveries(),
        "attempts": Table(
            delivery=lambda one: (
                (one[1].tenant, one[1].delivery_id),
                (one[1].started_at, one[0]),
            )
        ),
        "evidence": evidence_table(),
        "readings": Table(
            type=lambda one: ((one.tenant, one.drn, one.type), (one.taken_at,)),
            time=lambda one: ((one.tenant, one.drn), (one.taken_at, one.type.value)),
        ),
        "events": Table(
            time=lambda one: ((one.tenant, one.drn), _event_key(one)),
            message=lambda one: (
                ((one.tenant, one.drn, one.code, one.message), ()) if one.message else None
            ),
        ),
        "polls": Table(due=lambda one: (one.bus, (one.due_at, one.tenant, one.drn))),
        "api_keys": Table(tenant=lambda one: (one.tenant, (one.created_at, one.id))),
        "vending_keys": Table(
            all=lambda one: (None, _vending_key_place(one)),
            tenant=lambda one: (one[1].key.tenant, _vending_key_place(one)),
            used=lambda one: _if(one[1].retired_at is None, _vending_key_place(one)[:3], (one[0],)),
        ),
    }


def _deliveries() -> Table[tuple[TenantId, str], Delivery]:
    def turn(one: Delivery) -> tuple[Any, ...]:
        return (one.priority, one.rank, one.tenant, one.id)

    return Table(
        made=lambda one: (one.tenant, (one.created_at, one.id)),
        recharge=lambda one: _if(one.recharge_id, (one.tenant, one.recharge_id), (one.id,)),
        meter=lambda one: ((one.tenant, one.drn), turn(one)),
        open=lambda one: _if(one.state in OPEN_STATES, (one.tenant, one.drn), turn(one)),
        sending=lambda one: _if(
            one.state is DeliveryState.SENDING, (one.tenant, one.drn), (one.id,)
        ),
        turns=lambda one: _if(_awaits_its_turn(one), (one.tenant, one.drn), turn(one)),
        bus=lambda one: _if(
            one.state in SENDABLE and DeliveryMethod.REMOTE in one.methods, one.bus, turn(one)
        ),
        lease=lambda one: _if(
            one.state is DeliveryState.SENDING and one.lease_until,
            None,
            (one.lease_until, one.tenant, one.id),
        ),
        people=lambda one: _if(
            one.state in OPEN_STATES, None, (one.created_at, one.tenant, one.id)
        ),
        untold=lambda one: _if(
            one.state is DeliveryState.DONE and one.handed_at and not one.told_at,
            None,
            (one.created_at, one.tenant, one.id),
        ),
    )


def _awaits_its_turn(one: Delivery) -> bool:
    return (
        one.state is DeliveryState.WAITING
        and one.handed_at is None
        and DeliveryMethod.REMOTE in one.methods
    )


def _if(holds: object, group: Any, place: tuple[Any, ...]) -> Place:
    return (group, place) if holds else None


def _event_key(one: MeterEvent) -> tuple[datetime, int, int]:
    return (one.taken_at, one.code, one.number)


def _vending_key_place(one: tuple[int, SealedKey]) -> tuple[Any, ...]:
    return (one[1].key.tenant, one[1].key.sgc, one[1].key.krn, one[0])


def _page(
    rows: Callable[[tuple[Any, ...] | None], Iterator[R]],
    cursor: Cursor,
    kinds: Sequence[type],
    key: Callable[[R], tuple[Any, ...]],
) -> Page[R]:
    beyond = None if cursor.after is None else read_cursor(cursor.after, kinds)
    found = list(islice(rows(beyond), cursor.limit + 1))
    items = found[: cursor.limit]
    more = len(found) > cursor.limit
    return Page(items, write_cursor(key(items[-1])) if more else None)


class MemoryTenants:
    def __init__(self, view: View[TenantId, datetime]) -> None:
        self._view = view

    async def ensure(self, tenant: TenantId, now: datetime) -> None:
        if self._view.get(tenant) is None:
            self._view.put(tenant, now)

    async def exists(self, tenant: TenantId) -> bool:
        return self._view.get(tenant) is not None

    async def lock(self, tenant: TenantId) -> None:
        """There is one writer at a time."""


class MemoryMeters:
    def __init__(self, view: View[tuple[TenantId, Drn], Meter]) -> None:
        self._view = view

    async def add(self, meter: Meter) -> None:
        if self._view.get((meter.tenant, meter.drn)) is not None:
            raise MeterExists(f"meter {meter.drn} is known already", field="drn")
        self._view.put((meter.tenant, meter.drn), meter)

    async def find(self, tenant: TenantId, drn: Drn) -> Meter | None:
        return self._view.get((tenant, drn))

    async def known(self, tenant: TenantId, drns: Sequence[Drn]) -> frozenset[Drn]:
        return frozenset(drn for drn in drns if self._view.get((tenant, drn)) is not None)

    async def save(self, meter: Meter, *, was: int) -> None:
        known = self._view.get((meter.tenant, meter.drn))
        if known is None or known.version != was:
            raise Stale(f"meter {meter.drn}")
        self._view.put((meter.tenant, meter.drn), meter)

    async def page(
        self, tenant: TenantId, cursor: Cursor, *, sgc: str | None = None
    ) -> Page[Meter]:
        index, group = ("all", tenant) if sgc is None else ("group", (tenant, sgc))
        return _page(
            lambda beyond: self._view.walk(index, group, beyond=beyond),
            cursor,
            (str,),
            lambda meter: (meter.drn,),
        )


class MemoryUsagePoints:
    def __init__(self, view: View[tuple[TenantId, UsagePointId], UsagePoint]) -> None:
        self._view = view

    async def find(self, tenant: TenantId, ident: UsagePointId) -> UsagePoint | None:
        return self._view.get((tenant, ident))

    async def put(self, point: UsagePoint, *, was: int | None) -> None:
        known = self._view.get((point.tenant, point.id))
        if (None if known is None else known.version) != was:
            raise Stale(f"usage point {point.id}")
        self._view.put((point.tenant, point.id), point)

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[UsagePoint]:
        return _page(
            lambda beyond: self._view.walk("all", tenant, beyond=beyond),
            cursor,
            (str,),
            lambda point: (point.id,),
        )


class MemorySupplyGroups:
    def __init__(self, view: View[tuple[TenantId, str], SupplyGroup]) -> None:
        self._view = view

    async def find(self, tenant: TenantId, sgc: str) -> SupplyGroup | None:
        return self._view.get((tenant, sgc))

    async def put(self, group: SupplyGroup, *, was: int | None) -> None:
        known = self._view.get((group.tenant, group.sgc))
        if (None if known is None else known.version) != was:
            raise Stale(f"supply group {group.sgc}")
        self._view.put((group.tenant, group.sgc), group)

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[SupplyGroup]:
        return _page(
            lambda beyond: self._view.walk("all", tenant, beyond=beyond),
            cursor,
            (str,),
            lambda group: (group.sgc,),
        )


class MemoryTids:
    def __init__(self, view: View[tuple[TenantId, Drn, int], int]) -> None:
        self._view = view

    async def last(self, tenant: TenantId, drn: Drn, base_date: int) -> int | None:
        return self._view.get((tenant, drn, base_date))

    async def give(self, tenant: TenantId, drn: Drn, base_date: int, tid: int) -> None:
        last = self._view.get((tenant, drn, base_date))
        if last is not None and tid <= last:
            raise Stale(f"token identifier {tid} of meter {drn}")
        self._view.put((tenant, drn, base_date), tid)


class MemoryRecharges:
    def __init__(
        self, view: View[tuple[TenantId, str], Recharge], deliveries: "MemoryDeliveries"
    ) -> None:
        self._view = view
        self._deliveries = deliveries

    async def add(self, recharge: Recharge) -> None:
        key = recharge.order.idempotency_key
        taken = key and self._view.first("key", (recharge.tenant, key))
        if taken or self._view.get((recharge.tenant, recharge.id)) is not None:
            raise Stale(f"recharge {recharge.id}")
        self._view.put((recharge.tenant, recharge.id), recharge)

    async def find(self, tenant: TenantId, ident: str) -> Recharge | None:
        return self._view.get((tenant, ident))

    async def find_by_key(self, tenant: TenantId, idempotency_key: str) -> Recharge | None:
        return self._view.first("key", (tenant, idempotency_key))

    async def save(self, recharge: Recharge, *, was: RechargeState) -> None:
        known = self._view.get((recharge.tenant, recharge.id))
        if known is None or known.state is not was:
            raise Stale(f"recharge {recharge.id}")
        assert recharge.order.amount == known.order.amount, "an order never changes"
        told = replace(
            recharge,
            order=known.order,
            drn=known.drn,
            created_at=known.created_at,
            replaces=known.replaces,
        )
        self._view.put((recharge.tenant, recharge.id), told)

    async def page(self, tenant: TenantId, cursor: Cursor, where: RechargeFilter) -> Page[Recharge]:
        index, group = ("meter", (tenant, where.drn)) if where.drn else ("all", tenant)
        return _page(
            lambda beyond: (
                recharge
                for recharge in self._view.walk(index, group, newest_first=True, beyond=beyond)
                if _passes(recharge, where)
            ),
            cursor,
            (datetime, str),
            lambda recharge: (recharge.created_at, recharge.id),
        )

    async def open(
        self, *, since: datetime | None = None, before: datetime, limit: int
    ) -> Sequence[Recharge]:
        every = self._view.walk("open", None)
        since = since or datetime(1993, 1, 1, tzinfo=UTC)
        return list(islice((one for one in every if since <= one.created_at < before), limit))

    async def unlit(self, tenant: TenantId, drn: Drn) -> Sequence[Recharge]:
        return list(islice(self._view.walk("unlit", (tenant, drn), newest_first=True), 20))

    async def paid_since(self, tenant: TenantId, drn: Drn, since: datetime) -> bool:
        for one in self._view.walk("meter", (tenant, drn), newest_first=True):
            delivery = await self._deliveries.of(one.id, tenant)
            closed = delivery is not None and delivery.stopped_by in CLOSED_BY
            confirmed_at = None if delivery is None else delivery.confirmed_at
            if (
                (one.issued_at is not None and one.issued_at >= since)
                or (confirmed_at is not None and confirmed_at >= since)
                or (one.state in UNDER_WAY_STATES and not closed)
            ):
                return True
        return False

    async def bought_since(self, tenant: TenantId, drn: Drn, since: datetime) -> Decimal:
        undone = (RechargeState.FAILED, RechargeState.REVERSED, RechargeState.REPLACED)
        bought = Decimal(0)
        for one in self._view.walk("meter", (tenant, drn), newest_first=True):
            if one.created_at < since:
                break
            if one.requested is not None and one.state not in undone:
                bought += one.requested.value
        return bought


def _passes(recharge: Recharge, where: RechargeFilter) -> bool:
    return (
        (where.state is None or recharge.state is where.state)
        and (where.reference is None or recharge.order.reference == where.reference)
        and (where.since is None or recharge.created_at >= where.since)
        and (where.until is None or recharge.created_at < where.until)
    )


class MemoryTokens:
    def __init__(self, view: View[str, Token]) -> None:
        self._view = view

    async def add(self, token: Token) -> None:
        known = self._view.first("digits", (token.tenant, token.drn, token.digits))
        if known is not None and token.purpose is not TokenPurpose.KEY_CHANGE:
            raise TokenKnown(
                f"a token of these digits already belongs to meter {token.drn}", field="tokens"
            )
        self._view.put(token.id, token)

    async def of(self, delivery_id: str, tenant: TenantId) -> Sequence[Token]:
        return list(self._view.walk("delivery", (tenant, delivery_id)))

    async def by_digits(self, tenant: TenantId, drn: Drn, digits: str) -> Token | None:
        return self._view.first("digits", (tenant, drn, digits))

    async def find(self, tenant: TenantId, ident: str) -> Token | None:
        token = self._view.get(ident)
        return token if token is not None and token.tenant == tenant else None

    async def by_tid(self, tenant: TenantId, drn: Drn, tid: int) -> Sequence[Token]:
        return list(self._view.walk("tid", (tenant, drn, tid)))

    async def save(self, token: Token) -> None:
        known = await self.find(token.tenant, token.id)
        if known is None:
            raise Stale(f"token {token.id}")
        told = replace(known, state=token.state, result=token.result, taken_at=token.taken_at)
        self._view.put(token.id, told)


class MemoryDeliveries:
    def __init__(
        self, view: View[tuple[TenantId, str], Delivery], meters: MemoryMeters, tokens: MemoryTokens
    ) -> None:
        self._view, self._meters, self._tokens = view, meters, tokens

    async def add(self, delivery: Delivery) -> None:
        place = (delivery.tenant, delivery.recharge_id)
        taken = delivery.recharge_id and self._view.first("recharge", place)
        if taken or await self.find(delivery.tenant, delivery.id) is not None:
            raise Stale(f"delivery {delivery.id}")
        self._view.put((delivery.tenant, delivery.id), delivery)

    async def find(self, tenant: TenantId, ident: str) -> Delivery | None:
        return self._view.get((tenant, ident))

    async def of(self, recharge_id: str, tenant: TenantId) -> Delivery | None:
        return self._view.first("recharge", (tenant, recharge_id))

    async def take_next(
        self,
        bus: BusName,
        *,
        priorities: Collection[int],
        now: datetime,
        lease_id: str,
        lease_until: datetime,
        limit: int,
    ) -> Sequence[Leased]:
        first = islice(
            (one for one in self._first_of_meters(bus, now) if one.priority in priorities), limit
        )
        return [
            await self._leased(delivery.after(Fact.LEASED, now=now), lease_id, lease_until)
            for delivery in list(first)
        ]

    def _first_of_meters(self, bus: BusName, now: datetime) -> Iterator[Delivery]:
        seen: set[tuple[TenantId, Drn]] = set()
        unhindered = self._unhindered()
        for delivery in self._view.walk("bus", bus):
            meter = (delivery.tenant, delivery.drn)
            due = delivery.not_before <= now < delivery.deadline
            if due and meter not in seen and unhindered(delivery):
                seen.add(meter)
                yield delivery

    async def save(
        self, delivery: Delivery, *, was: DeliveryState, lease_id: str | None = None
    ) -> None:
        known = await self.find(delivery.tenant, delivery.id)
        if (
            known is None
            or known.state is not was
            or (lease_id is not None and known.lease_id != lease_id)
        ):
            raise Stale(f"delivery {delivery.id}")
        self._view.put((delivery.tenant, delivery.id), delivery)

    async def lapsed(self, *, now: datetime, limit: int) -> Sequence[Delivery]:
        every = self._view.walk("lease", None)
        return list(islice((one for one in every if (one.lease_until or now) <= now), limit))

    async def sending(self, bus: BusName, *, limit: int) -> Sequence[Delivery]:
        every = self._view.walk("lease", None)
        return list(islice((one for one in every if one.bus == bus), limit))

    async def due_to_people(self, *, now: datetime, limit: int) -> Sequence[Delivery]:
        every = self._view.walk("people", None)
        return list(islice((one for one in every if _due_to_people(one, now)), limit))

    async def to_tell(self, *, now: datetime, limit: int) -> Sequence[Delivery]:
        every = self._view.walk("untold", None)
        return list(islice((one for one in every if _hands_may(one, now)), limit))

    async def next_due(self, bus: BusName, *, now: datetime) -> Mapping[int, datetime]:
        unhindered = self._unhindered()
        due: dict[int, datetime] = {}
        for one in self._view.walk("bus", bus):
            if now < one.deadline and unhindered(one):
                due[one.priority] = min(one.not_before, due.get(one.priority, one.not_before))
        return due

    async def of_meter(
        self, tenant: TenantId, drn: Drn, *, states: frozenset[DeliveryState]
    ) -> Sequence[Delivery]:
        every = self._view.walk("meter", (tenant, drn))
        return list(islice((one for one in every if one.state in states), 100))

    async def newest_of(
        self,
        tenant: TenantId,
        drn: Drn,
        kind: type[ChangeKey] | type[Manage] | type[SetSupply],
        *,
        states: frozenset[DeliveryState],
    ) -> Sequence[Delivery]:
        every = self._view.walk("meter", (tenant, drn))
        found = [one for one in every if isinstance(one.command, kind) and one.state in states]
        return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)[:NEWEST_LIMIT]

    async def hasten(self, tenant: TenantId, drn: Drn, *, now: datetime) -> int:
        waiting = [
            one
            for one in self._view.walk("open", (tenant, drn))
            if one.state in SENDABLE
            and one.not_before > now
            and one.result is not TokenResult.LOCK_OUT
        ]
        for one in waiting:
            self._view.put((tenant, one.id), replace(one, not_before=now))
        return len(waiting)

    def _unhindered(self) -> Callable[[Delivery], bool]:
        """Nothing of its meter is being sent, and nothing earlier holds it back; for one look."""
        known: dict[tuple[TenantId, Drn], Mapping[int, tuple[int, str]] | None] = {}

        def unhindered(delivery: Delivery) -> bool:
            meter = (delivery.tenant, delivery.drn)
            if meter not in known:
                known[meter] = self._first_turns(meter)
            first = known[meter]
            if first is None:
                return False
            if _permits(delivery):
                return True
            turn = (delivery.rank, delivery.id)
            return turn <= first.get(delivery.priority, turn)

        return unhindered

    def _first_turns(self, meter: tuple[TenantId, Drn]) -> Mapping[int, tuple[int, str]] | None:
        """The turn at each priority that holds back the later ones; None: one is being sent."""
        if self._view.first("sending", meter):
            return None
        first: dict[int, tuple[int, str]] = {}
        for other in self._view.walk("turns", meter):
            first.setdefault(other.priority, (other.rank, other.id))
        return first

    async def _leased(self, sending: Delivery, lease_id: str, until: datetime) -> Leased:
        delivery = replace(sending, lease_id=lease_id, lease_until=until)
        self._view.put((delivery.tenant, delivery.id), delivery)
        meter = await self._meters.find(delivery.tenant, delivery.drn)
        assert meter is not None
        tokens = await self._tokens.of(delivery.id, delivery.tenant)
        return Leased(delivery, meter, tuple(tokens))


def _permits(delivery: Delivery) -> bool:
    order = delivery.command
    return isinstance(order, SetSupply) and order.action is SupplyAction.PERMIT_CLOSE


def _due_to_people(delivery: Delivery, now: datetime) -> bool:
    if delivery.deadline <= now:
        return delivery.state in SENDABLE
    remote = DeliveryMethod.REMOTE in delivery.methods
    fallen_back = delivery.fallback_at is not None and delivery.fallback_at <= now
    return (
        delivery.handed_at is None
        and bool(delivery.methods & HANDS)
        and _hands_may(delivery, now)
        and (fallen_back or not remote)
    )


def _hands_may(delivery: Delivery, now: datetime) -> bool:
    return delivery.hand_not_before is None or delivery.hand_not_before <= now


class MemoryAttempts:
    def __init__(self, view: View[int, tuple[int, Attempt]]) -> None:
        self._view = view

    async def add(self, attempt: Attempt) -> None:
        number = self._view.next_number()
        self._view.put(number, (number, attempt))

    async def of(self, delivery_id: str, tenant: TenantId) -> Sequence[Attempt]:
        newest = self._view.walk("delivery", (tenant, delivery_id), newest_first=True)
        last = list(islice(newest, 200))
        return [attempt for _, attempt in reversed(last)]


class MemoryReadings:
    def __init__(self, view: View[tuple[Any, ...], Reading]) -> None:
        self._view = view

    async def add(self, readings: Sequence[Reading]) -> int:
        keys = ((one.tenant, one.drn, one.type, one.taken_at) for one in readings)
        return len(_add_unknown(self._view, keys, readings))

    async def latest(
        self, tenant: TenantId, drn: Drn, *, before: datetime | None = None
    ) -> Mapping[ReadingType, Reading]:
        beyond = None if before is None else (before,)
        found = {}
        for kind in ReadingType:
            group = (tenant, drn, kind)
            for one in self._view.walk("type", group, newest_first=True, beyond=beyond):
                if one.quality is not Quality.SUSPECT:
                    found[kind] = one
                    break
        return found

    async def page(
        self, tenant: TenantId, drn: Drn, cursor: Cursor, *, type: ReadingType | None = None
    ) -> Page[Reading]:
        return _page(
            lambda beyond: (
                one
                for one in self._view.walk("time", (tenant, drn), newest_first=True, beyond=beyond)
                if type is None or one.type is type
            ),
            cursor,
            (datetime, str),
            lambda one: (one.taken_at, one.type.value),
        )


class MemoryEvents:
    def __init__(self, view: View[tuple[Any, ...], MeterEvent]) -> None:
        self._view = view

    async def add(self, events: Sequence[MeterEvent]) -> Sequence[MeterEvent]:
        new: list[MeterEvent] = []
        for one in events:
            told = one.message and self._view.first(
                "message", (one.tenant, one.drn, one.code, one.message)
            )
            if not told:
                key = (one.tenant, one.drn, *_event_key(one))
                new += _add_unknown(self._view, [key], [one])
        return new

    async def last_number(self, tenant: TenantId, drn: Drn) -> int:
        found = self._view.walk("time", (tenant, drn), newest_first=True, beyond=None)
        numbered = [(one.received_at, one.number) for one in found if one.number]
        return max(numbered, default=(None, 0))[1]

    async def page(self, tenant: TenantId, drn: Drn, cursor: Cursor) -> Page[MeterEvent]:
        return _page(
            lambda beyond: self._view.walk("time", (tenant, drn), newest_first=True, beyond=beyond),
            cursor,
            (datetime, int, int),
            _event_key,
        )


def _add_unknown(view: View[Any, R], keys: Iterable[Any], rows: Sequence[R]) -> Sequence[R]:
    new = []
    for key, row in zip(keys, rows, strict=True):
        if view.get(key) is None:
            view.put(key, row)
            new.append(row)
    return new


class MemoryPolls:
    def __init__(self, view: View[tuple[TenantId, Drn], Poll], meters: MemoryMeters) -> None:
        self._view, self._meters = view, meters

    async def put(self, poll: Poll) -> None:
        self._view.put((poll.tenant, poll.drn), poll)

    async def remove(self, tenant: TenantId, drn: Drn) -> None:
        self._view.put((tenant, drn), None)

    async def take_due(
        self, bus: BusName, *, now: datetime, until: datetime, limit: int
    ) -> Sequence[tuple[Poll, Meter]]:
        every = self._view.walk("due", bus)
        due = list(islice((poll for poll in every if poll.due_at <= now), limit))
        taken = []
        for poll in due:
            put_off = replace(poll, due_at=until)
            self._view.put((poll.tenant, poll.drn), put_off)
            meter = await self._meters.find(poll.tenant, poll.drn)
            assert meter is not None
            taken.append((put_off, meter))
        return taken

    async def hasten(self, tenant: TenantId, drn: Drn, *, due_at: datetime) -> None:
        poll = self._view.get((tenant, drn))
        if poll is not None and poll.due_at > due_at:
            self._view.put((tenant, drn), replace(poll, due_at=due_at))

    async def next_due(self, bus: BusName) -> datetime | None:
        poll = self._view.first("due", bus)
        return None if poll is None else poll.due_at


class MemoryApiKeys:
    def __init__(self, view: View[str, ApiKey]) -> None:
        self._view = view

    async def add(self, key: ApiKey) -> None:
        if self._view.get(key.id) is not None:
            raise Stale(f"API key {key.id}")
        self._view.put(key.id, key)

    async def find(self, ident: str) -> ApiKey | None:
        return self._view.get(ident)

    async def all(self, tenant: TenantId) -> Sequence[ApiKey]:
        return list(self._view.walk("tenant", tenant))

    async def revoke(self, ident: str, now: datetime) -> bool:
        key = self._view.get(ident)
        if key is None or key.revoked_at is not None:
            return False
        self._view.put(ident, replace(key, revoked_at=now))
        return True


class MemoryVendingKeys:
    def __init__(self, view: View[int, tuple[int, SealedKey]]) -> None:
        self._view = view

    async def add(self, sealed: SealedKey) -> None:
        key = sealed.key
        if self._view.first("used", (key.tenant, key.sgc, key.krn)) is not None:
            raise Stale(f"vending key {key.sgc}/{key.krn}")
        number = self._view.next_number()
        self._view.put(number, (number, sealed))

    async def find(self, tenant: TenantId, sgc: str, krn: int) -> SealedKey | None:
        found = self._view.first("used", (tenant, sgc, krn))
        return None if found is None else found[1]

    async def all(self, tenant: TenantId | None) -> Sequence[SealedKey]:
        index, group = ("all", None) if tenant is None else ("tenant", tenant)
        return [sealed for _, sealed in self._view.walk(index, group)]

    async def reseal(self, sealed: SealedKey, *, was: str) -> None:
        key = sealed.key
        for number, known in self._view.walk("tenant", key.tenant):
            same = (known.key, known.created_at) == (key, sealed.created_at)
            if same and known.master_id == was:
                self._view.put(number, (number, replace(sealed, retired_at=known.retired_at)))
                return
        raise Stale(f"vending key {key.sgc}/{key.krn}")

    async def retire(self, tenant: TenantId, sgc: str, krn: int, now: datetime) -> bool:
        found = self._view.first("used", (tenant, sgc, krn))
        if found is None:
            return False
        number, sealed = found
        self._view.put(number, (number, replace(sealed, retired_at=now)))
        return True
