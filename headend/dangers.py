"""Dangerous orders: what can harm many at once, and how much of it may be ordered unasked.

Every dangerous order is written down when it is admitted, and counted from there: by API key and
by supply group, within the last hour and the last 24. Without a rule the safe caps hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Protocol, assert_never

from headend.commands import (
    ChangeKey,
    Command,
    EnterToken,
    Manage,
    SetClock,
    SetCreditParameters,
    SetSupply,
)
from headend.credit_parameters import WARNINGS
from headend.deliveries import DeliveryState
from headend.meters import Drn, TenantId
from headend.supply import SupplyAction
from headend.tokens import ManagementKind

HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)


@unique
class Danger(StrEnum):
    """Kinds of dangerous orders; each is capped and held by itself."""

    OPEN_SUPPLY = "open_supply"
    CLEAR_CREDIT = "clear_credit"
    POWER_LIMIT = "power_limit"  # maximum power and phase unbalance
    METER_CONTROL = "meter_control"  # flags, controls, credit parameters, water factor
    TARIFF_RATE = "tariff_rate"
    KEY_CHANGE = "key_change"


def danger_of(command: Command) -> Danger | None:
    """What is dangerous about a command, or None: credit and permitting supply never are."""
    match command:
        case SetSupply(action=action):
            return Danger.OPEN_SUPPLY if action is SupplyAction.OPEN else None
        case Manage(order):
            return _of_management(order.kind)
        case ChangeKey():
            return Danger.KEY_CHANGE
        case SetCreditParameters(change):
            if change.power_limit_w is not None:
                return Danger.POWER_LIMIT
            return Danger.METER_CONTROL if change.named - WARNINGS else None
        case EnterToken() | SetClock():
            return None
        case _:
            assert_never(command)


def _of_management(kind: ManagementKind) -> Danger | None:
    match kind:
        case ManagementKind.POWER_LIMIT | ManagementKind.UNBALANCE_LIMIT:
            return Danger.POWER_LIMIT
        case ManagementKind.CLEAR_CREDIT:
            return Danger.CLEAR_CREDIT
        case ManagementKind.TARIFF_RATE:
            return Danger.TARIFF_RATE
        case ManagementKind.WATER_FACTOR | ManagementKind.SET_FLAG | ManagementKind.SET_CONTROL:
            return Danger.METER_CONTROL
        case (
            ManagementKind.CLEAR_TAMPER
            | ManagementKind.METER_TEST
            | ManagementKind.READ_CONTROL
            | ManagementKind.READ_FLAG
        ):
            return None
        case _:
            assert_never(kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """How many orders of one kind go without a second person, and when the kind is held.

    `approve_always`: every single one needs a second person. Held when `hold_percent` of at least
    `hold_samples` orders that ended within 24 hours have failed.
    """

    per_key_hour: int
    per_key_day: int
    per_group_hour: int
    per_group_day: int
    approve_always: bool = False
    hold_percent: int = 30
    hold_samples: int = 10

    def looser_than(self, other: "Caps") -> bool:
        """Whether anything is allowed here that the other does not allow."""
        return (
            self.per_key_hour > other.per_key_hour
            or self.per_key_day > other.per_key_day
            or self.per_group_hour > other.per_group_hour
            or self.per_group_day > other.per_group_day
            or (other.approve_always and not self.approve_always)
            or self.hold_percent > other.hold_percent
            or self.hold_samples > other.hold_samples
        )


def _caps(key_hour: int, key_day: int, group_hour: int, group_day: int) -> Caps:
    return Caps(
        per_key_hour=key_hour,
        per_key_day=key_day,
        per_group_hour=group_hour,
        per_group_day=group_day,
    )


# A head-end or a key that has gone mad must not darken a town, nor rekey one.
SAFE: Mapping[Danger, Caps] = {
    Danger.OPEN_SUPPLY: _caps(20, 60, 20, 100),
    Danger.CLEAR_CREDIT: _caps(2, 5, 2, 10),
    Danger.POWER_LIMIT: _caps(5, 20, 10, 40),
    Danger.METER_CONTROL: _caps(5, 20, 10, 40),
    Danger.TARIFF_RATE: _caps(2, 5, 2, 10),
    Danger.KEY_CHANGE: _caps(20, 100, 50, 200),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CapRule:
    """The caps of a kind for a whole tenant (`sgc` None) or one supply group, which wins."""

    tenant: TenantId
    sgc: str | None
    danger: Danger
    caps: Caps
    version: int = 1
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Tally:
    """How many orders of one kind were admitted: by this key and in this group."""

    key_hour: int = 0
    key_day: int = 0
    group_hour: int = 0
    group_day: int = 0


def exceeded(caps: Caps, tally: Tally) -> str | None:
    """Which cap one more order would pass, in words, or None."""
    bounds = (
        (tally.key_hour, caps.per_key_hour, "an hour for an API key"),
        (tally.group_hour, caps.per_group_hour, "an hour for a supply group"),
        (tally.key_day, caps.per_key_day, "a day for an API key"),
        (tally.group_day, caps.per_group_day, "a day for a supply group"),
    )
    for count, most, what in bounds:
        if count >= most:
            return f"{most} {what}"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class DangerousOrder:
    """One dangerous order as it was admitted; its id is that of its delivery.

    `result` is how its delivery ended, once that is noted. Its delivery may never come to be (the
    security module is down); `command` and `three_kct` are what was asked, so that a repeat is told
    from another (None: written down before they were remembered).
    """

    tenant: TenantId
    id: str
    danger: Danger
    drn: Drn
    sgc: str
    ordered_by: str
    admitted_at: datetime
    result: DeliveryState | None = None
    ended_at: datetime | None = None
    command: Command | None = None
    three_kct: bool | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """How many orders of one kind and group have ended, and how many of these failed."""

    ended: int
    failed: int

    def jumps(self, caps: Caps) -> bool:
        """Enough have failed to hold the kind."""
        return (
            self.ended >= caps.hold_samples and self.failed * 100 >= caps.hold_percent * self.ended
        )


FAILED_STATES = frozenset({DeliveryState.FAILED, DeliveryState.UNRESOLVED})
ENDED_STATES = FAILED_STATES | {DeliveryState.DONE, DeliveryState.CANCELLED}


class CapRules(Protocol):
    """The caps that a utility has set."""

    async def find(self, tenant: TenantId, sgc: str | None, danger: Danger) -> CapRule | None: ...

    async def put(self, rule: CapRule, *, was: int | None) -> None:
        """Add (`was` None) or change; raises Stale."""

    async def all(self, tenant: TenantId) -> Sequence[CapRule]:
        """By kind, the tenant's own before those of its groups."""


