"""What the core asks of the database: one transaction at a time, one small collection a noun.

Rows are the frozen records of the core. A change names what it leaves: `was` is the state or the
version that was read, and zero rows updated raises Stale. Every collection is scoped to a tenant
by its arguments. In `begin`, deliveries that are read are locked until the end (FOR UPDATE where
the database has row locks), and who changes a recharge reads its delivery first, so that nothing
is overwritten unseen. Nothing is acknowledged before `begin()` has been left without an error:
leaving it commits, an exception rolls back.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from headend.answering import AnswerHistories
from headend.api_keys import ApiKeys
from headend.approvals import Approvals
from headend.attempts import Attempt
from headend.audit import Audit
from headend.commands import ChangeKey, Manage, SetSupply
from headend.compensations import Compensations
from headend.dangers import CapRules, DangerousOrders
from headend.darkness import PaidSales
from headend.deliveries import Delivery, DeliveryState
from headend.escalations import Escalations
from headend.events import MeterEvent
from headend.evidence import EvidenceLog
from headend.holds import Holds
from headend.jobs import Jobs
from headend.loans import Loans
from headend.messages import SentMessages
from headend.meters import BusName, Drn, Meter, TenantId, UsagePointId
from headend.opening_hours import OpeningHoursOfGroups
from headend.outbox import Outbox
from headend.pages import Cursor, Page
from headend.people import People
from headend.polling import Polls
from headend.readings import Reading, ReadingType
from headend.recharges import Recharge, RechargeState
from headend.restoration import RestorationClocks
from headend.supply_groups import SupplyGroup
from headend.tokens import Token
from headend.usage_points import UsagePoint
from headend.vending_keys import SealedKey
from headend.webhooks import Postings, Webhooks
from headend.worklist import WorkList


class Tenants(Protocol):
    async def ensure(self, tenant: TenantId, now: datetime) -> None:
        """Make the tenant unless it is there."""

    async def exists(self, tenant: TenantId) -> bool: ...

    async def lock(self, tenant: TenantId) -> None:
        """From here to the end of the transaction nobody else locks it: to count, then add."""


class Meters(Protocol):
    async def add(self, meter: Meter) -> None:
        """Raises MeterExists."""

    async def find(self, tenant: TenantId, drn: Drn) -> Meter | None: ...

    async def known(self, tenant: TenantId, drns: Sequence[Drn]) -> frozenset[Drn]:
        """Which of these numbers are taken (any length; asked in chunks)."""

    async def save(self, meter: Meter, *, was: int) -> None:
        """`was` is the version read; raises Stale."""

    async def page(
        self, tenant: TenantId, cursor: Cursor, *, sgc: str | None = None
    ) -> Page[Meter]: ...


class UsagePoints(Protocol):
    async def find(self, tenant: TenantId, ident: UsagePointId) -> UsagePoint | None: ...

    async def put(self, point: UsagePoint, *, was: int | None) -> None:
        """Add (`was` None) or change; raises Stale also when it should not exist yet but does."""

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[UsagePoint]: ...


class SupplyGroups(Protocol):
    async def find(self, tenant: TenantId, sgc: str) -> SupplyGroup | None: ...

    async def put(self, group: SupplyGroup, *, was: int | None) -> None: ...

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[SupplyGroup]: ...


class Tids(Protocol):
    """Token identifiers given per meter and base date (a year), so that none is given twice."""

    async def last(self, tenant: TenantId, drn: Drn, base_date: int) -> int | None:
        """The last TID given; locked against other transactions until this one ends."""

    async def give(self, tenant: TenantId, drn: Drn, base_date: int, tid: int) -> None:
        """Note it as given; raises Stale unless it is above the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RechargeFilter:
    """All that is given must hold; times bound `created_at`, `until` excluded."""

    drn: Drn | None = None
    state: RechargeState | None = None
    reference: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Recharges(Protocol):
    async def add(self, recharge: Recharge) -> None:
        """Raises Stale when id or idempotency key are taken (somebody was faster)."""

    async def find(self, tenant: TenantId, ident: str) -> Recharge | None: ...

    async def find_by_key(self, tenant: TenantId, idempotency_key: str) -> Recharge | None: ...

    async def save(self, recharge: Recharge, *, was: RechargeState) -> None: ...

    async def page(self, tenant: TenantId, cursor: Cursor, where: RechargeFilter) -> Page[Recharge]:
        """Newest first."""

    async def open(
        self, *, since: datetime | None = None, before: datetime, limit: int
    ) -> Sequence[Recharge]:
        """OPEN ones created from `since` on and before `before`, oldest first, of every tenant."""

    async def unlit(self, tenant: TenantId, drn: Drn) -> Sequence[Recharge]:
        """Those of a meter in UNLIT_STATES, newest first, at most 20."""

    async def paid_since(self, tenant: TenantId, drn: Drn, since: datetime) -> bool:
        """A recharge of this meter was issued or confirmed at or after then, or is under way.

        Under way are OPEN, ISSUED and UNRESOLVED, unless its delivery was closed by CLOSED_BY.
        """

    async def bought_since(self, tenant: TenantId, drn: Drn, since: datetime) -> Decimal:
        """Units requested for a meter since then, without FAILED, REVERSED and REPLACED."""


