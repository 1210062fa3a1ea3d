"""Supply of an STSM meter in the head-end's words: state, cause, orders and their refusal."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from headend.errors import Misconfigured, NoAnswer, Refused, WireError
from headend.supply import Contacts, ControlState, DarkCause, Supply, SupplyAction, SupplyReason
from headend.supply_signs import SupplySigns, judge_supply
from protocols.modbus.stsm import (
    Condition,
    Relay,
    Status,
    SupplyAnswer,
    SupplyCommand,
    SupplyDetails,
)

COMMANDS: Mapping[SupplyAction, SupplyCommand] = {
    SupplyAction.OPEN: SupplyCommand.OPEN,
    SupplyAction.PERMIT_CLOSE: SupplyCommand.PERMIT_CLOSE,
}
# Register D206; our number list.
REASONS: Mapping[SupplyReason, int] = {
    SupplyReason.OTHER: 0,
    SupplyReason.NON_PAYMENT: 1,
    SupplyReason.SAFETY: 2,
    SupplyReason.MAINTENANCE: 3,
    SupplyReason.CUSTOMER_REQUEST: 4,
    SupplyReason.TAMPER: 5,
}
_CONTACTS: Mapping[int, Contacts] = {
    Relay.OPEN: Contacts.OPEN,
    Relay.CLOSED: Contacts.CLOSED,
}
_CAUSES: Mapping[Condition, DarkCause] = {
    Condition.RELAY_DOES_NOT_FOLLOW: DarkCause.RELAY_FAULT,
    Condition.TAMPER_LOCK: DarkCause.TAMPER_LOCK,
    Condition.OVERLOAD: DarkCause.OVERLOAD,
    Condition.NO_VOLTAGE: DarkCause.NO_VOLTAGE,
    Condition.OUT_OF_CREDIT: DarkCause.OUT_OF_CREDIT,
    Condition.HELD_FOR_DEBT: DarkCause.DEBT,
    Condition.DISCONNECTED_BY_ORDER: DarkCause.DISCONNECTED,
    Condition.KEYPAD_UNIT_LOST: DarkCause.KEYPAD_UNIT_LOST,
}
_REFUSALS: Mapping[int, tuple[type[WireError], str]] = {
    SupplyAnswer.NO_CREDIT: (Refused, "there is no credit"),
    SupplyAnswer.TAMPER_LOCK: (Refused, "the meter is locked by tamper"),
    SupplyAnswer.VOLTAGE_ON_LOAD_SIDE: (Refused, "there is voltage on the load side"),
    SupplyAnswer.EXPIRED: (Refused, "the order had expired by the meter's clock"),
    SupplyAnswer.CONTACTS_DID_NOT_FOLLOW: (Refused, "the contacts did not follow"),
    SupplyAnswer.NOT_AUTHORISED: (Misconfigured, "the meter wants an authorisation"),
}


def supply_of(
    status: Status,
    taken_at: datetime,
    *,
    details: SupplyDetails | None = None,
    exponent: int = 0,
) -> Supply:
    """The supply that a status block tells; amounts in units of 10^`exponent`."""
    known = details or SupplyDetails()
    signs = SupplySigns(
        contacts=_CONTACTS.get(status.relay, Contacts.UNKNOWN),
        control=_control(status.control),
        told=frozenset(
            cause for condition, cause in _CAUSES.items() if condition in status.conditions
        ),
        credit_milli=_milli(status.credit, exponent),
        reconnect_milli=None if known.reconnect is None else _milli(known.reconnect, exponent),
        debt_milli=_milli(status.debt, exponent) if status.debt else None,
        grid_mv=known.grid_mv,
        load_mv=known.load_mv,
        load_ma=known.load_ma,
    )
    return judge_supply(signs, taken_at)


def refusal_of(answer: int) -> WireError:
    """The error for a supply order that was answered otherwise than done."""
    kind, reason = _REFUSALS.get(answer, (NoAnswer, f"its answer {answer} means nothing"))
    return kind(f"supply order: {reason}")


def _milli(amount: int, exponent: int) -> int:
    return int(Decimal(amount).scaleb(exponent + 3).to_integral_value())


def _control(state: int) -> ControlState | None:
    try:
        return ControlState(state)
    except ValueError:
        return None
