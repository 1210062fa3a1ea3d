"""Darkness: sales that are paid and not lit, each with its cause: a live list, never stored.

Both sides of the credit: what is not in the meter yet, and what is in without light.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol

from headend.deliveries import Delivery, DeliveryState
from headend.meters import TenantId
from headend.pages import Cursor, Page
from headend.recharges import Recharge, RechargeState
from headend.supply import DarkCause

# Sales in one of these are paid, and nobody has seen their light.
PAID_STATES = frozenset(
    {
        RechargeState.OPEN,
        RechargeState.ISSUED,
        RechargeState.CREDITED,
        RechargeState.AWAITING_BUTTON,
        RechargeState.DARK,
        RechargeState.UNRESOLVED,
    }
)


@unique
class Darkness(StrEnum):
    """Why there is no light yet; those of `DarkCause` are told by the meter after the credit."""

    NOT_ISSUED = "not_issued"
    ON_ITS_WAY = "on_its_way"
    UNREACHABLE = "unreachable"
    UNCERTAIN = "uncertain"
    HANDED_OVER = "handed_over"
    UNRESOLVED = "unresolved"
    SUPPLY_UNSEEN = "supply_unseen"
    AWAITING_BUTTON = "awaiting_button"
    RELAY_FAULT = "relay_fault"
    TAMPER_LOCK = "tamper_lock"
    OVERLOAD = "overload"
    OUT_OF_CREDIT = "out_of_credit"
    BELOW_THRESHOLD = "below_threshold"
    DEBT = "debt"
    DISCONNECTED = "disconnected"
    NO_VOLTAGE = "no_voltage"
    KEYPAD_UNIT_LOST = "keypad_unit_lost"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facets:
    """All that the cause depends on, so that sales can be counted without being read."""

    state: RechargeState
    dark_cause: DarkCause | None = None
    handed: bool = False
    maybe_taken: bool = False
    tried: bool = False

    @property
    def cause(self) -> Darkness:
        match self.state:
            case RechargeState.OPEN:
                return Darkness.NOT_ISSUED
            case RechargeState.UNRESOLVED:
                return Darkness.UNRESOLVED
            case RechargeState.CREDITED:
                return Darkness.SUPPLY_UNSEEN
            case RechargeState.AWAITING_BUTTON:
                return Darkness.AWAITING_BUTTON
            case RechargeState.DARK:
                return Darkness(self.dark_cause or DarkCause.UNKNOWN)
        return self._on_the_way()

    def _on_the_way(self) -> Darkness:
        if self.handed:
            return Darkness.HANDED_OVER
        if self.maybe_taken:
            return Darkness.UNCERTAIN
        return Darkness.UNREACHABLE if self.tried else Darkness.ON_ITS_WAY


@dataclass(frozen=True, slots=True)
class PaidSale:
    """A sale that is paid and not lit, with its delivery (None: no token yet)."""

    recharge: Recharge
    delivery: Delivery | None

    @property
    def cause(self) -> Darkness:
        delivery = self.delivery
        # What is being tried for the first time is no trouble yet.
        tries = delivery.attempts - (delivery.state is DeliveryState.SENDING) if delivery else 0
        return Facets(
            state=self.recharge.state,
            dark_cause=self.recharge.dark_cause,
            handed=delivery is not None and delivery.handed_at is not None,
            maybe_taken=delivery is not None and delivery.maybe_taken,
            tried=tries > 0,
        ).cause


@dataclass(frozen=True, slots=True)
class Dark:
    """How many sales of a tenant wait for one cause, and when the oldest was made."""

    tenant: TenantId
    cause: Darkness
    count: int
    oldest: datetime


class PaidSales(Protocol):
    """What the store knows of sales that are paid and not lit."""

    async def page(
        self, tenant: TenantId, cursor: Cursor, *, sgc: str | None = None
    ) -> Page[PaidSale]:
        """Oldest first."""

    async def counts(self) -> Sequence[Dark]:
        """Of every tenant."""


async def dark_page(
    sales: PaidSales,
    tenant: TenantId,
    cursor: Cursor,
    *,
    cause: Darkness | None = None,
    sgc: str | None = None,
) -> Page[PaidSale]:
    """A page of the sales of one cause; it may be short, and still have a next one."""
    if cause is None:
        return await sales.page(tenant, cursor, sgc=sgc)
    found: list[PaidSale] = []
    after: str | None = cursor.after
    for _ in range(SCANS):
        page = await sales.page(tenant, Cursor(after=after, limit=cursor.limit), sgc=sgc)
        found += [sale for sale in page.items if sale.cause is cause]
        after = page.next
        # Whole pages only: the cursor is that of the last one read.
        if found or after is None:
            break
    return Page(found, after)


# Pages that one request reads at most in search of a cause.
SCANS = 20
