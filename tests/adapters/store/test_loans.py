"""Loans of lines, in every store: one borrower of a bus at a time."""

from dataclasses import replace
from datetime import timedelta

from headend.loans import GRACE, LOAN, Loan
from headend.meters import BusName
from tests.builders import NOW

BUS = BusName("line-1")


def a_loan(ident: str = "one", bus: BusName = BUS) -> Loan:
    return Loan(bus=bus, id=ident, borrower="a person", asked_at=NOW, until=NOW + LOAN)


async def test_a_line_is_lent_to_one_at_a_time(store):
    async with store.begin() as tx:
        assert await tx.loans.find(BUS) is None
        assert await tx.loans.add(a_loan(), now=NOW)
        assert not await tx.loans.add(a_loan("two"), now=NOW)
        assert await tx.loans.add(a_loan("other", BusName("line-2")), now=NOW)
    async with store.look() as tx:
        assert await tx.loans.find(BUS) == a_loan()


async def test_a_loan_that_nobody_renews_is_replaced(store):
    async with store.begin() as tx:
        await tx.loans.add(a_loan(), now=NOW)
        late = replace(a_loan("two"), asked_at=NOW + LOAN)
        just_before = NOW + LOAN + GRACE - timedelta(milliseconds=1)
        assert not await tx.loans.add(late, now=just_before)
        assert await tx.loans.add(late, now=NOW + LOAN + GRACE)
        assert await tx.loans.find(BUS) == late
        assert not await tx.loans.renew(BUS, "one", until=NOW + 9 * LOAN)


async def test_the_lender_answers_and_the_borrower_renews_and_ends(store):
    async with store.begin() as tx:
        await tx.loans.add(a_loan(), now=NOW)
        assert await tx.loans.answer(BUS, "one", noticed_at=NOW, granted_at=None)
        assert await tx.loans.renew(BUS, "one", until=NOW + 2 * LOAN)
    async with store.begin() as tx:
        assert await tx.loans.answer(BUS, "one", noticed_at=NOW, granted_at=NOW + LOAN)
        assert not await tx.loans.answer(BUS, "two", noticed_at=NOW, granted_at=NOW)
    async with store.begin() as tx:
        expected = replace(a_loan(), until=NOW + 2 * LOAN, noticed_at=NOW, granted_at=NOW + LOAN)
        assert await tx.loans.find(BUS) == expected
        await tx.loans.end(BUS, "two")
        assert await tx.loans.find(BUS) == expected
        await tx.loans.end(BUS, "one")
        await tx.loans.end(BUS, "one")
        assert await tx.loans.find(BUS) is None
