"""Supply orders in doubt: how the meter's supply stands afterwards tells what became of them.

Only an answer to a question that left us after the order counts. That it stands otherwise settles
an order that nobody sends any more, once a late command can no longer be under way. Where the meter
cannot tell, the doubt stays; who has paid meanwhile is permitted to close all the same.
"""

from datetime import datetime

from headend.commands import SetSupply
from headend.deliveries import CLOSED_BY, Confirmation, Delivery, DeliveryState, Fact
from headend.evidence import Evidence, EvidenceKind, Says, Weight, doubt_of, weigh
from headend.looking import ASK_FOR
from headend.meters import Drn, TenantId
from headend.outcomes import Outcome, write_outcome
from headend.reconnecting import permit_after_opening
from headend.store import Transaction
from headend.supply import Supply, carried_out
from headend.worklist import QUIET

_IN_DOUBT = frozenset({DeliveryState.UNCERTAIN, DeliveryState.UNRESOLVED})


async def supply_told(
    tx: Transaction,
    drn: Drn,
    tenant: TenantId,
    supply: Supply,
    *,
    asked_at: datetime,
    now: datetime,
) -> None:
    """Let the supply orders of a meter that are in doubt follow what it answered."""
    for before in await tx.deliveries.of_meter(tenant, drn, states=_IN_DOUBT):
        if isinstance(before.command, SetSupply) and _open_question(before, now=now):
            stands = carried_out(supply, before.command.action)
            if stands is None:
                await permit_after_opening(tx, before, now=now)
            else:
                await _follow(tx, before, supply, stands=stands, asked_at=asked_at, now=now)


async def _follow(
    tx: Transaction,
    before: Delivery,
    supply: Supply,
    *,
    stands: bool,
    asked_at: datetime,
    now: datetime,
) -> None:
    word = Evidence(
        tenant=before.tenant,
        delivery_id=before.id,
        kind=EvidenceKind.SUPPLY,
        says=Says.TAKEN if stands else Says.NOT_SEEN,
        asked_at=asked_at,
        told_at=supply.taken_at,
        first_at=now,
        received_at=now,
        detail=supply.state.value,
    )
    if weigh(word, doubt_of(before)) is Weight.NOTHING:
        return
    await tx.evidence.note(word)
    fact = Fact.SEEN if stands else _otherwise(before, asked_at)
    if fact is not None:
        outcome = Outcome(fact=fact, by=Confirmation.READ_BACK, supply=supply)
        await write_outcome(tx, before, outcome, now=now, spread=0.0)


def _open_question(delivery: Delivery, *, now: datetime) -> bool:
    return (
        delivery.maybe_taken
        and delivery.stopped_by not in CLOSED_BY
        and now - delivery.changed_at < ASK_FOR
    )


def _otherwise(delivery: Delivery, asked_at: datetime) -> Fact | None:
    """What it means that the supply stands otherwise: nothing, as long as it is sent again."""
    sent_again = delivery.state is DeliveryState.UNCERTAIN and delivery.by_remote
    late = asked_at >= doubt_of(delivery).last + QUIET
    return Fact.NOT_AS_ORDERED if late and not sent_again else None
