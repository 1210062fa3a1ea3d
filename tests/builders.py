"""Records for tests: valid by default, every field open to be named."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from headend.announcing import recharge_news
from headend.api_keys import ApiKey, Scope
from headend.attempts import Attempt
from headend.commands import ChangeKey, EnterToken, SetSupply, urgency
from headend.deliveries import Delivery, DeliveryMethod, Fact
from headend.events import EventType, MeterEvent
from headend.meters import (
    BusName,
    Drn,
    Keypad,
    KeyType,
    Meter,
    ProfileName,
    Route,
    Service,
    StsConfiguration,
    TenantId,
    UsagePointId,
)
from headend.opening_hours import OpeningHours
from headend.outbox import Announcement
from headend.polling import Poll
from headend.quantities import Unit, Units
from headend.readings import Reading, ReadingType
from headend.recharges import Recharge, RechargeOrder, RechargeState
from headend.supply import SupplyAction, SupplyReason
from headend.supply_groups import Reveal, SupplyGroup
from headend.tokens import ManagementKind, ManagementOrder, Token, TokenPurpose
from headend.usage_points import Contact, ContactKind, UsagePoint
from headend.vending_keys import KeyMark, SealedKey, VendingKey
from headend.webhooks import SealedSecret, Webhook
from protocols.sts.drn import luhn_digit

TENANT = TenantId("acme")
OTHER_TENANT = TenantId("other")
BUS = BusName("line-1")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STS = StsConfiguration(sgc="600675", krn=1, tariff_index=1, key_type=KeyType.UNIQUE, ea=7)

_numbers = count(1)


def a_drn(serial: int = 1) -> Drn:
    """An 11-digit meter number with its check digit."""
    payload = f"01{serial:08d}"
    return Drn(f"{payload}{luhn_digit(payload)}")


DRN = a_drn()


def an_ident() -> str:
    """A new 26-character identifier; later ones sort later."""
    return f"01JN{next(_numbers):022d}"


def a_meter(**fields: Any) -> Meter:
    meter = Meter(
        tenant=TENANT,
        drn=DRN,
        service=Service.ELECTRICITY,
        profile=ProfileName("modbus/generic"),
        route=Route(BUS, "17"),
        sts=STS,
        keypad=Keypad.METER,
        changed_at=NOW,
    )
    return replace(meter, **fields)


def a_usage_point(**fields: Any) -> UsagePoint:
    point = UsagePoint(
        tenant=TENANT,
        id=UsagePointId("house-1"),
        name="1 Main Street",
        contacts=(a_contact(),),
        language="fr-CI",
        changed_at=NOW,
    )
    return replace(point, **fields)


def a_contact(address: str = "+2250700000001") -> Contact:
    return Contact(ContactKind.SMS, address)


def a_supply_group(**fields: Any) -> SupplyGroup:
    group = SupplyGroup(
        tenant=TENANT,
        sgc=STS.sgc,
        name="North",
        limit_per_recharge=Decimal("500.0"),
        reveal_at={"till-1": Reveal.AT_ONCE},
        changed_at=NOW,
    )
    return replace(group, **fields)


def an_order(**fields: Any) -> RechargeOrder:
    order = RechargeOrder(
        tenant=TENANT,
        id="order-1",
        drn=DRN,
        amount=Units(Decimal("25.60"), Unit.KWH),
        reference="invoice-1",
        sales_point="till-1",
    )
    return replace(order, **fields)


def a_recharge(**fields: Any) -> Recharge:
    """OPEN; its order agrees with `id`, `drn`, `tenant` and `requested` unless named itself."""
    ident = fields.pop("id", None) or an_ident()
    tenant = fields.pop("tenant", TENANT)
    drn = fields.pop("drn", DRN)
    requested = fields.pop("requested", Units(Decimal("25.60"), Unit.KWH))
    order = fields.pop("order", None) or an_order(
        id=ident,
        tenant=tenant,
        drn=drn,
        amount=requested,
        tokens=() if requested else (some_digits(next(_numbers)),),
    )
    recharge = Recharge(
        id=ident,
        tenant=tenant,
        drn=drn,
        order=order,
        state=RechargeState.OPEN,
        sts=STS,
        requested=requested,
        reveal=Reveal.ON_FALLBACK,
        created_at=NOW,
        changed_at=NOW,
    )
    return replace(recharge, **fields)


def some_digits(number: int) -> str:
    """20 digits below 2 to the 66th."""
    return f"{number:020d}"


def a_token(**fields: Any) -> Token:
    token = Token(
        id=an_ident(),
        tenant=TENANT,
        drn=DRN,
        delivery_id="delivery-1",
        sequence=1,
        purpose=TokenPurpose.CREDIT,
        digits=some_digits(next(_numbers)),
    )
    return replace(token, **fields)


def a_delivery(**fields: Any) -> Delivery:
    """WAITING and due, remote first and by keypad after a minute; priority as its command's."""
    command = fields.pop("command", EnterToken())
    delivery = Delivery(
        id=an_ident(),
        tenant=TENANT,
        drn=DRN,
        bus=BUS,
        command=command,
        priority=urgency(command),
        rank=1,
        methods=frozenset({DeliveryMethod.REMOTE, DeliveryMethod.MANUAL}),
        not_before=NOW,
        fallback_at=NOW + timedelta(seconds=60),
        deadline=NOW + timedelta(hours=24),
        created_at=NOW,
        changed_at=NOW,
    )
    return replace(delivery, **fields)


