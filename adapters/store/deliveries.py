"""Deliveries in the database: leases, deadlines, and what is due to people."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    func,
    or_,
    select,
    tuple_,
    update,
)

from adapters.store.columns import MOMENT, literals
from adapters.store.commands import KIND_TAGS
from adapters.store.delivery_rows import REMOTE, born, changing, delivery_of
from adapters.store.inserts import new_only
from adapters.store.meters import meter_of
from adapters.store.statements import Parameters, Statements
from adapters.store.tables import SENDABLE_STATES, deliveries, meters, tokens
from adapters.store.tokens import token_of
from adapters.store.turns import first_of_its_meter, unhindered, waits_for
from headend.commands import TOKEN_COMMANDS, ChangeKey, Manage, SetSupply
from headend.deliveries import NEWEST_LIMIT, OPEN_STATES, Delivery, DeliveryState
from headend.errors import Stale
from headend.meters import BusName, Drn, TenantId
from headend.store import Leased
from headend.tokens import Token, TokenResult

OF_METER_LIMIT = 100
# Callers choose ids, so an id is a delivery's only within its tenant.
_Key: TypeAlias = tuple[TenantId, str]

_c = deliveries.c
_NOW = bindparam("now", type_=MOMENT)
_BUS = bindparam("bus_", type_=String())
_LIMIT = bindparam("limit_", type_=Integer())
_PRIORITIES = bindparam("priorities", type_=Integer(), expanding=True)
_TENANT = _c.tenant == bindparam("tenant_")
_METER = (_TENANT, _c.drn == bindparam("drn_"))
_SENDABLE = _c.state.in_(literals(SENDABLE_STATES))
_IN_DUE_TIME = (_c.priority, _c.rank, _c.tenant, _c.id)


def _one_of(tenant: ColumnElement[str], ident: ColumnElement[str]) -> ColumnElement[bool]:
    """Its key is one of `keys`, see `_of_keys`; for pairs alone SQLite reads the whole table."""
    return and_(
        tenant.in_(bindparam("tenants", expanding=True)),
        ident.in_(bindparam("ids", expanding=True)),
        tuple_(tenant, ident).in_(bindparam("keys", expanding=True)),
    )


# Made twice, once: a transaction that writes locks what it reads.
_Reads: TypeAlias = Mapping[bool, Select[tuple[object, ...]]]


def _locking(statement: Select[tuple[object, ...]]) -> _Reads:
    return {False: statement, True: statement.with_for_update()}


def _claiming(statement: Select[tuple[object, ...]]) -> _Reads:
    """Rows that another worker holds are not waited for."""
    return {False: statement, True: statement.with_for_update(skip_locked=True)}


_ADD = new_only(deliveries)
_FIND = _locking(select(deliveries).where(_TENANT, _c.id == bindparam("id_")))
_OF = _locking(select(deliveries).where(_TENANT, _c.recharge_id == bindparam("recharge")))
_OF_METER = _locking(
    select(deliveries)
    .where(*_METER, _c.state.in_(bindparam("states", expanding=True)))
    .order_by(*_IN_DUE_TIME)
    .limit(OF_METER_LIMIT)
)
_NEWEST_OF = _locking(
    select(deliveries)
    .where(
        *_METER,
        _c.recharge_id.is_(None),
        _c.command["type"].as_string() == bindparam("kind"),
        _c.state.in_(bindparam("states", expanding=True)),
    )
    .order_by(_c.created_at.desc(), _c.id.desc())
    .limit(NEWEST_LIMIT)
)
_SAVE = update(deliveries).where(_TENANT, _c.id == bindparam("id_"), _c.state == bindparam("was"))
_SAVE_LEASED = _SAVE.where(_c.lease_id == bindparam("lease"))

_TURN = and_(
    waits_for(_BUS, deliveries),
    _c.not_before <= _NOW,
    unhindered(deliveries),
    first_of_its_meter(deliveries, _BUS),
)
# The meters are locked first; whoever holds them then sees in a new statement what others did
# meanwhile, so that no meter is ever given twice.
_NEXT_METERS = (
    select(_c.id.label("delivery_id"), meters)
    .join_from(deliveries, meters, and_(meters.c.tenant == _c.tenant, meters.c.drn == _c.drn))
    .where(_TURN, _c.priority.in_(_PRIORITIES))
    .order_by(*_IN_DUE_TIME)
    .limit(_LIMIT)
    .with_for_update(of=meters, key_share=True, skip_locked=True)
)
_LEASE = (
    update(deliveries)
    .where(_one_of(_c.tenant, _c.id), _TURN)
    .values(
        state=DeliveryState.SENDING,
        attempts=_c.attempts + 1,
        lease_id=bindparam("lease"),
        lease_until=bindparam("until"),
        changed_at=_NOW,
    )
    .returning(deliveries)
)
_TOKENS_OF_ALL = (
    select(tokens).where(_one_of(tokens.c.tenant, tokens.c.delivery_id)).order_by(tokens.c.sequence)
)
_NEXT_DUE = (
    select(_c.priority, func.min(_c.not_before).label("due_at"))
    .where(waits_for(_BUS, deliveries), unhindered(deliveries))
    .group_by(_c.priority)
)
_LAPSED = _claiming(
    select(deliveries)
    .where(_c.state.in_(literals([DeliveryState.SENDING])), _c.lease_until <= _NOW)
    .order_by(_c.lease_until, _c.tenant, _c.id)
    .limit(_LIMIT)
)
_SENDING = _claiming(
    select(deliveries)
    .where(_c.state.in_(literals([DeliveryState.SENDING])), _c.bus == _BUS)
    .order_by(_c.lease_until, _c.tenant, _c.id)
    .limit(_LIMIT)
)
_DUE_TO_PEOPLE = _claiming(
    select(deliveries)
    .where(
        _c.state.in_(literals(OPEN_STATES)),
        or_(
            and_(_SENDABLE, _c.deadline <= _NOW),
            and_(
                _c.deadline > _NOW,
                _c.handed_at.is_(None),
                _c.methods >= 2 * REMOTE,
                or_(_c.hand_not_before.is_(None), _c.hand_not_before <= _NOW),
                or_(_c.fallback_at <= _NOW, _c.methods % (2 * REMOTE) < REMOTE),
            ),
        ),
    )
    .order_by(_c.created_at, _c.tenant, _c.id)
    .limit(_LIMIT)
)
_TO_TELL = _claiming(
    select(deliveries)
    .where(
        _c.state.in_(literals([DeliveryState.DONE])),
        _c.handed_at.is_not(None),
        _c.told_at.is_(None),
        or_(_c.hand_not_before.is_(None), _c.hand_not_before <= _NOW),
    )
    .order_by(_c.created_at, _c.tenant, _c.id)
    .limit(_LIMIT)
)
_HASTEN = (
    update(deliveries)
    .where(
        *_METER,
        _c.state.in_(literals(OPEN_STATES)),
        _SENDABLE,
        _c.not_before > _NOW,
        or_(_c.result.is_(None), _c.result != int(TokenResult.LOCK_OUT)),
    )
    .values(not_before=_NOW)
)


class SqlDeliveries:
    """Satisfies the deliveries of the store port.

    In a transaction that writes, whatever is read here is locked until its end: what became of
    one command is decided by one at a time.
    """

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, delivery: Delivery) -> None:
        """Raises Stale when its id is taken or its recharge has one (somebody was faster)."""
        columns = born(delivery) | changing(delivery)
        if not await self._run.changed(_ADD[self._run.dialect], columns):
            raise Stale(f"delivery {delivery.id}")

    async def find(self, tenant: TenantId, ident: str) -> Delivery | None:
        return await self._one(_FIND, {"tenant_": tenant, "id_": ident})

    async def of(self, recharge_id: str, tenant: TenantId) -> Delivery | None:
        return await self._one(_OF, {"tenant_": tenant, "recharge": recharge_id})

    async def take_next(
        self,
        bus: BusName,
        *,
        priorities: Collection[int],
        now: datetime,
        lease_id: str,
        lease_until: datetime,
        limit: int,
    ) -> Sequence[Leased]:
        turn = {"bus_": bus, "priorities": sorted(priorities), "now": now, "limit_": limit}
        found = await self._run.rows(_NEXT_METERS, turn)
        if not found:
            return ()
        meter_rows = {(row.tenant, row.delivery_id): row for row in found}
        lease = {
            "bus_": bus,
            "now": now,
            **_of_keys(meter_rows),
            "lease": lease_id,
            "until": lease_until,
        }
        leased = [delivery_of(row) for row in await self._run.rows(_LEASE, lease)]
        leased.sort(key=lambda one: (one.priority, one.rank, one.tenant, one.id))
        tokens_of = await self._tokens_of(leased)
        return [
            Leased(
                delivery,
                meter_of(meter_rows[_key(delivery)]),
                tuple(tokens_of.get(_key(delivery), ())),
            )
            for delivery in leased
        ]

    async def save(
        self, delivery: Delivery, *, was: DeliveryState, lease_id: str | None = None
    ) -> None:
        parameters = changing(delivery) | {
            "tenant_": delivery.tenant,
            "id_": delivery.id,
            "was": was,
        }
        what = f"delivery {delivery.id}"
        if lease_id is None:
            await self._run.change(_SAVE, parameters, what=what)
        else:
            await self._run.change(_SAVE_LEASED, parameters | {"lease": lease_id}, what=what)

    async def lapsed(self, *, now: datetime, limit: int) -> Sequence[Delivery]:
        return await self._many(_LAPSED, {"now": now, "limit_": limit})

    async def sending(self, bus: BusName, *, limit: int) -> Sequence[Delivery]:
        return await self._many(_SENDING, {"bus_": bus, "limit_": limit})

    async def due_to_people(self, *, now: datetime, limit: int) -> Sequence[Delivery]:
        return await self._many(_DUE_TO_PEOPLE, {"now": now, "limit_": limit})

    async def to_tell(self, *, now: datetime, limit: int) -> Sequence[Delivery]:
        return await self._many(_TO_TELL, {"now": now, "limit_": limit})

    async def next_due(self, bus: BusName, *, now: datetime) -> Mapping[int, datetime]:
        """Those that another one of their meter holds back are left out: they are woken by it."""
        rows = await self._run.rows(_NEXT_DUE, {"bus_": bus, "now": now})
        return {row.priority: row.due_at for row in rows}

    async def of_meter(
        self, tenant: TenantId, drn: Drn, *, states: frozenset[DeliveryState]
    ) -> Sequence[Delivery]:
        parameters = {"tenant_": tenant, "drn_": drn, "states": sorted(states)}
        return await self._many(_OF_METER, parameters)

    async def newest_of(
        self,
        tenant: TenantId,
        drn: Drn,
        kind: type[ChangeKey] | type[Manage] | type[SetSupply],
        *,
        states: frozenset[DeliveryState],
    ) -> Sequence[Delivery]:
        keys = {"tenant_": tenant, "drn_": drn, "kind": KIND_TAGS[kind], "states": sorted(states)}
        return await self._many(_NEWEST_OF, keys)

    async def hasten(self, tenant: TenantId, drn: Drn, *, now: datetime) -> int:
        return await self._run.changed(_HASTEN, {"tenant_": tenant, "drn_": drn, "now": now})

    async def _one(self, reads: _Reads, parameters: Parameters) -> Delivery | None:
        row = await self._run.row(reads[self._run.locks], parameters)
        return None if row is None else delivery_of(row)

    async def _many(self, reads: _Reads, parameters: Parameters) -> Sequence[Delivery]:
        rows = await self._run.rows(reads[self._run.locks], parameters)
        return [delivery_of(row) for row in rows]

    async def _tokens_of(self, leased: Sequence[Delivery]) -> dict[_Key, list[Token]]:
        keys = [_key(one) for one in leased if isinstance(one.command, TOKEN_COMMANDS)]
        found: dict[_Key, list[Token]] = {}
        if keys:
            for row in await self._run.rows(_TOKENS_OF_ALL, _of_keys(keys)):
                found.setdefault((row.tenant, row.delivery_id), []).append(token_of(row))
        return found


def _of_keys(keys: Iterable[_Key]) -> dict[str, object]:
    pairs = list(keys)
    tenants, ids = ({pair[place] for pair in pairs} for place in (0, 1))
    return {"keys": pairs, "tenants": sorted(tenants), "ids": sorted(ids)}


def _key(delivery: Delivery) -> _Key:
    return delivery.tenant, delivery.id
