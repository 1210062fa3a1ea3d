"""Loans of lines in memory: the same contract as the databases."""

from dataclasses import replace
from datetime import datetime

from headend.loans import Loan
from headend.meters import BusName
from tests.memory_tables import View


class MemoryLoans:
    def __init__(self, view: View[BusName, Loan]) -> None:
        self._view = view

    async def add(self, loan: Loan, *, now: datetime) -> bool:
        known = self._view.get(loan.bus)
        if known is not None and known.holds(now):
            return False
        self._view.put(loan.bus, loan)
        return True

    async def find(self, bus: BusName) -> Loan | None:
        return self._view.get(bus)

    async def renew(self, bus: BusName, ident: str, *, until: datetime) -> bool:
        known = self._mine(bus, ident)
        if known is not None:
            self._view.put(bus, replace(known, until=until))
        return known is not None

    async def answer(
        self, bus: BusName, ident: str, *, noticed_at: datetime, granted_at: datetime | None
    ) -> bool:
        known = self._mine(bus, ident)
        if known is not None:
            self._view.put(bus, replace(known, noticed_at=noticed_at, granted_at=granted_at))
        return known is not None

    async def end(self, bus: BusName, ident: str) -> None:
        if self._mine(bus, ident) is not None:
            self._view.put(bus, None)

    def _mine(self, bus: BusName, ident: str) -> Loan | None:
        known = self._view.get(bus)
        return known if known is not None and known.id == ident else None
