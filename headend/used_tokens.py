"""Used tokens: a meter says of ours that it is used, and its log no longer tells whose it was.

Another vendor's token of the same minute has the same TID. The registers may tell the two apart:
what was bought is in them, or it is not.
"""

from dataclasses import replace
from datetime import datetime

from headend.deliveries import Confirmation, Delivery, Fact
from headend.outcomes import Outcome
from headend.readings import Quality, Reading, judge
from headend.register_words import register_word
from headend.registers import believable_before
from headend.store import Transaction


async def whose_was_used(
    tx: Transaction, delivery: Delivery, outcome: Outcome, *, now: datetime
) -> Outcome:
    """The outcome as the registers read with it judge it: USED, SEEN, or USED_BY_ANOTHER.

    It stays USED where they cannot tell.
    """
    single = delivery.out and delivery.size == 1 and delivery.recharge_id is not None
    if outcome.fact is not Fact.USED or not outcome.readings or not single:
        return outcome
    recharge = await tx.recharges.find(delivery.tenant, delivery.recharge_id or "")
    if recharge is None:
        return outcome
    before = await believable_before(tx, recharge)
    after = {one.type: one for one in outcome.readings if _good(one, before.get(one.type))}
    told_at = max((one.taken_at for one in after.values()), default=now)
    found = await register_word(tx, delivery, recharge, before, after, told_at=told_at, now=now)
    if found is None:
        return outcome
    word, echo = found
    judged = replace(outcome, evidence=(*outcome.evidence, word))
    if echo is None:
        return replace(
            judged,
            fact=Fact.USED_BY_ANOTHER,
            detail="used, and its registers show no credit: another token of the same TID",
        )
    return replace(judged, fact=Fact.SEEN, by=Confirmation.CREDIT_REGISTER, echo=echo)


def _good(reading: Reading, previous: Reading | None) -> bool:
    return judge(reading, previous) is Quality.GOOD
