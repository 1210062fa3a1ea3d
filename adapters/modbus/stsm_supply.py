"""Supply of an STSM meter in the head-end's words: state, cause, orders and their refusal."""

from collections.abc import Mapping
from datetime import datetime

from headend.errors import Misconfigured, NoAnswer, Refused, WireError
from headend.supply import Contacts, ControlState, DarkCause, Supply, SupplyAction, SupplyReason
from protocols.modbus.stsm import Condition, Relay, Status, SupplyAnswer, SupplyCommand

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
# The first that is present explains the dark: what credit cannot mend comes before credit.
_CAUSES: Mapping[Condition, DarkCause] = {
    Condition.RELAY_DOES_NOT_FOLLOW: DarkCause.RELAY_FAULT,
    Condition.TAMPER_LOCK: DarkCause.TAMPER_LOCK,
    Condition.OVERLOAD: DarkCause.OVERLOAD,
    Condition.OUT_OF_CREDIT: DarkCause.OUT_OF_CREDIT,
}
_REFUSALS: Mapping[int, tuple[type[WireError], str]] = {
    SupplyAnswer.NO_CREDIT: (Refused, "there is no credit"),
    SupplyAnswer.TAMPER_LOCK: (Refused, "the meter is locked by tamper"),
    SupplyAnswer.VOLTAGE_ON_LOAD_SIDE: (Refused, "there is voltage on the load side"),
    SupplyAnswer.EXPIRED: (Refused, "the order had expired by the meter's clock"),
    SupplyAnswer.CONTACTS_DID_NOT_FOLLOW: (Refused, "the contacts did not follow"),
    SupplyAnswer.NOT_AUTHORISED: (Misconfigured, "the meter wants an authorisation"),
}


def supply_of(status: Status, taken_at: datetime) -> Supply:
    """The supply that a status block tells."""
    contacts = _CONTACTS.get(status.relay, Contacts.UNKNOWN)
    control = _control(status.control)
    return Supply(
        contacts=contacts,
        control=control,
        cause=_cause(status.conditions, contacts, control),
        taken_at=taken_at,
    )


def refusal_of(answer: int) -> WireError:
    """The error for a supply order that was answered otherwise than done."""
    kind, reason = _REFUSALS.get(answer, (NoAnswer, f"its answer {answer} means nothing"))
    return kind(f"supply order: {reason}")


def _cause(
    conditions: Condition, contacts: Contacts, control: ControlState | None
) -> DarkCause | None:
    follows = Condition.RELAY_DOES_NOT_FOLLOW not in conditions
    if contacts is Contacts.CLOSED and (follows or control is not ControlState.CONNECTED):
        return None  # welded contacts that were to open still give light
    for condition, cause in _CAUSES.items():
        if condition in conditions:
            return cause
    match control:
        case ControlState.CONNECTED if contacts is Contacts.OPEN:
            return DarkCause.RELAY_FAULT
        case ControlState.DISCONNECTED:
            return DarkCause.DISCONNECTED
        case _:
            return None


def _control(state: int) -> ControlState | None:
    try:
        return ControlState(state)
    except ValueError:
        return None
