"""What may be sold and how it can travel: the decisions behind a recharge."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from headend.announcing import delivery_news
from headend.commands import EnterToken, SetSupply, urgency
from headend.deliveries import Delivery, DeliveryMethod, DeliveryState, Fact
from headend.meters import Capability, Keypad, Meter, MeterState, StsConfiguration
from headend.outbox import announce
from headend.places import Place
from headend.ports import Chance
from headend.quantities import Amount, Currency, Units
from headend.recharges import Recharge, RechargeOrder
from headend.refusals import (
    AmountAboveLimit,
    AmountOrTokens,
    IdRequired,
    KeyExpired,
    MeterNotInService,
    NoDeliveryMethod,
    TokenKnown,
    TooManyTokens,
    WrongUnit,
)
from headend.store import Transaction
from headend.supply import SupplyAction, SupplyReason
from headend.supply_groups import Reveal, SupplyGroup
from headend.tokens import Issued, IssuedToken, Token, TokenOrder, parse_digits, purpose_of
from headend.usage_points import Contact, UsagePoint
from headend.vending_keys import VendingKey
from protocols.sts.errors import StsError
from protocols.sts.tables import BaseDate
from protocols.sts.tid import next_tid

MAX_TOKENS = 12
_RANK_EPOCH = datetime(2014, 1, 1, tzinfo=UTC)


def check_form(order: RechargeOrder) -> None:
    """What can be said of an order without looking anything up."""
    if order.id is None and order.idempotency_key is None:
        raise IdRequired("bring an id in the body or an Idempotency-Key header", field="id")
    if (order.amount is None) == (not order.tokens):
        raise AmountOrTokens("bring exactly one of amount and tokens", field="amount")
    if len(order.tokens) > MAX_TOKENS:
        raise TooManyTokens(f"at most {MAX_TOKENS} tokens in one recharge", field="tokens")
    for place, digits in enumerate(order.tokens):
        purpose_of(parse_digits(digits, field=f"tokens.{place}"))
    if len(set(order.tokens)) < len(order.tokens):
        raise TokenKnown("the same token stands twice in this recharge", field="tokens")


def check_meter(meter: Meter, amount: Amount | None) -> None:
    """The meter takes recharges, and in this unit."""
    if meter.state is not MeterState.IN_SERVICE:
        raise MeterNotInService(f"meter {meter.drn} is {meter.state}", field="meter")
    match amount:
        case None:
            return
        case Units(unit=unit) if meter.currency is None and unit is meter.service.unit:
            return
        case Currency(code=code) if meter.currency == code:
            return
    counted = meter.currency or meter.service.unit
    asked, field = (
        (amount.unit, "amount.unit")
        if isinstance(amount, Units)
        else (amount.code, "amount.currency")
    )
    raise WrongUnit(
        f"meter {meter.drn} sells {meter.service} in {counted}, not {asked}", field=field
    )


def check_limits(group: SupplyGroup, amount: Amount, bought_today: Decimal) -> None:
    """The limits of the supply group, per recharge and per day."""
    if group.limit_per_recharge is not None and amount.value > group.limit_per_recharge:
        raise AmountAboveLimit(
            f"{amount} is above {group.limit_per_recharge} a recharge", field="amount.value"
        )
    if group.limit_per_day is not None and bought_today + amount.value > group.limit_per_day:
        raise AmountAboveLimit(
            f"{amount} after {bought_today} today is above {group.limit_per_day} a day",
            field="amount.value",
        )


async def check_sale(
    tx: Transaction,
    order: RechargeOrder,
    place: Place,
    methods: frozenset[DeliveryMethod],
    *,
    now: datetime,
) -> None:
    """What the store can say of an order: the meter, the ways to it, its tokens, the limits."""
    check_meter(place.meter, order.amount)
    check_ways(place.meter, methods, place.group.reveal_for(order.sales_point), order)
    for digits in order.tokens:
        if await tx.tokens.by_digits(order.tenant, place.meter.drn, digits) is not None:
            raise TokenKnown("a token of this recharge belongs to another one", field="tokens")
    if order.amount is not None:
        since = day_start(place.group, now)
        bought = await tx.recharges.bought_since(order.tenant, place.meter.drn, since)
        check_limits(place.group, order.amount, bought)


def credit_asked(meter: Meter, sts: StsConfiguration, amount: Amount) -> TokenOrder:
    """What the module is asked about a sale, before a TID is drawn."""
    return TokenOrder(
        tenant=meter.tenant,
        drn=meter.drn,
        service=meter.service,
        sts=sts,
        content=amount,
        tid=None,
        rnd=None,
    )


def day_start(group: SupplyGroup, now: datetime) -> datetime:
    """Midnight of today where the group lives."""
    local = now.astimezone(ZoneInfo(group.zone))
    return local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)


def draw_tid(key: VendingKey, *, now: datetime, last: int | None) -> int:
    """The next TID under a vending key; raises KeyExpired also before its base date."""
    try:
        tid = next_tid(BaseDate(key.base_date), now, last)
    except StsError as error:
        raise KeyExpired(f"vending key {key.sgc}/{key.krn}: {error}") from error
    if tid >> 16 > key.ken:
        raise KeyExpired(
            f"vending key {key.sgc}/{key.krn} expired (KEN {key.ken}); change the meter's key first"
        )
    return tid


async def draw(
    tx: Transaction, recharge: Recharge, key: VendingKey, *, now: datetime, chance: Chance
) -> Recharge:
    """TID and RND of a recharge, noted as given; neither where the module draws its own."""
    if key.module_draws:
        return replace(recharge, tid=None, rnd=None)
    last = await tx.tids.last(recharge.tenant, recharge.drn, key.base_date)
    tid = draw_tid(key, now=now, last=last)
    await tx.tids.give(recharge.tenant, recharge.drn, key.base_date, tid)
    return replace(recharge, tid=tid, rnd=chance.nibble())


def ways_to(
    meter: Meter, can: Capability, contacts: tuple[Contact, ...]
) -> frozenset[DeliveryMethod]:
    """The delivery methods by which tokens can reach this meter without the caller."""
    methods = set()
    if meter.route is not None and Capability.ENTER_TOKEN in can:
        methods.add(DeliveryMethod.REMOTE)
    if meter.keypad is not Keypad.NONE and contacts:
        methods.add(DeliveryMethod.MANUAL)
    return frozenset(methods)


def check_ways(
    meter: Meter, methods: frozenset[DeliveryMethod], reveal: Reveal, order: RechargeOrder
) -> None:
    """At least one way leads to the meter; the till that shows the digits at once is one."""
    by_till = (
        reveal is Reveal.AT_ONCE and meter.keypad is not Keypad.NONE and order.amount is not None
    )
    if not methods and not by_till:
        raise NoDeliveryMethod(
            f"profile {meter.profile} cannot take tokens by remote and no person can type them:"
            " give the meter a route and a profile that enters tokens,"
            " or a keypad and a contact (fallback)",
            field="meter",
        )


def contacts_for(order: RechargeOrder | None, point: UsagePoint | None) -> tuple[Contact, ...]:
    """Whom to tell: those named in the order, else those of the usage point."""
    named = order.fallback_to if order else ()
    return named or (point.contacts if point else ())


def make_delivery(
    recharge: Recharge,
    meter: Meter,
    group: SupplyGroup,
    *,
    ident: str,
    size: int,
    methods: frozenset[DeliveryMethod],
    revealed: bool,
    bulk: bool,
    now: datetime,
) -> Delivery:
    """The delivery of a recharge's tokens, ready to go; `bulk`: one of many of a job."""
    return Delivery(
        id=ident,
        tenant=recharge.tenant,
        drn=recharge.drn,
        bus=meter.route.bus if meter.route else None,
        command=EnterToken(),
        recharge_id=recharge.id,
        priority=urgency(EnterToken(), bulk=bulk),
        rank=rank_of(recharge.created_at),
        methods=methods,
        size=size,
        revealed=revealed,
        not_before=now,
        fallback_at=group.fallback_at(recharge.created_at),
        deadline=group.deadline(now),
        created_at=now,
        changed_at=now,
    )


