"""Loans of lines in the database: one row a bus."""

from datetime import datetime

from sqlalchemy import bindparam, delete, select, update

from adapters.store.inserts import new_only
from adapters.store.loan_tables import loans
from adapters.store.statements import Statements
from headend.loans import GRACE, Loan
from headend.meters import BusName

_c = loans.c
_BUS = _c.bus == bindparam("bus_")
_MINE = (_BUS, _c.id == bindparam("id_"))
_ADD = new_only(loans)
_FIND = select(loans).where(_BUS)
_FORGET = delete(loans).where(_BUS, _c.until <= bindparam("ended"))
_RENEW = update(loans).where(*_MINE).values(until=bindparam("until_"))
_ANSWER = (
    update(loans)
    .where(*_MINE)
    .values(noticed_at=bindparam("noticed"), granted_at=bindparam("granted"))
)
_END = delete(loans).where(*_MINE)


class SqlLoans:
    """Satisfies the loans of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, loan: Loan, *, now: datetime) -> bool:
        await self._run.changed(_FORGET, {"bus_": loan.bus, "ended": now - GRACE})
        columns = {
            "bus": loan.bus,
            "id": loan.id,
            "borrower": loan.borrower,
            "asked_at": loan.asked_at,
            "until": loan.until,
            "noticed_at": loan.noticed_at,
            "granted_at": loan.granted_at,
        }
        return bool(await self._run.changed(_ADD[self._run.dialect], columns))

    async def find(self, bus: BusName) -> Loan | None:
        row = await self._run.row(_FIND, {"bus_": bus})
        if row is None:
            return None
        return Loan(
            bus=row.bus,
            id=row.id,
            borrower=row.borrower,
            asked_at=row.asked_at,
            until=row.until,
            noticed_at=row.noticed_at,
            granted_at=row.granted_at,
        )

    async def renew(self, bus: BusName, ident: str, *, until: datetime) -> bool:
        return bool(await self._run.changed(_RENEW, {"bus_": bus, "id_": ident, "until_": until}))

    async def answer(
        self, bus: BusName, ident: str, *, noticed_at: datetime, granted_at: datetime | None
    ) -> bool:
        told = {"bus_": bus, "id_": ident, "noticed": noticed_at, "granted": granted_at}
        return bool(await self._run.changed(_ANSWER, told))

    async def end(self, bus: BusName, ident: str) -> None:
        await self._run.changed(_END, {"bus_": bus, "id_": ident})
