"""Announcing: from what changed to what is said of it. Pure; nothing here knows digits or names.

Each function gives the announcements of one change, none when nobody cares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from headend.commands import (
    ChangeKey,
    Command,
    EnterToken,
    Manage,
    SetClock,
    SetCreditParameters,
    SetSupply,
)
from headend.deliveries import Delivery, DeliveryMethod, DeliveryState
from headend.events import MeterEvent, Severity
from headend.meters import StsConfiguration
from headend.occurrences import Occurrence
from headend.outbox import Announcement
from headend.quantities import Amount, Units
from headend.readings import Reading
from headend.recharges import Json, Recharge, RechargeState

_OF_STATE = {
    RechargeState.ISSUED: Occurrence.RECHARGE_ISSUED,
    RechargeState.CREDITED: Occurrence.RECHARGE_CREDITED,
    RechargeState.LIT: Occurrence.RECHARGE_LIT,
    RechargeState.AWAITING_BUTTON: Occurrence.RECHARGE_AWAITING_BUTTON,
    RechargeState.DARK: Occurrence.RECHARGE_DARK,
    RechargeState.UNRESOLVED: Occurrence.RECHARGE_UNRESOLVED,
    RechargeState.FAILED: Occurrence.RECHARGE_FAILED,
    RechargeState.REVERSED: Occurrence.RECHARGE_REVERSED,
    RechargeState.REPLACED: Occurrence.RECHARGE_REPLACED,
}
_GIVEN_UP = frozenset({DeliveryState.FAILED, DeliveryState.CANCELLED})
_ENDS = frozenset({DeliveryState.DONE, DeliveryState.UNRESOLVED, *_GIVEN_UP})


def recharge_news(
    before: Recharge | None, after: Recharge, *, now: datetime
) -> Sequence[Announcement]:
    """What became of a sale; `before` is None when it is new."""
    occurrence = Occurrence.RECHARGE_CREATED if before is None else _OF_STATE.get(after.state)
    if occurrence is None or (before is not None and not _differs(before, after)):
        return ()
    data: Mapping[str, Json] = {
        "recharge": after.id,
        "reference": after.order.reference,
        "sales_point": after.order.sales_point,
        "state": after.state.value,
        "was": before.state.value if before else None,
        "requested": amount_json(after.requested),
        "encoded": amount_json(after.encoded),
        "taken": amount_json(after.taken),
        "supply": after.supply.value,
        "dark_cause": after.dark_cause.value if after.dark_cause else None,
        "supply_at": moment_json(after.supply_at),
        "missing_milli": after.missing_milli,
        "debt_milli": after.debt_milli,
        "created_at": moment_json(after.created_at),
        "replaces": after.replaces,
        "replaced_by": after.replaced_by,
    }
    return (
        Announcement(tenant=after.tenant, drn=after.drn, occurrence=occurrence, at=now, data=data),
    )


def _differs(before: Recharge, after: Recharge) -> bool:
    dark = after.state is RechargeState.DARK
    return before.state is not after.state or (dark and before.dark_cause != after.dark_cause)


def delivery_news(
    before: Delivery | None,
    after: Delivery,
    *,
    now: datetime,
    method: DeliveryMethod | None = None,
) -> Sequence[Announcement]:
    """What became of a command: digits that left, an order's end, a truth that came too late.

    `before` is None when it is new; `method` is the way by which digits were handed over.
    """
    news: list[Announcement] = []
    was = before.state if before else None
    if after.revealed and not (before and before.revealed):
        news.append(_of(after, Occurrence.DIGITS_OUT, now, _of_digits(after, None)))
    if before and after.handed_at and not before.handed_at:
        data = _of_digits(after, method)
        news.append(_of(after, Occurrence.DIGITS_HANDED_OVER, now, data))
    if before and was in _GIVEN_UP and after.entered > before.entered:
        news.append(_of(after, Occurrence.DELIVERY_LATE_TRUTH, now, _of_late(before, after)))
    if before and was is not after.state and after.state in _ENDS:
        news += _end_of(before, after, now)
    return news


def reversed_news(
    delivery: Delivery, *, was: DeliveryState, now: datetime
) -> Sequence[Announcement]:
    """A credit that came in after its sale was undone; one that was given up is told already."""
    if delivery.state is not DeliveryState.DONE or was is DeliveryState.DONE or was in _GIVEN_UP:
        return ()
    told = _of_late(replace(delivery, state=was), delivery)
    return (_of(delivery, Occurrence.DELIVERY_LATE_TRUTH, now, told),)


def _end_of(before: Delivery, after: Delivery, now: datetime) -> Sequence[Announcement]:
    told = _of_command(after.command)
    if told is None:
        return ()  # the recharge tells
    family, more = told
    data: dict[str, Json] = {
        "order": after.id,
        "ordered_by": after.ordered_by,
        "state": after.state.value,
        "was": before.state.value,
        "confirmed_by": after.confirmed_by.value if after.confirmed_by else None,
        "stopped_by": after.stopped_by.value if after.stopped_by else None,
        "created_at": moment_json(after.created_at),
        **more,
    }
    return (_of(after, Occurrence(f"{family}.{after.state}"), now, data),)


def _of_command(command: Command) -> tuple[str, Mapping[str, Json]] | None:
    match command:
        case EnterToken():
            return None
        case SetClock():
            return "clock_order", {}
        case SetSupply(action, reason, expires_at):
            more = {"action": action.value, "reason": reason.value}
            return "supply_order", {**more, "expires_at": moment_json(expires_at)}
        case Manage(order):
            more_: Mapping[str, Json] = {"value": order.value, "index": order.index}
            return "engineering", {"kind": order.kind.value, **more_}
        case SetCreditParameters(change):
            return "parameters_order", {"parameters": dict(change.plain)}
        case ChangeKey(present, to):
            return "key_change", {"present": _key(present), "to": _key(to)}


def meter_event_news(events: Sequence[MeterEvent], *, now: datetime) -> Sequence[Announcement]:
    """Events of meters that were not known before."""
    return [
        Announcement(
            tenant=event.tenant,
            drn=event.drn,
            occurrence=Occurrence.METER_EVENT,
            at=now,
            data={
                "code": event.code,
                "event": event.type.name.lower() if event.type else "unknown",
                "severity": (event.type.severity if event.type else Severity.INFO).value,
                "number": event.number,
                "argument": event.argument,
                "taken_at": moment_json(event.taken_at),
                "received_at": moment_json(event.received_at),
            },
        )
        for event in events
    ]


def reading_news(readings: Sequence[Reading], *, now: datetime) -> Sequence[Announcement]:
    """Readings of one meter that came together: one announcement for all."""
    if not readings:
        return ()
    told: Sequence[Json] = [
        {
            "type": reading.type.value,
            "value": reading.value,
            "quality": reading.quality.value,
            "taken_at": moment_json(reading.taken_at),
        }
        for reading in readings
    ]
    first = readings[0]
    return (
        Announcement(
            tenant=first.tenant,
            drn=first.drn,
            occurrence=Occurrence.READINGS_TAKEN,
            at=now,
            data={"readings": told, "received_at": moment_json(first.received_at)},
        ),
    )


def amount_json(amount: Amount | None) -> Json:
    """An amount as REST tells it."""
    if amount is None:
        return None
    if isinstance(amount, Units):
        return {"kind": "units", "value": f"{amount.value:f}", "unit": amount.unit.value}
    return {"kind": "currency", "value": f"{amount.value:f}", "currency": amount.code}


def _of(
    delivery: Delivery, occurrence: Occurrence, now: datetime, data: Mapping[str, Json]
) -> Announcement:
    return Announcement(
        tenant=delivery.tenant, drn=delivery.drn, occurrence=occurrence, at=now, data=data
    )


def _of_digits(delivery: Delivery, method: DeliveryMethod | None) -> Mapping[str, Json]:
    return {**_named(delivery), "method": method.name.lower() if method is not None else None}


def _of_late(before: Delivery, after: Delivery) -> Mapping[str, Json]:
    return {
        **_named(after),
        "was": before.state.value,
        "state": after.state.value,
        "entered": after.entered,
        "size": after.size,
        "confirmed_by": after.confirmed_by.value if after.confirmed_by else None,
    }


def _named(delivery: Delivery) -> Mapping[str, Json]:
    command = _COMMANDS[type(delivery.command)]
    return {"delivery": delivery.id, "recharge": delivery.recharge_id, "command": command}


_COMMANDS: Mapping[type[Command], str] = {
    EnterToken: "enter_token",
    SetSupply: "set_supply",
    SetClock: "set_clock",
    Manage: "manage",
    ChangeKey: "change_key",
    SetCreditParameters: "set_credit_parameters",
}


def _key(sts: StsConfiguration) -> Json:
    return {
        "sgc": sts.sgc,
        "krn": sts.krn,
        "ti": sts.tariff_index,
        "kt": int(sts.key_type),
        "ea": sts.ea,
    }


def moment_json(at: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the microsecond as everywhere in REST."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None