async def add_tokens(
    tx: Transaction, issued: Issued, delivery: Delivery, *, chance: Chance, now: datetime
) -> None:
    """The tokens of a delivery, in the order of entry."""
    for sequence, one in enumerate(issued.tokens, start=1):
        await tx.tokens.add(
            Token(
                id=chance.ident(now),
                tenant=delivery.tenant,
                drn=delivery.drn,
                delivery_id=delivery.id,
                sequence=sequence,
                purpose=one.purpose,
                digits=one.digits,
                tid=one.tid,
                mark=one.mark,
            )
        )


def rank_of(moment: datetime) -> int:
    """Order of the deliveries of one meter: milliseconds; TIDs are drawn in this order."""
    return (moment - _RANK_EPOCH) // timedelta(milliseconds=1)


async def cancel_openings(tx: Transaction, meter: Meter, *, now: datetime) -> None:
    """A paid recharge cancels a waiting disconnection for non-payment.

    One in doubt is looked at now, and not sent again; one being sent is judged by how it ends.
    """
    states = frozenset({DeliveryState.WAITING, DeliveryState.UNCERTAIN})
    for delivery in await tx.deliveries.of_meter(meter.tenant, meter.drn, states=states):
        match delivery.command:
            case SetSupply(SupplyAction.OPEN, SupplyReason.NON_PAYMENT, _):
                after = delivery.after(Fact.CANCELLED, now=now)
                if after.state is DeliveryState.UNCERTAIN:
                    after = replace(after, not_before=min(after.not_before, now))
                await tx.deliveries.save(after, was=delivery.state)
                await announce(tx, *delivery_news(delivery, after, now=now))


def brought(order: RechargeOrder) -> Issued:
    """Tokens that the back-office brought: delivered as they are, never minted."""
    tokens = tuple(IssuedToken(digits, None, purpose_of(digits)) for digits in order.tokens)
    return Issued(tokens)