class DangerousOrders(Protocol):
    """The dangerous orders that were admitted."""

    async def lock(self, tenant: TenantId, danger: Danger) -> None:
        """From here to the end of the transaction nobody else admits one of this kind."""

    async def find(self, tenant: TenantId, ident: str) -> DangerousOrder | None: ...

    async def add(self, order: DangerousOrder) -> None:
        """Raises Stale when its tenant has one of this id."""

    async def tally(
        self, tenant: TenantId, danger: Danger, *, key: str, sgc: str, now: datetime
    ) -> Tally: ...

    async def ended(
        self, *, since: datetime, limit: int
    ) -> Sequence[tuple[DangerousOrder, DeliveryState]]:
        """Admitted since then, their delivery has ended, and their result is not noted yet."""

    async def settle(self, order: DangerousOrder) -> None:
        """Note `result` and `ended_at`; raises Stale when somebody else did."""

    async def share(self, tenant: TenantId, danger: Danger, sgc: str, *, since: datetime) -> Share:
        """Of those whose end was noted since then. Neither way count cancelled ones, and those in
        doubt that a person gave up or that the customer's payment overtook (CLOSED_BY).
        """


async def caps_in_force(rules: CapRules, tenant: TenantId, sgc: str | None, danger: Danger) -> Caps:
    """The group's caps, else the tenant's, else the safe ones."""
    if sgc is not None and (own := await rules.find(tenant, sgc, danger)) is not None:
        return own.caps
    whole = await rules.find(tenant, None, danger)
    return SAFE[danger] if whole is None else whole.caps
