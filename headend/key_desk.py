"""The desk for keys and engineering tokens: key changes, management tokens, verifying, replacing.

A key change happens because a person scheduled it. A credit is replaced only when the meter has
proved its new key and does not know the old token: the only second mint there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from headend.admission import Wish, require_admitted, wish_for
from headend.announcing import delivery_news
from headend.approvals import EXPIRES_AFTER
from headend.commands import ChangeKey, Command, Manage, urgency
from headend.deliveries import Confirmation, Delivery, DeliveryMethod, DeliveryState, Fact
from headend.errors import Stale
from headend.guesses import Guesses
from headend.issuing import add_tokens, contacts_for, draw_tid, rank_of, ways_to
from headend.key_orders import (
    asked,
    may_show,
    message_id,
    require_askable,
    same_change,
    same_management,
)
from headend.last_looks import require_not_held
from headend.meters import Drn, Keypad, Meter, MeterState, StsConfiguration, TenantId
from headend.outbox import announce
from headend.outcomes import Outcome, write_outcome
from headend.people import UNNAMED, Requester
from headend.ports import Chance, Clock, SecurityModule
from headend.races import lost_races_again
from headend.recharge_desk import Routes
from headend.refusals import (
    KeyChangePending,
    MeterNotInService,
    NoDeliveryMethod,
    NothingToConfirm,
    SameKey,
    UnknownDelivery,
    UnknownMeter,
)
from headend.rekeying import pending_change, same_key
from headend.store import Store, Transaction
from headend.tokens import (
    Issued,
    KeyChangeOrder,
    ManagementOrder,
    Token,
    TokenContents,
    parse_digits,
)
from headend.unconfirmed import can_prove, require_confirmed, withdraw

# Key changes and engineering tokens are worked off over days, by people if need be.
DEADLINE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a token says under the key of a meter, and the token of ours that it is, if any.

    `delivery` is that of our token.
    """

    contents: TokenContents
    ours: Token | None
    delivery: Delivery | None