class Tokens(Protocol):
    async def add(self, token: Token) -> None:
        """Raises TokenKnown when these digits already belong to this meter."""

    async def of(self, delivery_id: str, tenant: TenantId) -> Sequence[Token]:
        """In the order of entry."""

    async def by_digits(self, tenant: TenantId, drn: Drn, digits: str) -> Token | None: ...

    async def find(self, tenant: TenantId, ident: str) -> Token | None: ...

    async def by_tid(self, tenant: TenantId, drn: Drn, tid: int) -> Sequence[Token]: ...

    async def save(self, token: Token) -> None: ...


@dataclass(frozen=True, slots=True)
class Leased:
    """A delivery taken for sending (its state is SENDING), with its meter and tokens."""

    delivery: Delivery
    meter: Meter
    tokens: tuple[Token, ...]


class Deliveries(Protocol):
    async def add(self, delivery: Delivery) -> None:
        """Raises Stale when its tenant has one of this id, or its recharge has one.

        Somebody was faster, then.
        """

    async def find(self, tenant: TenantId, ident: str) -> Delivery | None: ...

    async def of(self, recharge_id: str, tenant: TenantId) -> Delivery | None: ...

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
        """Lease up to `limit` deliveries of a bus and these priorities, at most one a meter.

        Taken are WAITING and UNCERTAIN ones with REMOTE among their methods whose `not_before`
        has come and whose deadline has not (fact LEASED). Order: priority, then rank. One in
        SENDING bars its meter. Within a meter the lowest (priority, rank) goes first: a WAITING one
        that is not handed over and has REMOTE holds back the later ones of the same priority (also
        while its `not_before` is still to come), an UNCERTAIN or handed one does not. Two workers
        never get the same row nor the same meter (PostgreSQL: SKIP LOCKED).
        """

    async def save(
        self, delivery: Delivery, *, was: DeliveryState, lease_id: str | None = None
    ) -> None:
        """Raises Stale when the state (or, if given, the lease) is another by now."""

    async def lapsed(self, *, now: datetime, limit: int) -> Sequence[Delivery]:
        """SENDING ones whose lease has ended, of every tenant."""

    async def sending(self, bus: BusName, *, limit: int) -> Sequence[Delivery]:
        """SENDING ones on a bus, whatever their lease, of every tenant."""

    async def due_to_people(self, *, now: datetime, limit: int) -> Sequence[Delivery]:
        """Open ones that wait for no bus, oldest first, locked for this transaction.

        Those past their deadline (WAITING or UNCERTAIN); before it also those not handed over that
        have LOCAL or MANUAL among their methods and whose `hand_not_before` (if any) has come, and
        either their `fallback_at` has come or REMOTE is not among their methods: also SENDING
        ones, for a customer does not wait until a try that hangs has ended.
        """

    async def to_tell(self, *, now: datetime, limit: int) -> Sequence[Delivery]:
        """DONE, handed over, not told yet, with `hand_not_before` come: the customer may rest."""

    async def next_due(self, bus: BusName, *, now: datetime) -> Mapping[int, datetime]:
        """When the next delivery of this bus wants to be sent (`not_before`), by priority.

        One that another of its meter holds back does not count until that one has gone.
        """

    async def of_meter(
        self, tenant: TenantId, drn: Drn, *, states: frozenset[DeliveryState]
    ) -> Sequence[Delivery]:
        """By priority and rank, at most 100."""

    async def newest_of(
        self,
        tenant: TenantId,
        drn: Drn,
        kind: type[ChangeKey] | type[Manage] | type[SetSupply],
        *,
        states: frozenset[DeliveryState],
    ) -> Sequence[Delivery]:
        """Those of one kind of command to a meter, newest first, at most 20."""

    async def hasten(self, tenant: TenantId, drn: Drn, *, now: datetime) -> int:
        """The meter is alive: let its WAITING and UNCERTAIN deliveries be sent now. Count.

        Those told to wait by a lock-out (their `result` is LOCK_OUT) are left alone.
        """