def an_opening(**fields: Any) -> SetSupply:
    order = SetSupply(
        action=SupplyAction.OPEN,
        reason=SupplyReason.NON_PAYMENT,
        expires_at=NOW + timedelta(hours=1),
    )
    return replace(order, **fields)


def a_management_order(kind: ManagementKind = ManagementKind.CLEAR_CREDIT) -> ManagementOrder:
    """One that makes sense of each kind."""
    match kind:
        case ManagementKind.CLEAR_TAMPER | ManagementKind.READ_FLAG:
            return ManagementOrder(kind)
        case ManagementKind.SET_FLAG | ManagementKind.SET_CONTROL:
            return ManagementOrder(kind, value=1, index=3)
        case ManagementKind.READ_CONTROL:
            return ManagementOrder(kind, index=3)
        case _:
            return ManagementOrder(kind, value=7)


def a_key_change(**fields: Any) -> ChangeKey:
    """From the configuration of `a_meter` to the next key revision."""
    return replace(ChangeKey(present=STS, to=replace(STS, krn=STS.krn + 1)), **fields)


def an_attempt(**fields: Any) -> Attempt:
    attempt = Attempt(
        tenant=TENANT,
        delivery_id="delivery-1",
        method=DeliveryMethod.REMOTE,
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=2),
        outcome=Fact.NO_ANSWER,
        detail="silence",
    )
    return replace(attempt, **fields)


def a_reading(**fields: Any) -> Reading:
    reading = Reading(
        tenant=TENANT,
        drn=DRN,
        type=ReadingType.ENERGY_IMPORT_WH,
        value=1_234_500,
        taken_at=NOW,
        received_at=NOW + timedelta(seconds=1),
    )
    return replace(reading, **fields)


def an_event(**fields: Any) -> MeterEvent:
    event = MeterEvent(
        tenant=TENANT,
        drn=DRN,
        code=EventType.METER_COVER_OPENED,
        taken_at=NOW,
        received_at=NOW + timedelta(seconds=1),
    )
    return replace(event, **fields)


def a_poll(**fields: Any) -> Poll:
    poll = Poll(tenant=TENANT, drn=DRN, bus=BUS, due_at=NOW, interval_s=900)
    return replace(poll, **fields)


def an_api_key(**fields: Any) -> ApiKey:
    key = ApiKey(
        id=an_ident(),
        tenant=TENANT,
        name="back-office",
        scopes=frozenset({Scope.RECHARGE, Scope.READ}),
        sha256=bytes(range(32)),
        created_at=NOW,
    )
    return replace(key, **fields)


def a_vending_key(**fields: Any) -> VendingKey:
    key = VendingKey(
        tenant=TENANT,
        sgc=STS.sgc,
        krn=STS.krn,
        key_type=KeyType.UNIQUE,
        base_date=1993,
        ken=255,
        dkga=2,
        mark=KeyMark.TEST,
        check_value="ABCDEF",
    )
    return replace(key, **fields)


def a_sealed_key(**fields: Any) -> SealedKey:
    sealed = SealedKey(
        key=a_vending_key(),
        nonce=bytes(12),
        ciphertext=bytes(range(24)),
        master_id="master-1",
        created_at=NOW,
    )
    return replace(sealed, **fields)


def an_announcement(**fields: Any) -> Announcement:
    """A recharge of the meter of `a_meter` is lit."""
    recharge = a_recharge()
    lit = replace(recharge, state=RechargeState.LIT)
    (announcement,) = recharge_news(recharge, lit, now=NOW)
    return replace(announcement, **fields)


def a_webhook(**fields: Any) -> Webhook:
    webhook = Webhook(
        id=an_ident(),
        tenant=TENANT,
        url="https://billing.example/events",
        secret=SealedSecret(bytes(12), bytes(range(40)), "master-1"),
        created_at=NOW,
        changed_at=NOW,
    )
    return replace(webhook, **fields)


def always_open(tenant: TenantId, sgc: str, now: datetime) -> OpeningHours:
    """The tests of openings run at any hour, and on Sundays."""
    every_day = dict.fromkeys(range(7), (time.min, time.max))
    return OpeningHours(tenant=tenant, sgc=sgc, hours=every_day, version=1, changed_at=now)
