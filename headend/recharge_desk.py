"""The desk that turns orders into tokens and deliveries, once per order id.

Two commits: OPEN with TID and RND drawn, then tokens and delivery together. Whatever dies between
them, a repeat or the sweeper makes the same digits.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from headend.announcing import delivery_news, recharge_news
from headend.choosing import choose_method, open_recharge
from headend.deliveries import Delivery, DeliveryMethod, Fact
from headend.errors import ModuleDown, Stale
from headend.issuing import (
    add_tokens,
    brought,
    cancel_openings,
    check_form,
    check_meter,
    check_sale,
    check_ways,
    contacts_for,
    credit_asked,
    draw,
    make_delivery,
    ways_to,
)
from headend.meters import (
    BusName,
    Capability,
    Drn,
    Meter,
    Service,
    StsConfiguration,
    TenantId,
    parse_drn,
)
from headend.notes import reveal_set
from headend.outbox import announce
from headend.places import Place, place_of
from headend.ports import Chance, Clock, SecurityModule
from headend.races import RACES, lost_races_again
from headend.recharges import Recharge, RechargeOrder, RechargeState, first_difference, settle
from headend.refusals import (
    NotReplaceable,
    OrderRefused,
    RechargeDiffers,
    UnknownMeter,
)
from headend.rekeying import Timing, key_for_sale, when_to_issue
from headend.replacing import bury, replacing_order, to_replace
from headend.reversals import found, may_show_of, undo
from headend.store import Store, Transaction
from headend.supply_groups import Reveal
from headend.tokens import Issued, Token, TokenOrder
from headend.vending_keys import VendingKey

SWEEP_AFTER = timedelta(seconds=10)
SWEEP_BATCH = 100


class Routes(Protocol):
    """What the wires of this head-end can do for a meter, and how to wake them."""

    def capabilities(self, meter: Meter) -> Capability: ...

    def wake(self, bus: BusName) -> None: ...


class RechargeDesk:
    """Opens, issues, repeats and reverses recharges."""

    def __init__(
        self,
        store: Store,
        module: SecurityModule,
        routes: Routes,
        *,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._store = store
        self._module = module
        self._routes = routes
        self._clock = clock
        self._chance = chance
        self._swept_to: datetime | None = None

    async def recharge(
        self, order: RechargeOrder, *, may_reveal: bool = False, bulk: bool = False
    ) -> tuple[Recharge, bool]:
        """The recharge of this order, and whether it is new.

        `may_reveal`: the caller may see digits; where policy shows them at once they count as out.
        `bulk`: one of many of a job, which lets those go first that somebody waits for.
        Raises OrderRefused (then nothing is stored); stays OPEN while the module is down.
        """
        drn = parse_drn(order.drn)
        check_form(order)
        is_new = False
        for _ in range(RACES):
            with suppress(Stale):  # somebody opened or issued it meanwhile: it is a repeat
                known = await self._known(order)
                if known is None:
                    known, is_new = await self._open(order, drn), True
                return await self._issue(known, may_reveal=may_reveal, bulk=bulk), is_new
        raise Stale(f"recharge {order.id or order.idempotency_key}")

    async def finish_open_recharges(self) -> int:
        """Issue what a crash or a module that was down has left OPEN; how many were tried."""
        before = self._clock.now() - SWEEP_AFTER
        async with self._store.look() as tx:
            left = await tx.recharges.open(since=self._swept_to, before=before, limit=SWEEP_BATCH)
        # The next round goes on from here, so that those which cannot be issued block nobody.
        self._swept_to = left[-1].created_at if len(left) == SWEEP_BATCH else None
        for recharge in left:
            try:
                await self._issue(recharge)
            except (OrderRefused, Stale):
                continue  # stays OPEN and shows as such; the next ones must not wait for it
        return len(left)

    @lost_races_again
    async def reverse(self, tenant: TenantId, ident: str, *, reason: str) -> Recharge:
        """Undo a sale whose digits were never out; raises CreditNoteRequired, UnknownRecharge."""
        async with self._store.begin() as tx:
            return await undo(tx, tenant, ident, reason=reason, now=self._clock.now())

    @lost_races_again
    async def replace(self, tenant: TenantId, ident: str, *, new_id: str) -> Recharge:
        """A new recharge for one whose token died with the meter's old key; the two are linked.

        Raises OrderRefused, NotReplaceable first; the same again gives the same new recharge.
        """
        async with self._store.look() as tx:
            dead = await to_replace(tx, tenant, ident, new_id=new_id)
        if dead.replaced_by is None:
            await self._open_replacement(dead, new_id)
        async with self._store.look() as tx:
            replacement = await found(tx, tenant, new_id)
        return await self._issue(replacement)

    async def reveal(self, tenant: TenantId, ident: str) -> Sequence[Token]:
        """The tokens with their digits, if policy shows them now; from then on they count as out.

        Empty when they may not be shown (yet). The caller must hold the `reveal` scope.
        """
        now = self._clock.now()
        async with self._store.look() as tx:
            if not await may_show_of(tx, tenant, ident, now=now):
                return ()
        async with self._store.begin() as tx:
            current = await tx.deliveries.of(ident, tenant)
            # It may be reversed by now.
            if current is None or not await may_show_of(tx, tenant, ident, now=now):
                return ()
            if not current.revealed:
                shown = current.after(Fact.REVEALED, now=now)
                await tx.deliveries.save(shown, was=current.state)
                await announce(tx, *delivery_news(current, shown, now=now))
            await reveal_set(tx, current, now=now)
            return await tx.tokens.of(current.id, tenant)

    # --- opening -------------------------------------------------------------------------------

    async def _known(self, order: RechargeOrder) -> Recharge | None:
        async with self._store.look() as tx:
            known = None
            if order.id is not None:
                known = await tx.recharges.find(order.tenant, order.id)
            if known is None and order.idempotency_key is not None:
                known = await tx.recharges.find_by_key(order.tenant, order.idempotency_key)
        if known is None:
            return None
        if order.id is not None and order.id != known.id:
            raise RechargeDiffers(known.id, "id")
        if field := first_difference(known.order, order):
            raise RechargeDiffers(known.id, field)
        return known

    async def _open(self, order: RechargeOrder, drn: Drn) -> Recharge:
        keyed = await self._key(order, drn) if order.amount is not None else None
        now = self._clock.now()
        async with self._store.begin() as tx:
            place = await place_of(tx, order.tenant, drn, now=now)
            await check_sale(tx, order, place, self._ways(order, place), now=now)
            recharge = self._new(order, place, now=now)
            if keyed is not None:
                key, sts = keyed
                if sts != await key_for_sale(tx, place.meter):
                    raise Stale(f"the key of meter {drn} was changed just now")
                drawn = replace(recharge, sts=sts)
                recharge = await draw(tx, drawn, key, now=now, chance=self._chance)
            await open_recharge(tx, recharge, place, now=now)
        return recharge

    async def _key(self, order: RechargeOrder, drn: Drn) -> tuple[VendingKey, StsConfiguration]:
        async with self._store.look() as tx:
            meter = await tx.meters.find(order.tenant, drn)
            if meter is None:
                raise UnknownMeter(f"no meter {drn}", field="meter")
            sts = await key_for_sale(tx, meter)
        check_meter(meter, order.amount)
        assert order.amount is not None
        return await self._module.check(credit_asked(meter, sts, order.amount)), sts

    def _ways(self, order: RechargeOrder, place: Place) -> frozenset[DeliveryMethod]:
        can = self._routes.capabilities(place.meter)
        return ways_to(place.meter, can, contacts_for(order, place.point))

    def _new(self, order: RechargeOrder, place: Place, *, now: datetime) -> Recharge:
        return Recharge(
            id=order.id or self._chance.ident(now),
            tenant=order.tenant,
            drn=place.meter.drn,
            order=order,
            state=RechargeState.OPEN,
            sts=place.meter.sts,
            requested=order.amount,
            reveal=place.group.reveal_for(order.sales_point),
            created_at=now,
            changed_at=now,
        )

    async def _open_replacement(self, dead: Recharge, new_id: str) -> None:
        order = replacing_order(dead, new_id)
        key, sts = await self._key(order, dead.drn)
        now = self._clock.now()
        async with self._store.begin() as tx:
            place = await place_of(tx, dead.tenant, dead.drn, now=now)
            if sts != place.meter.sts:
                raise NotReplaceable("another key change is on its way", field="id")
            reveal = place.group.reveal_for(order.sales_point)
            check_ways(place.meter, self._ways(order, place), reveal, order)
            can = self._routes.capabilities(place.meter)
            await bury(tx, dead, can=can, replaced_by=new_id, now=now)
            fresh = replace(self._new(order, place, now=now), replaces=dead.id)
            drawn = await draw(tx, fresh, key, now=now, chance=self._chance)
            await open_recharge(tx, drawn, place, now=now)

    # --- issuing -------------------------------------------------------------------------------

    async def _issue(
        self, recharge: Recharge, *, may_reveal: bool = False, bulk: bool = False
    ) -> Recharge:
        """Tokens and delivery of an OPEN recharge, in one commit; others are left as they are."""
        if recharge.state is not RechargeState.OPEN:
            return recharge
        try:
            timely = await self._timely(recharge)
            if timely is None:
                return recharge
            recharge = timely
            issued = await self._tokens_for(recharge)
        except ModuleDown:
            return recharge
        now = self._clock.now()
        async with self._store.begin() as tx:
            current = await found(tx, recharge.tenant, recharge.id)
            if current.state is not RechargeState.OPEN:
                return current
            if (current.tid, current.sts) != (recharge.tid, recharge.sts):
                raise Stale(f"recharge {current.id} was drawn anew")
            place = await place_of(tx, current.tenant, current.drn, now=now)
            at_once = may_reveal and current.reveal is Reveal.AT_ONCE
            delivery = make_delivery(
                current,
                place.meter,
                place.group,
                ident=self._chance.ident(now),
                size=len(issued.tokens),
                methods=self._ways(current.order, place),
                revealed=at_once or bool(current.order.tokens),
                bulk=bulk,
                now=now,
            )
            can = self._routes.capabilities(place.meter)
            delivery = await choose_method(tx, delivery, place, can, now=now)
            after = await self._write_issued(tx, current, issued, delivery, place, now=now)
        if delivery.bus is not None:
            self._routes.wake(delivery.bus)
        return after

    async def _tokens_for(self, recharge: Recharge) -> Issued:
        amount = recharge.order.amount
        if amount is None:
            return brought(recharge.order)
        order = TokenOrder(
            tenant=recharge.tenant,
            drn=recharge.drn,
            service=await self._service(recharge),
            sts=recharge.sts,
            content=amount,
            tid=recharge.tid,
            rnd=recharge.rnd,
        )
        # The key is part of the id: a sale that is drawn anew is another message.
        sts = recharge.sts
        key = f"{sts.sgc}/{sts.krn}/{sts.tariff_index}/{sts.key_type}/{sts.ea}"
        message_id = f"{recharge.tenant}/{recharge.id}/{key}"
        return await self._module.issue(order, message_id=message_id)

    async def _timely(self, recharge: Recharge) -> Recharge | None:
        """The recharge under the key that its meter has or gets; None: a key change goes first."""
        if recharge.order.amount is None:
            return recharge
        now = self._clock.now()
        async with self._store.look() as tx:
            place = await place_of(tx, recharge.tenant, recharge.drn, now=now)
            timing = await when_to_issue(tx, place.meter, recharge.sts)
        match timing:
            case Timing.NOW:
                return recharge
            case Timing.AFTER_CHANGE:
                # A customer does not wait for a dead wire: the set and the credit go by hand.
                waited = now >= place.group.fallback_at(recharge.created_at)
                by_hand = DeliveryMethod.MANUAL in self._ways(recharge.order, place)
                return recharge if waited and by_hand else None
            case Timing.UNCONFIRMED:
                return None  # a person has to say which key the meter holds
            case Timing.OTHER_KEY:
                return await self._drawn_anew(recharge)

    async def _drawn_anew(self, recharge: Recharge) -> Recharge:
        """Nothing was minted yet, so it is drawn for the key that the meter has or gets now."""
        async with self._store.look() as tx:
            sts = await key_for_sale(tx, await _meter(tx, recharge))
        key = await self._module.key(recharge.tenant, sts.sgc, sts.krn)
        now = self._clock.now()
        async with self._store.begin() as tx:
            current = await found(tx, recharge.tenant, recharge.id)
            if current.state is not RechargeState.OPEN:
                return current
            anew = replace(current, sts=sts, changed_at=now)
            drawn = await draw(tx, anew, key, now=now, chance=self._chance)
            await tx.recharges.save(drawn, was=RechargeState.OPEN)
        return drawn

    async def _service(self, recharge: Recharge) -> Service:
        async with self._store.look() as tx:
            return (await _meter(tx, recharge)).service

    async def _write_issued(
        self,
        tx: Transaction,
        recharge: Recharge,
        issued: Issued,
        delivery: Delivery,
        place: Place,
        *,
        now: datetime,
    ) -> Recharge:
        await tx.deliveries.add(delivery)
        await add_tokens(tx, issued, delivery, chance=self._chance, now=now)
        told = replace(recharge, issued_at=now, encoded=issued.encoded)
        after = settle(told, delivery, now=now)
        await tx.recharges.save(after, was=RechargeState.OPEN)
        news = (*recharge_news(recharge, after, now=now), *delivery_news(None, delivery, now=now))
        await announce(tx, *news)
        if delivery.revealed:
            await reveal_set(tx, delivery, now=now)
        await cancel_openings(tx, place.meter, now=now)
        return after


async def _meter(tx: Transaction, recharge: Recharge) -> Meter:
    meter = await tx.meters.find(recharge.tenant, recharge.drn)
    if meter is None:
        raise UnknownMeter(f"no meter {recharge.drn}", field="meter")
    return meter
