"""The back-office: it sells, repeats until it is answered, reverses, and orders keys and supply."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

from headend.errors import HeadendError
from headend.meters import Drn, KeyType, StsConfiguration
from headend.quantities import Unit, Units
from headend.recharges import Recharge, RechargeOrder, RechargeState
from headend.refusals import CreditNoteRequired, OrderRefused, RechargeDiffers, UnknownRecharge
from headend.supply import SupplyAction, SupplyReason
from headend.usage_points import Contact, ContactKind
from tests.city.meters import SGC
from tests.city.people import People
from tests.city.processes import Gone, Process
from tests.city.site import Kind, Site
from tests.flows.world import TENANT

T = TypeVar("T")
AMOUNTS = ("1", "1", "1", "2", "2", "5", "10", "0.5")
NEIGHBOUR = Contact(ContactKind.SMS, "+27820000001")
TILL = "till"
TIMEOUT_S = 5.0
AGAIN_S = 1.0
SUPPLY_S = 300


@dataclass(eq=False)
class Sale:
    """One payment. `answered_s`: since when the caller knows that it is taken (true time)."""

    order: RechargeOrder
    drn: Drn
    milli: int
    answered_s: float | None = None
    refused: str | None = None
    returned: bool = False

    @property
    def ident(self) -> str:
        assert self.order.id is not None
        return self.order.id


class Office:
    """Sells so many recharges over the busy time. `api` gives a process with REST, if one runs."""

    def __init__(
        self,
        site: Site,
        people: People,
        api: Callable[[], Process | None],
        last_tid: Callable[[Drn], int | None],
    ) -> None:
        self.sales: dict[str, Sale] = {}
        self._site = site
        self._people = people
        self._api = api
        self._last_tid = last_tid
        self._luck = site.plan.luck("office")
        self._repeats = site.plan.luck("repeats")
        self._reversals = site.plan.luck("reversals")
        self._orders = site.plan.luck("orders")
        self._vendor = site.plan.luck("strange sales")

    async def sell_all(self) -> None:
        """Every sale of the plan, and what follows from it, to the end."""
        plan, luck = self._site.plan, self._luck
        times = sorted(luck.random() * plan.busy_s for _ in range(plan.recharges))
        drns = list(self._site.meters)
        drn = luck.choice(drns)
        async with asyncio.TaskGroup() as group:
            for number, at in enumerate(times):
                await asyncio.sleep(at - self._site.loop.time())
                if luck.random() > 0.3:  # else the same customer once more
                    drn = luck.choice(drns)
                group.create_task(self._sell(self._sale(number, drn)))

    def _sale(self, number: int, drn: Drn) -> Sale:
        text = self._luck.choice(AMOUNTS)
        till = self._luck.random() < 0.3 and self._site.has(Kind.TILL)
        told = self._luck.random() < 0.9
        order = RechargeOrder(
            tenant=TENANT,
            id=f"s{number}",
            drn=drn,
            amount=Units.parse(text, Unit.KWH),
            sales_point=TILL if till else None,
            fallback_to=(NEIGHBOUR,) if told else (),
        )
        sale = Sale(order, drn, int(Decimal(text) * 1000))
        self.sales[sale.ident] = sale
        return sale

    async def _sell(self, sale: Sale) -> None:
        self._site.trace.tell(sale.drn, f"{sale.ident}: paid {sale.milli}")
        till = sale.order.sales_point == TILL
        answer = await self._until_answered(
            lambda one: one.recharges.recharge(sale.order, may_reveal=till)
        )
        if isinstance(answer, OrderRefused):
            sale.refused = repr(answer)
            self._site.trace.tell(sale.drn, f"{sale.ident}: refused {answer!r}")
            return
        recharge, _ = answer
        sale.answered_s = self._site.loop.time()
        self._site.trace.tell(sale.drn, f"{sale.ident}: answered {recharge.state}")
        async with asyncio.TaskGroup() as group:
            if till:
                group.create_task(self._show(sale))
            if self._site.has(Kind.REPEAT) and self._repeats.random() < 0.2:
                group.create_task(self._repeat(sale))
            if self._site.has(Kind.REVERSAL) and self._reversals.random() < 0.15:
                group.create_task(self._reverse(sale))
            if self._site.has(Kind.FOREIGN) and self._vendor.random() < 0.1:
                tid = self._last_tid(sale.drn) if self._vendor.random() < 0.5 else None
                self._people.strange_sale(sale.drn, tid)

    async def _show(self, sale: Sale) -> None:
        """At the till the digits are printed, when they may be."""
        tokens = await self._until_answered(lambda one: one.recharges.reveal(TENANT, sale.ident))
        if not isinstance(tokens, OrderRefused) and tokens:
            self._site.trace.fault(Kind.TILL, sale.drn, f"{sale.ident}: digits are printed")
            self._people.hold(sale.drn, tuple(one.digits for one in tokens), within_s=30.0)

    async def _repeat(self, sale: Sale) -> None:
        """The same post again, with the same content or another."""
        await asyncio.sleep(self._repeats.random() * 60)
        same = self._repeats.random() < 0.5
        order = sale.order if same else replace(sale.order, amount=Units(Decimal(3), Unit.KWH))
        self._site.trace.fault(Kind.REPEAT, sale.drn, f"{sale.ident}: posted again, same={same}")
        answer = await self._until_answered(lambda one: one.recharges.recharge(order))
        if not same and not isinstance(answer, RechargeDiffers):
            self._site.violated("an id is one content", sale.drn, f"{sale.ident}: {answer!r}")
        if same and isinstance(answer, OrderRefused):
            self._site.violated("a repeat is an answer", sale.drn, f"{sale.ident}: {answer!r}")

    async def _reverse(self, sale: Sale) -> None:
        """Want the money back, until it is granted or refused."""
        await asyncio.sleep(self._reversals.random() ** 2 * 60)
        self._site.trace.fault(Kind.REVERSAL, sale.drn, f"{sale.ident}: to be reversed")
        answer = await self._until_answered(
            lambda one: one.recharges.reverse(TENANT, sale.ident, reason="a mistake")
        )
        match answer:
            case Recharge(state=RechargeState.REVERSED):
                sale.returned = True
                self._site.trace.tell(sale.drn, f"{sale.ident}: the money went back")
            case CreditNoteRequired() | UnknownRecharge():
                self._site.trace.tell(sale.drn, f"{sale.ident}: not reversed")
            case _:
                self._site.trace.tell(sale.drn, f"{sale.ident}: reversal ends as {answer!r}")
                if isinstance(answer, Recharge) and answer.state is RechargeState.FAILED:
                    sale.returned = True

    # --- keys and supply -----------------------------------------------------------------------

    async def change_keys(self) -> None:
        """A new key for some meters, while they are sold to."""
        drns = [one for one in self._site.meters if self._orders.random() < 0.25]
        for drn in drns:
            await asyncio.sleep(self._orders.random() * self._site.plan.busy_s / len(drns))
            await self._change_key(drn)

    async def _change_key(self, drn: Drn) -> None:
        to = StsConfiguration(SGC, 2, 1, KeyType.UNIQUE, 11)
        self._site.trace.fault(Kind.KEY_CHANGE, drn, "a new key is ordered")
        answer = await self._until_answered(
            lambda one: one.keys.order_change(TENANT, drn, to, ident=f"k{drn}", ordered_by="office")
        )
        if isinstance(answer, OrderRefused):
            self._site.trace.tell(drn, f"key change refused: {answer!r}")

    async def order_supply(self) -> None:
        """Supply is opened and permitted again, here and there."""
        for number in range(6):
            await asyncio.sleep(self._orders.random() * self._site.plan.busy_s / 6)
            drn = self._orders.choice(list(self._site.meters))
            await self._order_supply(drn, f"o{number}", SupplyAction.OPEN)
            await self._order_supply(drn, f"p{number}", SupplyAction.PERMIT_CLOSE)

    async def _order_supply(self, drn: Drn, ident: str, action: SupplyAction) -> None:
        self._site.trace.fault(Kind.SUPPLY, drn, f"supply is ordered: {action}")
        expires_at = self._site.now() + timedelta(seconds=SUPPLY_S)
        answer = await self._until_answered(
            lambda one: one.commands.order_supply(
                TENANT,
                drn,
                ident=ident,
                action=action,
                reason=SupplyReason.NON_PAYMENT,
                expires_at=expires_at,
                ordered_by="office",
            )
        )
        if isinstance(answer, OrderRefused):
            self._site.trace.tell(drn, f"supply order refused: {answer!r}")

    # --- asking --------------------------------------------------------------------------------

    async def _until_answered(
        self, asked: Callable[[Process], Coroutine[Any, Any, T]]
    ) -> T | OrderRefused:
        """Ask, again and again, until there is an answer that is one."""
        while True:
            process = self._api()
            answer: T | Gone | HeadendError = Gone("nobody there")
            if process is not None:
                answer = await process.ask(asked, TIMEOUT_S)
            if isinstance(answer, OrderRefused):
                return answer
            if not isinstance(answer, Gone | HeadendError):
                return answer
            await asyncio.sleep(AGAIN_S * (0.2 + self._luck.random()))
