"""Recharges: the sale of credit, from the order to the truth of what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum, unique
from typing import TypeAlias

from headend.deliveries import OPEN_STATES, Delivery, DeliveryState
from headend.meters import Drn, StsConfiguration, TenantId
from headend.quantities import Amount
from headend.supply import DarkCause, Supply, SupplyProof, SupplyState
from headend.supply_groups import Reveal
from headend.usage_points import Contact

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"


@unique
class RechargeState(StrEnum):
    """What became of a sale; derived from its delivery and the supply, never guessed."""

    OPEN = "open"
    ISSUED = "issued"
    CREDITED = "credited"
    LIT = "lit"
    AWAITING_BUTTON = "awaiting_button"
    DARK = "dark"
    UNRESOLVED = "unresolved"
    FAILED = "failed"
    REVERSED = "reversed"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class RechargeOrder:
    """What the caller asks. Exactly one of `amount` and `tokens` (digits issued elsewhere).

    `sale` is kept in dicts and lists, as JSON gives it back.
    """

    tenant: TenantId
    id: str | None = None
    idempotency_key: str | None = None
    drn: str
    amount: Amount | None = None
    tokens: tuple[str, ...] = field(default=(), repr=False)
    reference: str | None = None
    sales_point: str | None = None
    fallback_to: tuple[Contact, ...] = ()
    sale: Mapping[str, Json] | None = None

    def __post_init__(self) -> None:
        if self.sale is not None:
            plain = {key: _plain(part) for key, part in self.sale.items()}
            object.__setattr__(self, "sale", plain)


def _plain(value: Json) -> Json:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value]


# In the order in which a difference is looked for; the names are those of the REST body.
_COMPARED = {
    "meter": "drn",
    "amount": "amount",
    "tokens": "tokens",
    "reference": "reference",
    "sales_point": "sales_point",
    "fallback": "fallback_to",
    "sale": "sale",
}


def first_difference(known: RechargeOrder, order: RechargeOrder) -> str | None:
    """The REST name of the first field in which two orders differ, or None."""
    for name, attribute in _COMPARED.items():
        if getattr(known, attribute) != getattr(order, attribute):
            return name
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recharge:
    """One sale. `tid` and `rnd` are drawn before issue, so that a restart makes the same digits.

    `replaces` names the recharge whose token died with the meter's old key, `replaced_by` the one
    that was made for it. The supply is as last seen after the sale (see `Supply`).
    """

    id: str
    tenant: TenantId
    drn: Drn
    order: RechargeOrder
    state: RechargeState
    sts: StsConfiguration
    requested: Amount | None
    encoded: Amount | None = None
    taken: Amount | None = None
    tid: int | None = None
    rnd: int | None = None
    reveal: Reveal
    supply: SupplyState = SupplyState.UNKNOWN
    dark_cause: DarkCause | None = None
    supply_at: datetime | None = None
    supply_proof: SupplyProof | None = None
    missing_milli: int | None = None
    debt_milli: int | None = None
    created_at: datetime
    issued_at: datetime | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    reversed_at: datetime | None = None
    reversal_reason: str | None = None
    changed_at: datetime


def settle(
    recharge: Recharge,
    delivery: Delivery | None,
    *,
    now: datetime,
    supply: Supply | None = None,
    taken: Amount | None = None,
) -> Recharge:
    """The recharge as its delivery and the supply tell it; only here its state is derived."""
    told = replace(recharge, changed_at=now, taken=taken or recharge.taken)
    if supply is not None and _newer(supply, recharge, delivery):
        told = replace(
            told,
            supply=supply.state,
            dark_cause=supply.cause,
            supply_at=supply.taken_at,
            supply_proof=supply.proof,
            missing_milli=supply.missing_milli,
            debt_milli=supply.debt_milli,
        )
    return replace(told, state=_state(told, delivery))


def _newer(supply: Supply, recharge: Recharge, delivery: Delivery | None) -> bool:
    """Supply seen before the sale, or before its credit was in, proves nothing of it."""
    since = recharge.supply_at or recharge.created_at
    return supply.taken_at >= since and _with_credit(supply.taken_at, delivery)


def _with_credit(seen_at: datetime, delivery: Delivery | None) -> bool:
    """Not before the credit was in, as far as it is."""
    credited_at = delivery.confirmed_at if delivery is not None else None
    return credited_at is None or seen_at >= credited_at


def _state(recharge: Recharge, delivery: Delivery | None) -> RechargeState:
    if recharge.reversed_at is not None:
        return RechargeState.REVERSED
    if recharge.replaced_by is not None:
        return RechargeState.REPLACED
    if recharge.issued_at is None or delivery is None:
        return RechargeState.OPEN
    if delivery.state in OPEN_STATES:
        return RechargeState.ISSUED
    match delivery.state:
        case DeliveryState.FAILED:
            return RechargeState.FAILED
        case DeliveryState.CANCELLED:
            return RechargeState.REVERSED
        case DeliveryState.DONE:
            return _LIT_OR_NOT[_supply_since(recharge, delivery)]
        case _:
            return RechargeState.UNRESOLVED


def _supply_since(recharge: Recharge, delivery: Delivery) -> SupplyState:
    """The supply as it was seen with the credit, or after it."""
    seen_at = recharge.supply_at
    known = seen_at is not None and _with_credit(seen_at, delivery)
    return recharge.supply if known else SupplyState.UNKNOWN


_LIT_OR_NOT = {
    SupplyState.ON: RechargeState.LIT,
    SupplyState.BUTTON: RechargeState.AWAITING_BUTTON,
    SupplyState.DARK: RechargeState.DARK,
    SupplyState.UNKNOWN: RechargeState.CREDITED,
}

# A recharge in one of these still waits for its supply to be seen on.
UNLIT_STATES = frozenset(
    {RechargeState.CREDITED, RechargeState.AWAITING_BUTTON, RechargeState.DARK}
)

# It was paid for, and what becomes of it is not known yet.
UNDER_WAY_STATES = frozenset({RechargeState.OPEN, RechargeState.ISSUED, RechargeState.UNRESOLVED})
