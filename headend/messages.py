"""Messages: what providers took to bring digits to people, and the receipts that came of them.

A receipt is never taken for entry: it says at most that a telephone showed a message, and some
gateways say it of messages that nobody got. It decides only whether another provider is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Protocol

from headend.deliveries import Delivery
from headend.meters import TenantId
from headend.ports import Dispatch
from headend.usage_points import Contact

# Digits of one delivery go to one person at most so often, whoever asks.
MAX_TIMES = 10
# Who asks again at once gets the message that is on its way.
ASK_AGAIN_AFTER = timedelta(seconds=30)


@unique
class Receipt(StrEnum):
    """What a provider said of a message."""

    NONE = "none"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMessage:
    """One message to one person through one provider.

    `reference` is how the provider names it; `again_at` is when another provider is asked, None
    when none is; at `asked_at` the customer said that it had not come.
    """

    tenant: TenantId
    id: str
    delivery_id: str
    contact: Contact
    provider: str
    reference: str
    sent_at: datetime
    receipt: Receipt = Receipt.NONE
    receipt_at: datetime | None = None
    again_at: datetime | None = None
    asked_at: datetime | None = None

    def receipted(self, receipt: Receipt, *, now: datetime) -> "SentMessage":
        """With a receipt. DELIVERED stays; after it a failure changes nothing, for both may lie."""
        if self.receipt is Receipt.DELIVERED or receipt is self.receipt:
            return self
        # Who asked for the digits gets them, whatever is said of this message meanwhile.
        quiet = self.again_at if self.asked_at else None
        again_at = now if receipt is Receipt.FAILED else quiet
        return replace(self, receipt=receipt, receipt_at=now, again_at=again_at)


def sent_message(
    dispatch: Dispatch, delivery: Delivery, *, ident: str, now: datetime
) -> SentMessage:
    """The record of what a provider took."""
    within_s = dispatch.receipt_within_s
    return SentMessage(
        tenant=delivery.tenant,
        id=ident,
        delivery_id=delivery.id,
        contact=dispatch.contact,
        provider=dispatch.provider,
        reference=dispatch.reference,
        sent_at=now,
        again_at=None if within_s is None else now + timedelta(seconds=within_s),
    )


class SentMessages(Protocol):
    """What the core asks of the database."""

    async def add(self, message: SentMessage) -> None: ...

    async def of(self, tenant: TenantId, delivery_id: str) -> Sequence[SentMessage]:
        """Oldest first, at most 100."""

    async def named(self, provider: str, reference: str) -> SentMessage | None:
        """The newest of this name, locked; of any tenant, for providers know none."""

    async def save(self, message: SentMessage) -> None:
        """Write `receipt`, `receipt_at`, `again_at` and `asked_at`."""

    async def due_again(self, *, now: datetime, limit: int) -> Sequence[SentMessage]:
        """Those after which another provider is to be asked, oldest first, locked."""
