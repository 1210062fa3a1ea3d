"""Transactions: all collections on one connection, and an end that nothing can cut short.

A task may be cancelled anywhere. What runs on the connection then, statement, commit or rollback,
runs to its end all the same, so that the next one gets a connection in order.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.store.answer_histories import SqlAnswerHistories
from adapters.store.api_keys import SqlApiKeys
from adapters.store.approvals import SqlApprovals
from adapters.store.attempts import SqlAttempts
from adapters.store.audit import SqlAudit
from adapters.store.compensations import SqlCompensations
from adapters.store.dangers import SqlCapRules, SqlDangerousOrders
from adapters.store.darkness import SqlPaidSales
from adapters.store.deliveries import SqlDeliveries
from adapters.store.engine import Engines, open_engines
from adapters.store.escalations import SqlEscalations
from adapters.store.events import SqlEvents
from adapters.store.evidence import SqlEvidence
from adapters.store.holds import SqlHolds
from adapters.store.jobs import SqlJobs
from adapters.store.loans import SqlLoans
from adapters.store.meters import SqlMeters
from adapters.store.opening_hours import SqlOpeningHours
from adapters.store.outbox import SqlOutbox
from adapters.store.people import SqlPeople
from adapters.store.polls import SqlPolls
from adapters.store.postings import SqlPostings
from adapters.store.readings import SqlReadings
from adapters.store.recharges import SqlRecharges
from adapters.store.restoration_clocks import SqlRestorationClocks
from adapters.store.sent_messages import SqlSentMessages
from adapters.store.statements import Statements, connect, store_errors
from adapters.store.supply_groups import SqlSupplyGroups
from adapters.store.tenants import SqlTenants
from adapters.store.tids import SqlTids
from adapters.store.tokens import SqlTokens
from adapters.store.uncut import to_its_end
from adapters.store.usage_points import SqlUsagePoints
from adapters.store.vending_keys import SqlVendingKeys
from adapters.store.webhooks import SqlWebhooks
from adapters.store.worklist import SqlWorkList
from headend.outbox import Bell


class SqlTransaction:
    """The collections of the store port, in one transaction."""

    def __init__(self, run: Statements) -> None:
        self.tenants = SqlTenants(run)
        self.meters = SqlMeters(run)
        self.usage_points = SqlUsagePoints(run)
        self.supply_groups = SqlSupplyGroups(run)
        self.tids = SqlTids(run)
        self.recharges = SqlRecharges(run)
        self.tokens = SqlTokens(run)
        self.deliveries = SqlDeliveries(run)
        self.attempts = SqlAttempts(run)
        self.readings = SqlReadings(run)
        self.events = SqlEvents(run)
        self.evidence = SqlEvidence(run)
        self.paid_sales = SqlPaidSales(run)
        self.worklist = SqlWorkList(run)
        self.polls = SqlPolls(run)
        self.api_keys = SqlApiKeys(run)
        self.vending_keys = SqlVendingKeys(run)
        self.outbox = SqlOutbox(run)
        self.webhooks = SqlWebhooks(run)
        self.postings = SqlPostings(run)
        self.people = SqlPeople(run)
        self.audit = SqlAudit(run)
        self.caps = SqlCapRules(run)
        self.dangers = SqlDangerousOrders(run)
        self.approvals = SqlApprovals(run)
        self.holds = SqlHolds(run)
        self.opening_hours = SqlOpeningHours(run)
        self.jobs = SqlJobs(run)
        self.loans = SqlLoans(run)
        self.restoration_clocks = SqlRestorationClocks(run)
        self.escalations = SqlEscalations(run)
        self.compensations = SqlCompensations(run)
        self.answer_histories = SqlAnswerHistories(run)
        self.sent_messages = SqlSentMessages(run)


class SqlStore:
    """The store port on SQLite or PostgreSQL. Raises StoreDown while the database is away.

    StoreDown out of a commit leaves open whether it happened, as any network does: callers
    repeat by the id of what they wrote. `announced` rings when the outbox has something new.
    """

    def __init__(self, engines: Engines, announced: Bell) -> None:
        self._engines = engines
        self._announced = announced

    @classmethod
    def open(cls, url: str, *, announced: Bell | None = None) -> "SqlStore":
        """The store at a database URL; connects when first used. Raises ValueError."""
        return cls(open_engines(url), announced or Bell())

    async def aclose(self) -> None:
        """Close every connection; transactions must have ended."""
        await self._engines.aclose()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlTransaction]:
        """A transaction that writes: committed when left, rolled back by an exception."""
        async with self._engines.gate:
            connection = await connect(self._engines.writer)
            try:
                tx = SqlTransaction(Statements(connection, locks=True))
                yield tx
                announced = await tx.outbox.write_down()
            except BaseException:
                await to_its_end(_undo(connection))
                raise
            await to_its_end(_keep(connection))
        if announced:
            self._announced.ring()

    @asynccontextmanager
    async def look(self) -> AsyncIterator[SqlTransaction]:
        """A transaction that reads; it never waits for one that writes."""
        connection = await connect(self._engines.reader)
        try:
            yield SqlTransaction(Statements(connection, locks=False))
        finally:
            await to_its_end(_undo(connection))


async def _keep(connection: AsyncConnection) -> None:
    try:
        with store_errors():
            await connection.commit()
    except BaseException:
        await connection.invalidate()
        raise
    finally:
        await connection.close()


async def _undo(connection: AsyncConnection) -> None:
    try:
        await connection.rollback()
    except (SQLAlchemyError, OSError):
        await connection.invalidate()
    finally:
        await connection.close()
