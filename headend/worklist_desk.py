"""The desk of the work list: what is on it, and what people say or have done about it."""

from collections.abc import Callable

from headend.announcing import delivery_news
from headend.deliveries import CLOSED_BY, Delivery, DeliveryState, Fact
from headend.evidence import KEPT, Says
from headend.meters import BusName, TenantId
from headend.outbox import announce
from headend.outcomes import settle_recharge
from headend.pages import Cursor, Page
from headend.ports import Chance, Clock
from headend.proving import weigh_in
from headend.races import lost_races_again
from headend.refusals import MeterSaysOtherwise, NotOnTheWorkList, TooMuchSaid, UnknownDelivery
from headend.settling import settle_order
from headend.store import Store, Transaction
from headend.tokens import TokenState
from headend.worklist import Work, WorkCause, handed_again, word_of


class WorkListDesk:
    """Shows what waits for people, and takes their word; every word is kept with who gave it."""

    def __init__(
        self, store: Store, *, clock: Clock, chance: Chance, wake: Callable[[BusName], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._chance = chance
        self._wake = wake

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[Work]:
        """Oldest first."""
        async with self._store.look() as tx:
            found = await tx.worklist.page(tenant, cursor)
            items = [await work_of(tx, delivery) for delivery in found.items]
        return Page(items, found.next)

    @lost_races_again
    async def say_taken(self, tenant: TenantId, ident: str, *, by: str, note: str) -> Delivery:
        """A person has read the meter's display or log, and it took all the tokens.

        Raises UnknownDelivery, NotOnTheWorkList, MeterSaysOtherwise, TooMuchSaid.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            work = await _open_work(tx, tenant, ident)
            if work.of_order:
                return await settle_order(
                    tx, work, Says.TAKEN, Fact.SEEN, by=by, note=note, now=now
                )
            if work.refused_by_meter:
                raise MeterSaysOtherwise("the meter itself refused a token of it", field="id")
            for token in work.waiting:
                delivery = await _found(tx, tenant, ident)
                word = word_of(delivery, token, Says.TAKEN, by=by, note=note, now=now)
                spread = self._chance.spread()
                if len(await tx.evidence.of(ident, tenant)) >= KEPT:
                    raise TooMuchSaid("there is no room for more evidence of it", field="id")
                await weigh_in(tx, delivery, word, now=now, spread=spread)
            return await _found(tx, tenant, ident)

    @lost_races_again
    async def say_not_taken(self, tenant: TenantId, ident: str, *, by: str, note: str) -> Delivery:
        """A person has seen that the meter did not take it: the same digits are handed over again.

        An order without tokens is closed and nothing is sent: whoever still wants it orders anew.
        Raises UnknownDelivery, NotOnTheWorkList, MeterSaysOtherwise, TooMuchSaid.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            work = await _open_work(tx, tenant, ident)
            if work.of_order:
                fact = Fact.NOT_AS_ORDERED
                return await settle_order(tx, work, Says.NOT_SEEN, fact, by=by, note=note, now=now)
            if work.refused_by_meter:
                raise MeterSaysOtherwise(
                    "the meter refused these digits and will not take them from a keypad either;"
                    " correct its record or its key, or settle it in the books",
                    field="id",
                )
            for token in work.waiting:
                word = word_of(work.delivery, token, Says.NOT_SEEN, by=by, note=note, now=now)
                if not await tx.evidence.note(word):
                    raise TooMuchSaid("there is no room for more evidence of it", field="id")
            again = handed_again(work.delivery, now=now)
            await tx.deliveries.save(again, was=work.delivery.state)
            await announce(tx, *delivery_news(work.delivery, again, now=now))
            await settle_recharge(tx, again, now=now)
        if again.bus is not None:
            self._wake(again.bus)
        return again

    @lost_races_again
    async def withdraw(self, tenant: TenantId, ident: str, *, by: str, note: str) -> Delivery:
        """Nobody wants an order in doubt any more, nor asks what became of it; nothing is sent.

        Raises UnknownDelivery, NotOnTheWorkList (tokens too: they stay valid), TooMuchSaid.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            work = await work_of(tx, await _found(tx, tenant, ident))
            if not work.may_be_withdrawn:
                raise NotOnTheWorkList(
                    "only supply, clock and credit parameters whose outcome is in doubt", field="id"
                )
            says, fact = Says.WITHDRAWN, Fact.WITHDRAWN
            return await settle_order(tx, work, says, fact, by=by, note=note, now=now)

    @lost_races_again
    async def book(self, tenant: TenantId, ident: str, *, by: str, note: str) -> Delivery:
        """The back-office has put its books right for a credit that came after the reversal.

        Raises UnknownDelivery, NotOnTheWorkList, TooMuchSaid.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            work = await work_of(tx, await _found(tx, tenant, ident))
            if work.cause is not WorkCause.CREDITED_AFTER_REVERSAL:
                raise NotOnTheWorkList("no credit came after a reversal of it", field="id")
            word = word_of(work.delivery, None, Says.BOOKED, by=by, note=note, now=now)
            if not await tx.evidence.note(word):
                raise TooMuchSaid("there is no room for more evidence of it", field="id")
        return work.delivery


async def work_of(tx: Transaction, delivery: Delivery) -> Work:
    """A delivery with all that belongs to it."""
    recharge = None
    if delivery.recharge_id is not None:
        recharge = await tx.recharges.find(delivery.tenant, delivery.recharge_id)
    return Work(
        delivery=delivery,
        recharge=recharge,
        tokens=await tx.tokens.of(delivery.id, delivery.tenant),
        evidence=await tx.evidence.of(delivery.id, delivery.tenant),
    )


async def _found(tx: Transaction, tenant: TenantId, ident: str) -> Delivery:
    delivery = await tx.deliveries.find(tenant, ident)
    if delivery is None:
        raise UnknownDelivery(f"no delivery {ident}", field="id")
    return delivery


async def _open_work(tx: Transaction, tenant: TenantId, ident: str) -> Work:
    """Raises NotOnTheWorkList unless it is unresolved and of a kind that people can confirm."""
    delivery = await _found(tx, tenant, ident)
    work = await work_of(tx, delivery)
    dead = any(token.state is TokenState.DEAD for token in work.tokens)
    closed = delivery.stopped_by in CLOSED_BY
    if delivery.state is not DeliveryState.UNRESOLVED or dead or closed:
        raise NotOnTheWorkList(f"delivery {ident} is {delivery.state}", field="id")
    return work
