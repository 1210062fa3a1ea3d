"""Used tokens: a meter says of ours that it is used, and its log no longer tells whose it was.

Another vendor's token of the same minute has the same TID. The registers may tell the two apart:
what was bought is in them, or it is not.
"""

from dataclasses import replace
from datetime import datetime

from headend.deliveries import Confirmation, Delivery, Fact
from headend.evidence import Evidence, EvidenceKind, Says
from headend.outcomes import Outcome
from headend.proving import said
from headend.quantities import Units
from headend.readings import Quality, Reading, ReadingType, judge
from headend.registers import believable_before, credited_otherwise, register_shows
from headend.store import Transaction
from headend.tokens import Token, TokenOutcome, TokenResult


async def whose_was_used(
    tx: Transaction, delivery: Delivery, outcome: Outcome, *, now: datetime
) -> Outcome:
    """The outcome as the registers read with it judge it: USED, SEEN, or USED_BY_ANOTHER.

    It stays USED where they cannot tell: without a reading from before the sale or a register of
    consumption, after other credit, or where money was bought.
    """
    single = delivery.out and delivery.size == 1 and delivery.recharge_id is not None
    if outcome.fact is not Fact.USED or not outcome.readings or not single:
        return outcome
    recharge = await tx.recharges.find(delivery.tenant, delivery.recharge_id or "")
    if recharge is None or not isinstance(recharge.encoded, Units):
        return outcome
    before = await believable_before(tx, recharge)
    after = {one.type: one for one in outcome.readings if _good(one, before.get(one.type))}
    shows = register_shows(before, after, recharge.encoded.value)
    if shows is None or (shows and await credited_otherwise(tx, recharge, before)):
        return outcome
    (token,) = await tx.tokens.of(delivery.id, delivery.tenant)
    if not shows:
        evidence = _evidence(token, None, Says.NOT_SEEN, after, now=now)
        return replace(
            outcome,
            fact=Fact.USED_BY_ANOTHER,
            evidence=(*outcome.evidence, evidence),
            detail="used, and its registers show no credit: another token of the same TID",
        )
    echo = TokenOutcome(result=TokenResult.ACCEPT, amount=recharge.encoded.value)
    evidence = _evidence(token, echo, Says.TAKEN, after, now=now)
    return replace(
        outcome,
        fact=Fact.SEEN,
        by=Confirmation.CREDIT_REGISTER,
        echo=echo,
        evidence=(*outcome.evidence, evidence),
    )


def _good(reading: Reading, previous: Reading | None) -> bool:
    return judge(reading, previous) is Quality.GOOD


def _evidence(
    token: Token,
    echo: TokenOutcome | None,
    says: Says,
    after: dict[ReadingType, Reading],
    *,
    now: datetime,
) -> Evidence:
    return said(
        token,
        echo,
        kind=EvidenceKind.CREDIT_REGISTER,
        says=says,
        now=now,
        told_at=max(one.taken_at for one in after.values()),
    )
