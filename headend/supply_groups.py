"""Supply groups: meters under one supply group code share a policy (times, limits, reveal)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum, unique

from headend.meters import TenantId
from headend.usage_points import Contact

DEFAULT_FALLBACK_S = 60
# A hand-over begins so much before its promise: one provider may hang for its time-out (8 s), the
# next one answers in a few seconds, and a round of the loop takes one.
HAND_OVER_LEAD_S = 15
DEFAULT_DEADLINE_S = 24 * 3600
DEFAULT_TELL_S = 15 * 60
# Two hours is what regulators set who pay compensation for a home that paid and stays dark.
DEFAULT_LIMIT_S = 2 * 3600
DEFAULT_AT_ONCE_BELOW = 30


@unique
class Reveal(StrEnum):
    """When the digits may be shown to a caller with the `reveal` scope."""

    AT_ONCE = "at_once"
    ON_FALLBACK = "on_fallback"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """When somebody is told that a home which paid is dark, and when that breaks the law.

    Times in seconds after payment. `contacts` are the people in charge. A meter less likely to
    answer than `at_once_below_percent` gets its digits at once; 0: never.
    """

    tell_after_s: int = DEFAULT_TELL_S
    limit_after_s: int = DEFAULT_LIMIT_S
    contacts: tuple[Contact, ...] = ()
    at_once_below_percent: int = DEFAULT_AT_ONCE_BELOW


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyGroup:
    """Policy of one SGC; limits in units of the service.

    `fallback_after_s` is a promise to the customer: digits in hand so many seconds after payment.
    """

    tenant: TenantId
    sgc: str
    name: str = ""
    zone: str = "UTC"
    language: str = "en"
    fallback_after_s: int = DEFAULT_FALLBACK_S
    deadline_after_s: int = DEFAULT_DEADLINE_S
    limit_per_recharge: Decimal | None = None
    limit_per_day: Decimal | None = None
    reveal: Reveal = Reveal.ON_FALLBACK
    reveal_at: Mapping[str, Reveal] = field(default_factory=dict)
    restoration: Restoration = Restoration()
    version: int = 1
    changed_at: datetime

    def reveal_for(self, sales_point: str | None) -> Reveal:
        """The reveal policy at one sales point."""
        return self.reveal_at.get(sales_point, self.reveal) if sales_point else self.reveal

    def fallback_at(self, paid_at: datetime) -> datetime:
        """When a hand-over begins, so that the digits are in hand `fallback_after_s` after payment.

        Earlier than promised by HAND_OVER_LEAD_S, or by a quarter of a short promise.
        """
        lead_s = min(HAND_OVER_LEAD_S, self.fallback_after_s / 4)
        return paid_at + timedelta(seconds=self.fallback_after_s - lead_s)

    def deadline(self, issued_at: datetime) -> datetime:
        return issued_at + timedelta(seconds=self.deadline_after_s)


def default_group(tenant: TenantId, sgc: str, now: datetime) -> SupplyGroup:
    """The policy of a group nobody has described yet."""
    return SupplyGroup(tenant=tenant, sgc=sgc, changed_at=now)
