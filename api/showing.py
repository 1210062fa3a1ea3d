"""Showing digits: who saw them is written down before they leave."""

from datetime import datetime

from headend.api_keys import ApiKey
from headend.audit import AuditAction, Entry
from headend.store import Store


async def note_shown(store: Store, caller: ApiKey, subject: str, *, now: datetime) -> None:
    """The digits of a recharge or an order (`subject`) are shown to this caller now."""
    async with store.begin() as tx:
        await tx.audit.append(
            Entry(
                tenant=caller.tenant,
                at=now,
                by=f"key:{caller.id}",
                action=AuditAction.DIGITS_REVEALED,
                subject=subject,
            )
        )
