"""Paid but dark: the live list of sales that are paid and not lit, with cause and age."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import Reader
from api.documenting import explained
from api.head_end import Desks
from api.routes.forms import PagesAsked, PageTold, Told, grows
from api.routes.quantities import AmountTold, amount_told, milli_told
from api.routes.recharge_answer import NextTold
from headend import refusals
from headend.darkness import Darkness, PaidSale, dark_page
from headend.prospects import what_next
from headend.recharges import RechargeState

router = APIRouter(prefix="/v1", tags=["paid but dark"])


class PaidSaleTold(Told):
    """One sale without light. `missing` is what is to be bought (or paid) until supply returns."""

    recharge: str
    meter: str
    group: str
    reference: str | None
    state: Annotated[RechargeState, grows(RechargeState)]
    cause: Annotated[Darkness, grows(Darkness)]
    amount: AmountTold | None
    missing: str | None
    debt: str | None
    paid_at: datetime
    age_s: int
    supply_seen_at: datetime | None
    next: NextTold

    @classmethod
    def of(cls, sale: PaidSale, *, now: datetime) -> "PaidSaleTold":
        recharge = sale.recharge
        return cls(
            recharge=recharge.id,
            meter=recharge.drn,
            group=recharge.sts.sgc,
            reference=recharge.order.reference,
            state=recharge.state,
            cause=sale.cause,
            amount=amount_told(recharge.encoded or recharge.requested),
            missing=milli_told(recharge.missing_milli),
            debt=milli_told(recharge.debt_milli),
            paid_at=recharge.created_at,
            age_s=int((now - recharge.created_at).total_seconds()),
            supply_seen_at=recharge.supply_at,
            next=NextTold.of(what_next(recharge, sale.delivery, now)),
        )


@router.get(
    "/paid-but-dark",
    summary="Sales that are paid and not lit, oldest first",
    responses=explained(refusals.MalformedOrder),
)
async def list_dark(
    caller: Reader,
    desks: Desks,
    paging: PagesAsked,
    cause: Darkness | None = None,
    group: Annotated[
        str | None, Query(pattern=r"^[0-9]{6}$", description="A supply group code.")
    ] = None,
) -> PageTold[PaidSaleTold]:
    """Sales whose credit is not in the meter yet, and those whose credit is in without light. With
    `cause` a page may be short, or empty, and still have a next one.
    """
    async with desks.store.look() as tx:
        page = await dark_page(tx.paid_sales, caller.tenant, paging.cursor, cause=cause, sgc=group)
    now = desks.clock.now()
    return paging.told(page, [PaidSaleTold.of(sale, now=now) for sale in page.items])
