"""Settling: a person's word on an order without tokens whose outcome nobody could tell.

Supply, clock and credit parameters are set, so nothing is sent on such a word: it closes the
question, with who gave it, in the evidence and in the audit.
"""

from datetime import datetime

from headend.admission import describe
from headend.audit import AuditAction, Entry
from headend.deliveries import Confirmation, Delivery, Fact
from headend.evidence import Says
from headend.outcomes import Outcome, write_outcome
from headend.refusals import TooMuchSaid
from headend.store import Transaction
from headend.worklist import Work, word_of


async def settle_order(
    tx: Transaction, work: Work, says: Says, fact: Fact, *, by: str, note: str, now: datetime
) -> Delivery:
    """Write the word down and let the order follow it. Raises TooMuchSaid."""
    order = work.delivery
    if not await tx.evidence.note(word_of(order, None, says, by=by, note=note, now=now)):
        raise TooMuchSaid("there is no room for more evidence of it", field="id")
    told = Outcome(fact=fact, by=Confirmation.PERSON, detail=f"told by {by}")
    after = await write_outcome(tx, order, told, now=now, spread=0.0)
    await tx.audit.append(
        Entry(
            tenant=order.tenant,
            at=now,
            by=by,
            action=AuditAction.ORDER_SETTLED,
            subject=order.id,
            result=says.value,
            about={"meter": order.drn, "what": describe(order.command), "note": note},
        )
    )
    return after
