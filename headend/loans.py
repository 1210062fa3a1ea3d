"""Loans: a line of the head-end in the hands of a person for a while, so that it has one master.

The borrower writes a loan down and renews it. Whoever serves the bus notices it, starts nothing
more there, lets its conversations end, closes the line, and grants the loan only then. One that is
renewed no more ends by itself, so that no borrower who dies keeps a line dark. Callers bring the
time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from headend.meters import BusName

# How long a loan holds without being renewed.
LOAN = timedelta(seconds=20)
# How much later it is taken back: the clocks of two machines, and a store that answers late.
GRACE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """One bus, lent or to be lent; `borrower` says to people who has it."""

    bus: BusName
    id: str
    borrower: str
    asked_at: datetime
    until: datetime
    noticed_at: datetime | None = None
    granted_at: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Nobody else may use the line yet."""
        return now < self.until + GRACE


class Loans(Protocol):
    """At most one loan of a bus at a time."""

    async def add(self, loan: Loan, *, now: datetime) -> bool:
        """Write it down unless another one holds; whether it stands there now."""

    async def find(self, bus: BusName) -> Loan | None: ...

    async def renew(self, bus: BusName, ident: str, *, until: datetime) -> bool:
        """Whether it is still there."""

    async def answer(
        self, bus: BusName, ident: str, *, noticed_at: datetime, granted_at: datetime | None
    ) -> bool:
        """Let the borrower know; whether the loan is still there."""

    async def end(self, bus: BusName, ident: str) -> None:
        """Take it away; fine when it is gone already."""