class Attempts(Protocol):
    async def add(self, attempt: Attempt) -> None: ...

    async def of(self, delivery_id: str, tenant: TenantId) -> Sequence[Attempt]:
        """Oldest first, at most the last 200."""


class Readings(Protocol):
    async def add(self, readings: Sequence[Reading]) -> int:
        """Add those not known yet (tenant, drn, type, taken_at); how many were new."""

    async def latest(
        self, tenant: TenantId, drn: Drn, *, before: datetime | None = None
    ) -> Mapping[ReadingType, Reading]:
        """The newest of each type by taken_at (strictly before then), SUSPECT ones left out."""

    async def page(
        self,
        tenant: TenantId,
        drn: Drn,
        cursor: Cursor,
        *,
        type: ReadingType | None = None,
    ) -> Page[Reading]:
        """Newest first."""


class Events(Protocol):
    async def add(self, events: Sequence[MeterEvent]) -> Sequence[MeterEvent]:
        """Add those not known yet; which were new."""

    async def last_number(self, tenant: TenantId, drn: Drn) -> int:
        """The highest number among the events that were received last; 0 without any."""

    async def page(self, tenant: TenantId, drn: Drn, cursor: Cursor) -> Page[MeterEvent]:
        """Newest first."""


class VendingKeys(Protocol):
    async def add(self, sealed: SealedKey) -> None:
        """Raises Stale when the tenant has a key of this SGC and KRN that is not retired."""

    async def find(self, tenant: TenantId, sgc: str, krn: int) -> SealedKey | None:
        """The one that is not retired."""

    async def all(self, tenant: TenantId | None) -> Sequence[SealedKey]: ...

    async def reseal(self, sealed: SealedKey, *, was: str) -> None:
        """Replace nonce, ciphertext and master_id of the same key sealed under master `was`.

        Raises Stale when it is not there like that any more.
        """

    async def retire(self, tenant: TenantId, sgc: str, krn: int, now: datetime) -> bool:
        """Retire the one that is not; whether there was one."""


class Transaction(Protocol):
    """All collections, in one transaction."""

    @property
    def tenants(self) -> Tenants: ...
    @property
    def meters(self) -> Meters: ...
    @property
    def usage_points(self) -> UsagePoints: ...
    @property
    def supply_groups(self) -> SupplyGroups: ...
    @property
    def tids(self) -> Tids: ...
    @property
    def recharges(self) -> Recharges: ...
    @property
    def tokens(self) -> Tokens: ...
    @property
    def deliveries(self) -> Deliveries: ...
    @property
    def attempts(self) -> Attempts: ...
    @property
    def evidence(self) -> EvidenceLog: ...
    @property
    def paid_sales(self) -> PaidSales: ...
    @property
    def worklist(self) -> WorkList: ...
    @property
    def readings(self) -> Readings: ...
    @property
    def events(self) -> Events: ...
    @property
    def polls(self) -> Polls: ...
    @property
    def api_keys(self) -> ApiKeys: ...
    @property
    def vending_keys(self) -> VendingKeys: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def webhooks(self) -> Webhooks: ...
    @property
    def postings(self) -> Postings: ...
    @property
    def people(self) -> People: ...
    @property
    def audit(self) -> Audit: ...
    @property
    def caps(self) -> CapRules: ...
    @property
    def dangers(self) -> DangerousOrders: ...
    @property
    def approvals(self) -> Approvals: ...
    @property
    def holds(self) -> Holds: ...
    @property
    def opening_hours(self) -> OpeningHoursOfGroups: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def loans(self) -> Loans: ...
    @property
    def restoration_clocks(self) -> RestorationClocks: ...
    @property
    def escalations(self) -> Escalations: ...
    @property
    def compensations(self) -> Compensations: ...
    @property
    def answer_histories(self) -> AnswerHistories: ...
    @property
    def sent_messages(self) -> SentMessages: ...


class Store(Protocol):
    """Opens transactions. `look` is for reading only and never waits for a writer."""

    def begin(self) -> AbstractAsyncContextManager[Transaction]: ...

    def look(self) -> AbstractAsyncContextManager[Transaction]: ...
