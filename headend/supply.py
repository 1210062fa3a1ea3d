"""Supply: whether the customer has it, and how it may be ordered.

Disconnecting is dangerous: opening is refused for protected usage points, capped per API key and
hour, and carries a reason and an expiry. Supply is set, never toggled, and never forced closed.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum, unique


@unique
class Contacts(StrEnum):
    """The relay as the meter measures it."""

    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "unknown"


@unique
class ControlState(IntEnum):
    """COSEM Disconnect control (class 70), control_state."""

    DISCONNECTED = 0
    CONNECTED = 1
    READY = 2  # for reconnection: the customer presses the button


@unique
class DarkCause(StrEnum):
    """Why a customer who paid has no supply.

    `below_threshold`: there is credit, but less than the meter wants before it closes.
    `disconnected`: ordered by somebody. `keypad_unit_lost`: the unit with the button is not heard.
    """

    RELAY_FAULT = "relay_fault"
    TAMPER_LOCK = "tamper_lock"
    OVERLOAD = "overload"
    OUT_OF_CREDIT = "out_of_credit"
    DISCONNECTED = "disconnected"
    UNKNOWN = "unknown"
    BELOW_THRESHOLD = "below_threshold"
    DEBT = "debt"
    NO_VOLTAGE = "no_voltage"
    KEYPAD_UNIT_LOST = "keypad_unit_lost"


@unique
class SupplyState(StrEnum):
    """What the customer finds."""

    ON = "on"
    BUTTON = "awaiting_button"
    DARK = "dark"
    UNKNOWN = "unknown"


@unique
class SupplyProof(StrEnum):
    """What shows that supply is on: closed contacts alone, or voltage or current behind them."""

    CONTACTS = "contacts"
    LOAD = "load"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """Supply as the meter tells it: the contacts, the command behind them, and a cause if dark.

    `missing_milli` is the credit (or the payment of a debt) that is missing until supply returns,
    `debt_milli` the debt: thousandths of what the meter counts in. None: not told.
    """

    contacts: Contacts
    control: ControlState | None = None
    cause: DarkCause | None = None
    missing_milli: int | None = None
    debt_milli: int | None = None
    proof: SupplyProof | None = None
    taken_at: datetime

    @property
    def state(self) -> SupplyState:
        if self.cause in _DARK_WHATEVER_THE_CONTACTS:
            return SupplyState.DARK
        if self.contacts is Contacts.CLOSED:
            return SupplyState.ON
        if self.control is ControlState.READY:
            return SupplyState.BUTTON
        if self.contacts is Contacts.OPEN or self.control is ControlState.DISCONNECTED:
            return SupplyState.DARK
        return SupplyState.UNKNOWN


_DARK_WHATEVER_THE_CONTACTS = frozenset(
    {DarkCause.RELAY_FAULT, DarkCause.NO_VOLTAGE, DarkCause.KEYPAD_UNIT_LOST}
)


@unique
class SupplyAction(StrEnum):
    """What may be ordered: open, or permit the customer to close."""

    OPEN = "open"
    PERMIT_CLOSE = "permit_close"


@unique
class SupplyReason(StrEnum):
    """Why supply is ordered; a recharge cancels a waiting `non_payment` opening."""

    NON_PAYMENT = "non_payment"
    SAFETY = "safety"
    MAINTENANCE = "maintenance"
    CUSTOMER_REQUEST = "customer_request"
    TAMPER = "tamper"
    OTHER = "other"


def as_ordered(supply: Supply, action: SupplyAction) -> bool:
    """The meter already stands as ordered."""
    match action:
        case SupplyAction.OPEN:
            return supply.contacts is Contacts.OPEN and supply.control is not ControlState.CONNECTED
        case SupplyAction.PERMIT_CLOSE:
            return supply.state in (SupplyState.ON, SupplyState.BUTTON)


def carried_out(supply: Supply, action: SupplyAction) -> bool | None:
    """Whether an order in doubt was carried out, as the supply shows; None: it does not tell.

    A meter that is off for reasons of its own, or does not say why, may never have got the order.
    """
    if action is SupplyAction.PERMIT_CLOSE:
        return as_ordered(supply, action)
    if supply.contacts is Contacts.CLOSED or supply.control in _NOT_DISCONNECTED:
        return False
    told = supply.contacts is Contacts.OPEN and supply.control is ControlState.DISCONNECTED
    return True if told and supply.cause in (None, DarkCause.DISCONNECTED) else None


_NOT_DISCONNECTED = frozenset({ControlState.CONNECTED, ControlState.READY})
