"""A delivery as a row, and the row as a delivery."""

from adapters.store.commands import command_json, command_of
from adapters.store.statements import SqlRow
from headend.deliveries import Confirmation, Delivery, DeliveryMethod, DeliveryState, Fact
from headend.tokens import TokenResult

REMOTE = 1 << DeliveryMethod.REMOTE


def delivery_of(row: SqlRow) -> Delivery:
    """A delivery from all the columns of its table."""
    return Delivery(
        id=row.id,
        tenant=row.tenant,
        drn=row.drn,
        bus=row.bus,
        command=command_of(row.command),
        recharge_id=row.recharge_id,
        ordered_by=row.ordered_by,
        priority=row.priority,
        rank=row.rank,
        state=DeliveryState(row.state),
        methods=_METHODS[row.methods],
        attempts=row.attempts,
        lockouts=row.lockouts,
        size=row.size,
        entered=row.entered,
        maybe_taken=row.maybe_taken,
        doubted_at=row.doubted_at,
        revealed=row.revealed,
        handed_at=row.handed_at,
        told_at=row.told_at,
        hand_attempts=row.hand_attempts,
        hand_not_before=row.hand_not_before,
        not_before=row.not_before,
        fallback_at=row.fallback_at,
        deadline=row.deadline,
        confirmed_by=None if row.confirmed_by is None else Confirmation(row.confirmed_by),
        confirmed_at=row.confirmed_at,
        stopped_by=None if row.stopped_by is None else Fact(row.stopped_by),
        result=None if row.result is None else TokenResult(row.result),
        lease_id=row.lease_id,
        lease_until=row.lease_until,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )


def born(delivery: Delivery) -> dict[str, object]:
    """The columns that never change."""
    return {
        "id": delivery.id,
        "tenant": delivery.tenant,
        "drn": delivery.drn,
        "command": command_json(delivery.command),
        "recharge_id": delivery.recharge_id,
        "ordered_by": delivery.ordered_by,
        "created_at": delivery.created_at,
    }


def changing(delivery: Delivery) -> dict[str, object]:
    """The columns that may change."""
    return {
        "bus": delivery.bus,
        "priority": delivery.priority,
        "rank": delivery.rank,
        "state": delivery.state,
        "methods": sum(1 << method for method in delivery.methods),
        "attempts": delivery.attempts,
        "lockouts": delivery.lockouts,
        "size": delivery.size,
        "entered": delivery.entered,
        "maybe_taken": delivery.maybe_taken,
        "doubted_at": delivery.doubted_at,
        "revealed": delivery.revealed,
        "handed_at": delivery.handed_at,
        "told_at": delivery.told_at,
        "hand_attempts": delivery.hand_attempts,
        "hand_not_before": delivery.hand_not_before,
        "not_before": delivery.not_before,
        "fallback_at": delivery.fallback_at,
        "deadline": delivery.deadline,
        "confirmed_by": delivery.confirmed_by,
        "confirmed_at": delivery.confirmed_at,
        "stopped_by": delivery.stopped_by,
        "result": delivery.result,
        "lease_id": delivery.lease_id,
        "lease_until": delivery.lease_until,
        "changed_at": delivery.changed_at,
    }


_METHODS = tuple(
    frozenset(method for method in DeliveryMethod if bits >> method & 1)
    for bits in range(1 << len(DeliveryMethod))
)
