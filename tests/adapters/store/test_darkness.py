"""Paid but dark, and the work list, in every store: the same rule as the core's, page by page."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from headend.darkness import Dark, Darkness, dark_page
from headend.deliveries import CLOSED_BY, DeliveryState
from headend.evidence import Evidence, EvidenceKind, Says
from headend.pages import Cursor
from headend.recharges import RechargeState
from headend.supply import DarkCause
from tests.builders import NOW, OTHER_TENANT, TENANT, a_delivery, a_recharge, an_opening

MINUTE = timedelta(minutes=1)
# State of the sale, cause in it, fields of its delivery (None: no token yet), and what it is.
Sale = tuple[RechargeState, DarkCause | None, dict[str, Any] | None, Darkness | None]
SALES: tuple[Sale, ...] = (
    (RechargeState.OPEN, None, None, Darkness.NOT_ISSUED),
    (RechargeState.ISSUED, None, {}, Darkness.ON_ITS_WAY),
    (RechargeState.ISSUED, None, {"attempts": 1, "state": DeliveryState.SENDING},
     Darkness.ON_ITS_WAY),
    (RechargeState.ISSUED, None, {"attempts": 2}, Darkness.UNREACHABLE),
    (RechargeState.ISSUED, None, {"attempts": 2, "maybe_taken": True}, Darkness.UNCERTAIN),
    (RechargeState.ISSUED, None, {"handed_at": NOW, "maybe_taken": True}, Darkness.HANDED_OVER),
    (RechargeState.UNRESOLVED, None, {"state": DeliveryState.UNRESOLVED}, Darkness.UNRESOLVED),
    (RechargeState.CREDITED, None, {"state": DeliveryState.DONE}, Darkness.SUPPLY_UNSEEN),
    (RechargeState.AWAITING_BUTTON, None, {"state": DeliveryState.DONE}, Darkness.AWAITING_BUTTON),
    (RechargeState.DARK, DarkCause.DEBT, {"state": DeliveryState.DONE}, Darkness.DEBT),
    (RechargeState.DARK, None, {"state": DeliveryState.DONE}, Darkness.UNKNOWN),
    (RechargeState.LIT, None, {"state": DeliveryState.DONE}, None),
    (RechargeState.FAILED, None, {"state": DeliveryState.FAILED}, None),
    (RechargeState.REVERSED, None, {"state": DeliveryState.CANCELLED}, None),
)  # fmt: skip


async def with_sales(store):
    async with store.begin() as tx:
        for number, (state, cause, fields, _) in enumerate(SALES):
            made_at = NOW + number * MINUTE
            sale = a_recharge(
                id=f"sale-{number:02}", state=state, dark_cause=cause, created_at=made_at
            )
            await tx.recharges.add(sale)
            if fields is not None:
                delivery = a_delivery(recharge_id=sale.id, created_at=made_at)
                await tx.deliveries.add(replace(delivery, **fields))


async def test_every_sale_that_is_paid_and_not_lit_is_listed_with_its_cause(store):
    await with_sales(store)
    wanted = [(f"sale-{number:02}", cause) for number, (*_, cause) in enumerate(SALES) if cause]
    found: list[tuple[str, Darkness]] = []
    after: str | None = None
    async with store.look() as tx:
        while after is not None or not found:
            page = await tx.paid_sales.page(TENANT, Cursor(after=after, limit=4))
            found += [(sale.recharge.id, sale.cause) for sale in page.items]
            after = page.next
        assert (await tx.paid_sales.page(OTHER_TENANT, Cursor())).items == []
        assert (await tx.paid_sales.page(TENANT, Cursor(), sgc="999999")).items == []
    assert found == wanted


async def test_one_cause_is_found_wherever_it_stands(store):
    await with_sales(store)
    async with store.look() as tx:
        page = await dark_page(tx.paid_sales, TENANT, Cursor(limit=2), cause=Darkness.DEBT)
        assert [sale.recharge.dark_cause for sale in page.items] == [DarkCause.DEBT]
        none = await dark_page(tx.paid_sales, TENANT, Cursor(), cause=Darkness.OVERLOAD)
        assert (none.items, none.next) == ([], None)


async def test_counts_follow_the_same_rule(store):
    await with_sales(store)
    async with store.look() as tx:
        counts = await tx.paid_sales.counts()
    assert sorted(counts, key=lambda dark: dark.cause) == sorted(
        (
            Dark(TENANT, cause, 2 if cause is Darkness.ON_ITS_WAY else 1, NOW + first * MINUTE)
            for cause, first in _firsts().items()
        ),
        key=lambda dark: dark.cause,
    )


def _firsts() -> dict[Darkness, int]:
    firsts: dict[Darkness, int] = {}
    for number, (*_, cause) in enumerate(SALES):
        if cause is not None:
            firsts.setdefault(cause, number)
    return firsts


async def test_what_waits_for_people_is_listed_until_it_is_booked(store):
    await with_sales(store)
    late = a_recharge(id="late", state=RechargeState.REVERSED, created_at=NOW + 60 * MINUTE)
    credited = a_delivery(recharge_id="late", state=DeliveryState.DONE, created_at=late.created_at)
    alone = a_delivery(state=DeliveryState.UNRESOLVED, created_at=NOW + 90 * MINUTE)
    closed = [
        a_delivery(command=an_opening(), state=DeliveryState.UNRESOLVED, stopped_by=fact)
        for fact in CLOSED_BY
    ]
    async with store.begin() as tx:
        for one in closed:
            await tx.deliveries.add(one)
        await tx.recharges.add(late)
        await tx.deliveries.add(credited)
        await tx.deliveries.add(alone)
    async with store.look() as tx:
        first = await tx.worklist.page(TENANT, Cursor(limit=3))
        rest = await tx.worklist.page(TENANT, Cursor(after=first.next))
        assert (await tx.worklist.page(OTHER_TENANT, Cursor())).items == []
    assert [one.recharge_id for one in (*first.items, *rest.items)] == [
        "sale-06", "sale-12", "late", None,
    ]  # fmt: skip
    booked = Evidence(
        tenant=TENANT, delivery_id=credited.id, kind=EvidenceKind.PERSON, says=Says.BOOKED,
        by="A. Diallo", first_at=NOW, received_at=NOW,
    )  # fmt: skip
    async with store.begin() as tx:
        await tx.evidence.note(booked)
    async with store.look() as tx:
        items = (await tx.worklist.page(TENANT, Cursor())).items
    assert [one.recharge_id for one in items] == ["sale-06", "sale-12", None]
