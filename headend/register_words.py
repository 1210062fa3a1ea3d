"""Register words: what the registers of a meter say of one token, as evidence.

Read unasked or in a look (intake), or after the meter called the token used (used_tokens).
"""

from collections.abc import Mapping
from datetime import datetime

from headend.deliveries import Delivery
from headend.evidence import Evidence, EvidenceKind, Says
from headend.proving import said
from headend.quantities import Units
from headend.readings import Reading, ReadingType
from headend.recharges import Recharge
from headend.registers import credited_otherwise, register_shows
from headend.store import Transaction
from headend.tokens import TokenOutcome, TokenResult


async def register_word(
    tx: Transaction,
    delivery: Delivery,
    recharge: Recharge,
    before: Mapping[ReadingType, Reading],
    after: Mapping[ReadingType, Reading],
    *,
    told_at: datetime,
    asked_at: datetime | None = None,
    now: datetime,
) -> tuple[Evidence, TokenOutcome | None] | None:
    """Whether the single token of a sale is in, with the echo it would have had if it is.

    None where the registers cannot tell: without a reading from before the sale or a register of
    consumption, after other credit, or where money was bought, which is consumed at a price that
    the registers do not know.
    """
    if not isinstance(recharge.encoded, Units):
        return None
    bought = recharge.encoded.value
    shows = register_shows(before, after, bought)
    if shows is None or (shows and await credited_otherwise(tx, recharge, before)):
        return None
    (token,) = await tx.tokens.of(delivery.id, delivery.tenant)
    echo = TokenOutcome(result=TokenResult.ACCEPT, amount=bought) if shows else None
    word = said(
        token,
        echo,
        kind=EvidenceKind.CREDIT_REGISTER,
        says=Says.TAKEN if shows else Says.NOT_SEEN,
        now=now,
        asked_at=asked_at,
        told_at=told_at,
    )
    return word, echo