class KeyDesk:
    """Orders what is done with keys and engineering tokens, once per id."""

    def __init__(
        self,
        store: Store,
        module: SecurityModule,
        routes: Routes,
        *,
        clock: Clock,
        chance: Chance,
        approval_lasts: timedelta = EXPIRES_AFTER,
    ) -> None:
        self._store = store
        self._module = module
        self._routes = routes
        self._clock = clock
        self._chance = chance
        self._approval_lasts = approval_lasts
        self._guesses = Guesses()

    @lost_races_again
    async def order_change(
        self,
        tenant: TenantId,
        drn: Drn,
        to: StsConfiguration,
        *,
        ident: str,
        ordered_by: str,
        requester: Requester = UNNAMED,
        three_kct: bool = False,
    ) -> tuple[Delivery, bool]:
        """Schedule a key change; whether it is new.

        Nothing is made before it is admitted; then the whole set at once, or nothing. Raises
        OrderRefused, ModuleDown.
        """
        known, meter = await self._meter(tenant, drn, ident, needs_key=True)
        if known is not None:
            return same_change(known, drn, to), False
        if same_key(meter.sts, to):
            raise SameKey(f"meter {drn} is recorded with this key already", field="to")
        await self._require_known_key(meter, read_first=True)
        change = ChangeKey(present=meter.sts, to=to)
        await self._admit(
            wish_for(
                meter,
                change,
                ident,
                ordered_by=ordered_by,
                requester=requester,
                three_kct=three_kct,
            )
        )
        wanted = KeyChangeOrder(
            tenant=tenant, drn=drn, present=meter.sts, to=to, three_kct=three_kct
        )
        issued = await self._module.change_key(wanted, message_id=message_id(meter, ident, wanted))
        return await self._add(meter, change, issued, ident=ident, ordered_by=ordered_by)

    @lost_races_again
    async def order_management(
        self,
        tenant: TenantId,
        drn: Drn,
        order: ManagementOrder,
        *,
        ident: str,
        ordered_by: str,
        requester: Requester = UNNAMED,
    ) -> tuple[Delivery, bool]:
        """Make one management or test token and deliver it like credit; whether it is new.

        It is of the key that the meter is recorded with now, and goes to no other.
        Raises OrderRefused, ModuleDown (then nothing is stored: order it again).
        """
        needs_key = order.kind.needs_key
        known, meter = await self._meter(tenant, drn, ident, needs_key=needs_key)
        if known is not None:
            return same_management(known, drn, order), False
        command = Manage(order, meter.sts if needs_key else None)
        wanted = asked(meter, order)
        if needs_key:
            await self._require_known_key(meter)
            await self._module.check(wanted)
        await self._admit(
            wish_for(meter, command, ident, ordered_by=ordered_by, requester=requester)
        )
        if needs_key:
            tid = await self._tid(meter)
            rnd = None if tid is None else self._chance.nibble()
            wanted = replace(wanted, tid=tid, rnd=rnd)
        issued = await self._module.issue(wanted, message_id=message_id(meter, ident, order))
        bulk = requester.job is not None
        return await self._add(
            meter, command, issued, ident=ident, ordered_by=ordered_by, bulk=bulk
        )

    async def verify(self, tenant: TenantId, drn: Drn, digits: str, *, by: str) -> Verified:
        """What 20 digits are: for this meter, of what content, and whether they are ours.

        `by` is who asks, and may bring so many strange ones. Raises OrderRefused, ModuleDown.
        """
        plain = parse_digits(digits, field="token")
        self._guesses.require_left(by, now=self._clock.now())
        async with self._store.look() as tx:
            meter = await _known_meter(tx, tenant, drn)
            ours = await tx.tokens.by_digits(tenant, drn, plain)
            delivery = await tx.deliveries.find(tenant, ours.delivery_id) if ours else None
        if ours is None:
            self._guesses.note(by, now=self._clock.now())
        return Verified(await self._module.read(tenant, meter, plain), ours, delivery)

    async def reveal(self, tenant: TenantId, ident: str) -> Sequence[Token]:
        """The tokens of an order with their digits; from then on they count as out.

        Empty while a bus brings them, where policy never shows digits, and for credit, whose digits
        its recharge shows. The caller must hold the `reveal` scope. Raises UnknownDelivery, and
        KindHeld for what nobody was given yet.
        """
        async with self._store.begin() as tx:
            delivery = await _found(tx, tenant, ident)
            if not await may_show(tx, delivery):
                return ()
            await require_not_held(tx, delivery)
            if not delivery.revealed:
                now = self._clock.now()
                shown = delivery.after(Fact.REVEALED, now=now)
                await tx.deliveries.save(shown, was=delivery.state)
                await announce(tx, *delivery_news(delivery, shown, now=now))
            return await tx.tokens.of(ident, tenant)

    async def confirm(self, tenant: TenantId, ident: str, *, by: str) -> Delivery:
        """A person saw that the meter took what was handed over.

        Raises UnknownDelivery, NothingToConfirm (the digits were never out).
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            delivery = await _found(tx, tenant, ident)
            if delivery.state is DeliveryState.DONE:
                return delivery
            if not isinstance(delivery.command, Manage | ChangeKey):
                raise NothingToConfirm("only key changes and engineering tokens", field="id")
            if not delivery.out:
                raise NothingToConfirm("nobody was given its digits", field="id")
            tokens = await tx.tokens.of(delivery.id, tenant)
            seen = Outcome(
                fact=Fact.SEEN,
                by=Confirmation.PERSON,
                token_id=tokens[0].id if len(tokens) == 1 else None,
                detail=f"confirmed by {by}",
            )
            return await write_outcome(
                tx,
                delivery,
                seen,
                now=now,
                spread=0.0,
                started_at=now,
                method=DeliveryMethod.MANUAL,
            )

    @lost_races_again
    async def withdraw(self, tenant: TenantId, ident: str, *, by: str) -> Delivery:
        """A person says that the meter holds its old key, and that this set will not be entered.

        Raises UnknownDelivery, NothingToWithdraw.
        """
        async with self._store.begin() as tx:
            change = await _found(tx, tenant, ident)
            return await withdraw(tx, change, by=by, now=self._clock.now())

    async def ask_again(self, tenant: TenantId, ident: str) -> Delivery:
        """Let the meter be asked once more about UNRESOLVED tokens; nothing else is changed.

        Raises UnknownDelivery, NothingToAsk (no tokens, or dead ones).
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            delivery = await _found(tx, tenant, ident)
            require_askable(delivery, await tx.tokens.of(delivery.id, tenant))
            asked = Outcome(fact=Fact.ASK_AGAIN)
            after = await write_outcome(tx, delivery, asked, now=now, spread=0.0)
        if after.bus is not None:
            self._routes.wake(after.bus)
        return after

    async def _meter(
        self, tenant: TenantId, drn: Drn, ident: str, *, needs_key: bool
    ) -> tuple[Delivery | None, Meter]:
        """Tests and displays need no key: while a change is on its way they are how it is seen."""
        async with self._store.look() as tx:
            meter = await _known_meter(tx, tenant, drn)
            pending = await pending_change(tx, tenant, drn)
            # Last, so that a change of this very id, ordered meanwhile, is known and no other's.
            known = await tx.deliveries.find(tenant, ident)
            if known is not None:
                return known, meter
            if meter.state is MeterState.RETIRED:
                raise MeterNotInService(f"meter {drn} is {meter.state}", field="meter")
            await self._ways(tx, meter)
            if needs_key and pending is not None:
                raise KeyChangePending(f"a key change of meter {drn} is on its way", field="meter")
        return None, meter

    async def _require_known_key(self, meter: Meter, *, read_first: bool = False) -> None:
        """What is made now is not of a guessed key; `read_first`: the meter proves it anyhow."""
        async with self._store.look() as tx:
            can, ways = self._routes.capabilities(meter), await self._ways(tx, meter)
            if not (read_first and can_prove(can, ways)):
                await require_confirmed(tx, meter)

    async def _admit(self, wish: Wish | None) -> None:
        now = self._clock.now()
        if wish is not None:
            lasting = replace(wish, approval_lasts=self._approval_lasts)
            ident = self._chance.ident(now)
            await require_admitted(self._store, lasting, now=now, approval_id=ident)

    async def _tid(self, meter: Meter) -> int | None:
        key = await self._module.key(meter.tenant, meter.sts.sgc, meter.sts.krn)
        if key.module_draws:
            return None
        async with self._store.begin() as tx:
            last = await tx.tids.last(meter.tenant, meter.drn, key.base_date)
            tid = draw_tid(key, now=self._clock.now(), last=last)
            await tx.tids.give(meter.tenant, meter.drn, key.base_date, tid)
        return tid

    async def _add(
        self,
        meter: Meter,
        command: Command,
        issued: Issued,
        *,
        ident: str,
        ordered_by: str,
        bulk: bool = False,
    ) -> tuple[Delivery, bool]:
        now = self._clock.now()
        async with self._store.begin() as tx:
            current = await _known_meter(tx, meter.tenant, meter.drn)
            if _needs_key(command) and (
                current.sts != meter.sts or await pending_change(tx, meter.tenant, meter.drn)
            ):
                raise Stale(f"the key of meter {meter.drn} was changed just now")
            if isinstance(command, ChangeKey):
                # Two changes ordered at once meet here: the slower one looks again.
                touched = replace(current, version=current.version + 1, changed_at=now)
                await tx.meters.save(touched, was=current.version)
            delivery = await self._delivery(tx, current, command, ident, ordered_by, bulk=bulk)
            await tx.deliveries.add(delivery)
            await add_tokens(tx, issued, delivery, chance=self._chance, now=now)
        if delivery.bus is not None:
            self._routes.wake(delivery.bus)
        return delivery, True

    async def _delivery(
        self,
        tx: Transaction,
        meter: Meter,
        command: Command,
        ident: str,
        ordered_by: str,
        *,
        bulk: bool,
    ) -> Delivery:
        now = self._clock.now()
        return Delivery(
            id=ident,
            tenant=meter.tenant,
            drn=meter.drn,
            bus=meter.route.bus if meter.route else None,
            command=command,
            ordered_by=ordered_by,
            priority=urgency(command, bulk=bulk),
            rank=rank_of(now),
            methods=await self._ways(tx, meter),
            not_before=now,
            deadline=now + DEADLINE,
            created_at=now,
            changed_at=now,
        )

    async def _ways(self, tx: Transaction, meter: Meter) -> frozenset[DeliveryMethod]:
        """By remote, or by hand where there is none: by both at once a set could be mixed up.

        Empty where a person has to ask for the digits. Raises NoDeliveryMethod.
        """
        point = (
            await tx.usage_points.find(meter.tenant, meter.usage_point)
            if meter.usage_point
            else None
        )
        ways = ways_to(meter, self._routes.capabilities(meter), contacts_for(None, point))
        if not ways and meter.keypad is Keypad.NONE:
            raise NoDeliveryMethod(
                "it has neither a route that enters tokens nor a keypad", field="meter"
            )
        remote = frozenset({DeliveryMethod.REMOTE})
        return remote if DeliveryMethod.REMOTE in ways else ways


def _needs_key(command: Command) -> bool:
    """Its tokens are of the key that the meter holds."""
    return not isinstance(command, Manage) or command.order.kind.needs_key


async def _known_meter(tx: Transaction, tenant: TenantId, drn: Drn) -> Meter:
    meter = await tx.meters.find(tenant, drn)
    if meter is None:
        raise UnknownMeter(f"no meter {drn}", field="meter")
    return meter


async def _found(tx: Transaction, tenant: TenantId, ident: str) -> Delivery:
    delivery = await tx.deliveries.find(tenant, ident)
    if delivery is None:
        raise UnknownDelivery(f"no delivery {ident}", field="id")
    return delivery
