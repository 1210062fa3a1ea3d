"""Whose turn it is on a bus: the order of deliveries, as SQL.

Within a meter a delivery that waits holds back the later ones of its priority, unless it is handed
over or no bus can send it any more; one in doubt holds nobody back, and one being sent everybody.
Permitting supply waits behind nothing but what is being sent: what waits may be kept back for days.
"""

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, exists, func, or_

from adapters.store.columns import MOMENT, literals
from adapters.store.delivery_rows import REMOTE
from adapters.store.tables import SENDABLE_STATES, deliveries
from headend.deliveries import OPEN_STATES, DeliveryState
from headend.supply import SupplyAction

NOW = bindparam("now", type_=MOMENT)

_ahead = deliveries.alias("ahead")
_sent = deliveries.alias("sent")
_blocking = deliveries.alias("blocking")


def waits_for(bus: ColumnElement[str], table: FromClause) -> ColumnElement[bool]:
    """It may be sent over this bus, now or later, as long as its deadline has not come."""
    return and_(
        table.c.bus == bus,
        table.c.state.in_(literals(SENDABLE_STATES)),
        table.c.methods % (2 * REMOTE) >= REMOTE,
        table.c.deadline > NOW,
    )


def unhindered(table: FromClause) -> ColumnElement[bool]:
    """Nothing of its meter is being sent, and nothing earlier holds it back."""
    sending = exists().where(
        _same_meter(_sent, table),
        _sent.c.state.in_(literals(OPEN_STATES)),
        _sent.c.state.in_(literals([DeliveryState.SENDING])),
    )
    return and_(~sending, ~_held_back(_blocking, table))


def first_of_its_meter(table: FromClause, bus: ColumnElement[str]) -> ColumnElement[bool]:
    """Nothing earlier of its meter could be sent now as well."""
    earlier = exists().where(
        _same_meter(_ahead, table),
        waits_for(bus, _ahead),
        _ahead.c.state.in_(literals(OPEN_STATES)),
        _ahead.c.not_before <= NOW,
        or_(
            _ahead.c.priority < table.c.priority,
            and_(_ahead.c.priority == table.c.priority, _before(_ahead, table)),
        ),
        ~_held_back(deliveries.alias("blocking_ahead"), _ahead),
    )
    return ~earlier


def _held_back(blocking: FromClause, table: FromClause) -> ColumnElement[bool]:
    return exists().where(
        _same_meter(blocking, table),
        blocking.c.priority == table.c.priority,
        _before(blocking, table),
        blocking.c.state.in_(literals(OPEN_STATES)),
        blocking.c.state.in_(literals([DeliveryState.WAITING])),
        blocking.c.handed_at.is_(None),
        blocking.c.methods % (2 * REMOTE) >= REMOTE,
        # Most commands have no action.
        func.coalesce(table.c.command["action"].as_string(), "") != SupplyAction.PERMIT_CLOSE.value,
    )


def _same_meter(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    return and_(one.c.tenant == other.c.tenant, one.c.drn == other.c.drn)


def _before(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    return or_(one.c.rank < other.c.rank, and_(one.c.rank == other.c.rank, one.c.id < other.c.id))
