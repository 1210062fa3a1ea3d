"""The things a meter can be asked, as data, and what each needs of a profile."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, assert_never

from headend.agenda import Urgency
from headend.credit_parameters import CreditParameters
from headend.meters import Capability, StsConfiguration
from headend.supply import SupplyAction, SupplyReason
from headend.tokens import ManagementOrder


@dataclass(frozen=True, slots=True)
class EnterToken:
    """Enter the tokens of one recharge, in their order. Idempotent by the TID of each."""


@dataclass(frozen=True, slots=True)
class SetSupply:
    """Open supply or permit its closing. Set, never toggled; worthless after `expires_at`."""

    action: SupplyAction
    reason: SupplyReason
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SetClock:
    """Set the meter's clock to the head-end's time at the moment of sending."""


@dataclass(frozen=True, slots=True)
class Manage:
    """Enter one management or test token. Idempotent by its TID (class 1 changes nothing).

    `sts` is what it was made under; None for class 1, which any meter reads.
    """

    order: ManagementOrder
    sts: StsConfiguration | None = None


@dataclass(frozen=True, slots=True)
class ChangeKey:
    """Enter the tokens of a key change, all together and in order.

    They carry no TID: after a doubt the meter's configuration is read, nothing is resent blindly.
    """

    present: StsConfiguration
    to: StsConfiguration


@dataclass(frozen=True, slots=True)
class SetCreditParameters:
    """Set the credit parameters that are named; the same again changes nothing."""

    change: CreditParameters


Command: TypeAlias = EnterToken | SetSupply | SetClock | Manage | ChangeKey | SetCreditParameters

# Those whose deliveries carry tokens that people can type.
TOKEN_COMMANDS = (EnterToken, Manage, ChangeKey)


def needs(command: Command) -> Capability:
    """What the profile must be able to do."""
    match command:
        case EnterToken() | Manage() | ChangeKey():
            return Capability.ENTER_TOKEN
        case SetSupply():
            return Capability.SUPPLY_ORDER
        case SetClock():
            return Capability.CLOCK
        case SetCreditParameters(change):
            limit = change.power_limit_w is not None
            return Capability.POWER_LIMIT if limit else Capability.CREDIT_PARAMETERS
        case _:
            assert_never(command)


def urgency(command: Command, *, bulk: bool = False) -> Urgency:
    """How urgent its delivery is, on the bus and at each of its turns on a line.

    `bulk`: one of many that a job orders, who let those go first that somebody waits for.
    """
    single = _urgency(command)
    return max(single, Urgency.BULK) if bulk else single


def _urgency(command: Command) -> Urgency:
    match command:
        case EnterToken() | ChangeKey():
            return Urgency.TOKEN
        case SetSupply() | Manage() | SetCreditParameters():
            return Urgency.SUPPLY
        case SetClock():
            return Urgency.READING
        case _:
            assert_never(command)
