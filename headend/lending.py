"""Lending a line of the head-end, and borrowing it: the two sides of a loan.

The lender is asked by its bus, which is the only user of the line; the borrower is a command that
works without the head-end. Neither ever talks on a line that the other may be talking on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from headend.errors import HeadendError, Stale, StoreDown
from headend.loans import LOAN, Loan
from headend.meters import BusName
from headend.ports import Chance, Clock
from headend.store import Store

# A bus looks for a loan so often; to notice one takes that and a transaction.
LOOK_EVERY_S = 1.0
NOTICE_S = 6.0
# Conversations that are under way may take a minute; what they wrote down comes after.
GRANT_S = 90.0
RENEW_EVERY_S = 4.0
ASK_EVERY_S = 0.2
# A borrower is silent so long before its loan ends, for a question that is under way.
MARGIN_S = 4.0


class LineNotLent(HeadendError):
    """The line cannot be had, or is lost again; the text says what to do."""


class Lendable(Protocol):
    """A line that can be closed while nobody here uses it."""

    async def let_go(self) -> None:
        """Close it; the next question opens it again."""


class Lender:
    """Closes a line for a borrower once its bus has nothing under way on it."""

    def __init__(self, bus: BusName, line: Lendable, *, store: Store, clock: Clock) -> None:
        self._bus = bus
        self._line = line
        self._store = store
        self._clock = clock
        self._looked_at = float("-inf")
        self._lent = False

    async def lent(self, *, busy: bool) -> bool:
        """Whether nothing may be started on the line; `busy`: something is under way on it.

        Raises StoreDown, Stale.
        """
        now_s = asyncio.get_running_loop().time()
        if self._lent or now_s - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now_s
            self._lent = await self._look(busy=busy)
        return self._lent

    async def _look(self, *, busy: bool) -> bool:
        async with self._store.look() as tx:
            loan = await tx.loans.find(self._bus)
        if loan is None or not loan.holds(self._clock.now()):
            return False
        if busy and loan.noticed_at is None:
            await self._answer(loan, granted=False)
        elif not busy and loan.granted_at is None:
            await self._line.let_go()
            await self._answer(loan, granted=True)
        return True

    async def _answer(self, loan: Loan, *, granted: bool) -> None:
        now = self._clock.now()
        async with self._store.begin() as tx:
            await tx.loans.answer(
                self._bus,
                loan.id,
                noticed_at=loan.noticed_at or now,
                granted_at=now if granted else None,
            )


@dataclass(frozen=True, slots=True)
class Borrowed:
    """A line in our hands. `granted`: a head-end let it go; else nobody serves it."""

    granted: bool


class Borrower:
    """Borrows lines for one person; `tell` is called with what is waited for."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        chance: Chance,
        name: str,
        tell: Callable[[str], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._chance = chance
        self._name = name
        self._tell = tell

    @asynccontextmanager
    async def borrow(self, bus: BusName) -> AsyncIterator[Borrowed]:
        """The line of a bus as long as the block lasts, and no longer than it can be renewed.

        Raises LineNotLent, StoreDown.
        """
        loan = await self._ask(bus)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOAN.total_seconds() - MARGIN_S) as lapse:
                renewing = loop.create_task(self._renew(loan, lapse), name=f"loan of {bus}")
                try:
                    yield Borrowed(granted=await self._granted(loan))
                finally:
                    renewing.cancel()
                    with suppress(asyncio.CancelledError):
                        await renewing
        except TimeoutError:
            if not lapse.expired():
                raise
            raise LineNotLent(
                f"the loan of {bus} could not be renewed in the database, so the line was given"
                " back; see that the database can be reached, and begin again"
            ) from None
        finally:
            await self._give_back(loan)

    async def _ask(self, bus: BusName) -> Loan:
        now = self._clock.now()
        loan = Loan(
            bus=bus,
            id=self._chance.ident(now),
            borrower=self._name,
            asked_at=now,
            until=now + LOAN,
        )
        async with self._store.begin() as tx:
            if await tx.loans.add(loan, now=now):
                return loan
            other = await tx.loans.find(bus)
        who = f"{other.borrower} since {other.asked_at:%H:%M:%S} UTC" if other else "somebody else"
        raise LineNotLent(
            f"{bus} is lent to {who}; wait until that work has ended (a loan that is not renewed"
            f" ends within {LOAN.total_seconds():.0f} s), and try again"
        )

    async def _granted(self, loan: Loan) -> bool:
        """Wait until the head-end has let go; False when none is there to do so."""
        loop = asyncio.get_running_loop()
        began, told = loop.time(), False
        while True:
            async with self._store.look() as tx:
                now = await tx.loans.find(loan.bus)
            if now is None or now.id != loan.id:
                raise LineNotLent(f"the loan of {loan.bus} was taken away; try again")
            if now.granted_at is not None:
                return True
            waited_s = loop.time() - began
            if now.noticed_at is None and waited_s > NOTICE_S:
                return False
            if waited_s > GRANT_S:
                raise LineNotLent(
                    f"the head-end has not let go of {loan.bus} within {GRANT_S:.0f} s;"
                    f" see what it does there: headend line {loan.bus}"
                )
            if now.noticed_at is not None and not told:
                self._tell(f"the head-end ends its conversations on {loan.bus}")
                told = True
            await asyncio.sleep(ASK_EVERY_S)

    async def _renew(self, loan: Loan, lapse: asyncio.Timeout) -> None:
        """Every few seconds; while the database is away the loan runs on as far as it goes."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            asked_s = loop.time()
            until = self._clock.now() + LOAN
            try:
                async with self._store.begin() as tx:
                    still = await tx.loans.renew(loan.bus, loan.id, until=until)
            except (StoreDown, Stale):
                continue
            left_s = LOAN.total_seconds() - MARGIN_S if still else 0.0
            lapse.reschedule(asked_s + left_s)
            if not still:
                return

    async def _give_back(self, loan: Loan) -> None:
        """The line is ours no more; if the database is away the loan ends by itself."""
        ending = asyncio.ensure_future(self._end(loan))
        await asyncio.shield(ending)

    async def _end(self, loan: Loan) -> None:
        with suppress(StoreDown, Stale):
            async with self._store.begin() as tx:
                await tx.loans.end(loan.bus, loan.id)
