"""The things a meter can be asked, as data, and what each needs of a profile."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, assert_never

from headend.meters import Capability
from headend.supply import SupplyAction, SupplyReason


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


Command: TypeAlias = EnterToken | SetSupply | SetClock


def needs(command: Command) -> Capability:
    """What the profile must be able to do."""
    match command:
        case EnterToken():
            return Capability.ENTER_TOKEN
        case SetSupply():
            return Capability.SUPPLY_ORDER
        case SetClock():
            return Capability.CLOCK
        case _:
            assert_never(command)


def priority(command: Command) -> int:
    """Lower goes first: token, then supply, then clock."""
    match command:
        case EnterToken():
            return 0
        case SetSupply():
            return 1
        case SetClock():
            return 2
        case _:
            assert_never(command)
