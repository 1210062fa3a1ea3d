"""Dangerous orders and their caps in the database: counted under a lock of their kind."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, and_, bindparam, func, not_, select, update

from adapters.store.columns import MOMENT, literals
from adapters.store.commands import command_json, command_of
from adapters.store.harm_tables import caps, danger_turns, dangerous_orders
from adapters.store.inserts import new_only, upsert
from adapters.store.statements import SqlRow, Statements
from adapters.store.tables import deliveries
from headend.dangers import (
    DAY,
    ENDED_STATES,
    FAILED_STATES,
    HOUR,
    CapRule,
    Caps,
    Danger,
    DangerousOrder,
    Share,
    Tally,
)
from headend.deliveries import CLOSED_BY, DeliveryState
from headend.errors import Stale
from headend.meters import TenantId

_o = dangerous_orders.c
_KIND = (_o.tenant == bindparam("tenant_"), _o.danger == bindparam("danger_"))
_BY_KEY = _o.ordered_by == bindparam("key_")
_IN_GROUP = _o.sgc == bindparam("sgc_")
_WITHIN_HOUR = _o.admitted_at > bindparam("hour", type_=MOMENT)
_TURN = upsert(danger_turns, lambda _: {"turn": danger_turns.c.turn})
_ADD = new_only(dangerous_orders)
_FIND = select(dangerous_orders).where(_o.tenant == bindparam("tenant_"), _o.id == bindparam("id_"))
_TALLY = select(
    func.count().filter(_BY_KEY, _WITHIN_HOUR).label("key_hour"),
    func.count().filter(_BY_KEY).label("key_day"),
    func.count().filter(_IN_GROUP, _WITHIN_HOUR).label("group_hour"),
    func.count().filter(_IN_GROUP).label("group_day"),
).where(*_KIND, _o.admitted_at > bindparam("day", type_=MOMENT))
_ITS_DELIVERY = and_(deliveries.c.tenant == _o.tenant, deliveries.c.id == _o.id)
_ENDED = (
    select(dangerous_orders, deliveries.c.state)
    .join_from(dangerous_orders, deliveries, _ITS_DELIVERY)
    .where(
        _o.result.is_(None),
        _o.admitted_at >= bindparam("since", type_=MOMENT),
        deliveries.c.state.in_(literals(ENDED_STATES)),
    )
    .order_by(_o.admitted_at)
    .limit(bindparam("limit_", type_=Integer()))
)
_SETTLE = update(dangerous_orders).where(
    _o.tenant == bindparam("tenant_"), _o.id == bindparam("id_"), _o.result.is_(None)
)
_CLOSED = and_(
    _o.result == DeliveryState.UNRESOLVED.value,
    func.coalesce(deliveries.c.stopped_by, "").in_(literals(CLOSED_BY)),
)
_COUNTED = and_(_o.result.in_(literals(ENDED_STATES - {DeliveryState.CANCELLED})), not_(_CLOSED))
_SHARE = (
    select(
        func.count().filter(_COUNTED).label("ended"),
        func.count().filter(_COUNTED, _o.result.in_(literals(FAILED_STATES))).label("failed"),
    )
    .select_from(dangerous_orders.outerjoin(deliveries, _ITS_DELIVERY))
    .where(*_KIND, _IN_GROUP, _o.ended_at > bindparam("since", type_=MOMENT))
)


class SqlDangerousOrders:
    """Satisfies the dangerous orders of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def lock(self, tenant: TenantId, danger: Danger) -> None:
        turn = {"tenant": tenant, "danger": danger, "turn": 0}
        await self._run.changed(_TURN[self._run.dialect], turn)

    async def find(self, tenant: TenantId, ident: str) -> DangerousOrder | None:
        row = await self._run.row(_FIND, {"tenant_": tenant, "id_": ident})
        return None if row is None else _order_of(row)

    async def add(self, order: DangerousOrder) -> None:
        columns = {field.name: getattr(order, field.name) for field in fields(order)}
        columns["command"] = None if order.command is None else command_json(order.command)
        if not await self._run.changed(_ADD[self._run.dialect], columns):
            raise Stale(f"dangerous order {order.id}")

    async def tally(
        self, tenant: TenantId, danger: Danger, *, key: str, sgc: str, now: datetime
    ) -> Tally:
        given = {
            "tenant_": tenant,
            "danger_": danger,
            "key_": key,
            "sgc_": sgc,
            "hour": now - HOUR,
            "day": now - DAY,
        }
        row = await self._run.row(_TALLY, given)
        assert row is not None
        return Tally(row.key_hour, row.key_day, row.group_hour, row.group_day)

    async def ended(
        self, *, since: datetime, limit: int
    ) -> Sequence[tuple[DangerousOrder, DeliveryState]]:
        rows = await self._run.rows(_ENDED, {"since": since, "limit_": limit})
        return [(_order_of(row), DeliveryState(row.state)) for row in rows]

    async def settle(self, order: DangerousOrder) -> None:
        given = {
            "tenant_": order.tenant,
            "id_": order.id,
            "result": order.result,
            "ended_at": order.ended_at,
        }
        await self._run.change(_SETTLE, given, what=f"dangerous order {order.id}")

    async def share(self, tenant: TenantId, danger: Danger, sgc: str, *, since: datetime) -> Share:
        given = {"tenant_": tenant, "danger_": danger, "sgc_": sgc, "since": since}
        row = await self._run.row(_SHARE, given)
        assert row is not None
        return Share(row.ended, row.failed)


def _order_of(row: SqlRow) -> DangerousOrder:
    return DangerousOrder(
        tenant=row.tenant,
        id=row.id,
        danger=Danger(row.danger),
        drn=row.drn,
        sgc=row.sgc,
        ordered_by=row.ordered_by,
        admitted_at=row.admitted_at,
        result=None if row.result is None else DeliveryState(row.result),
        ended_at=row.ended_at,
        command=None if row.command is None else command_of(row.command),
        three_kct=row.three_kct,
    )


# --- caps ---------------------------------------------------------------------------------------

WHOLE_TENANT = ""
_k = caps.c
_RULE = (
    _k.tenant == bindparam("tenant_"),
    _k.sgc == bindparam("sgc_"),
    _k.danger == bindparam("danger_"),
)
_ADD_RULE = new_only(caps)
_FIND_RULE = select(caps).where(*_RULE)
_SAVE_RULE = update(caps).where(*_RULE, _k.version == bindparam("was"))
_ALL_RULES = select(caps).where(_k.tenant == bindparam("tenant_")).order_by(_k.danger, _k.sgc)


class SqlCapRules:
    """Satisfies the caps of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def find(self, tenant: TenantId, sgc: str | None, danger: Danger) -> CapRule | None:
        given = {"tenant_": tenant, "sgc_": sgc or WHOLE_TENANT, "danger_": danger}
        row = await self._run.row(_FIND_RULE, given)
        return None if row is None else _rule_of(row)

    async def put(self, rule: CapRule, *, was: int | None) -> None:
        columns = {
            "tenant": rule.tenant,
            "sgc": rule.sgc or WHOLE_TENANT,
            "danger": rule.danger,
            **caps_json(rule.caps),
            "version": rule.version,
            "changed_by": rule.changed_by,
            "changed_at": rule.changed_at,
        }
        what = f"caps of {rule.danger}"
        if was is not None:
            keys = {f"{name}_": columns[name] for name in ("tenant", "sgc", "danger")}
            await self._run.change(_SAVE_RULE, columns | keys | {"was": was}, what=what)
        elif not await self._run.changed(_ADD_RULE[self._run.dialect], columns):
            raise Stale(what)

    async def all(self, tenant: TenantId) -> Sequence[CapRule]:
        return [_rule_of(row) for row in await self._run.rows(_ALL_RULES, {"tenant_": tenant})]


def caps_json(these: Caps) -> dict[str, object]:
    """Caps by the names of their fields."""
    return asdict(these)


def caps_of(plain: Mapping[str, Any]) -> Caps:
    """Caps again."""
    return Caps(**{field.name: plain[field.name] for field in fields(Caps)})


def _rule_of(row: SqlRow) -> CapRule:
    return CapRule(
        tenant=row.tenant,
        sgc=row.sgc or None,
        danger=Danger(row.danger),
        caps=caps_of(row._asdict()),
        version=row.version,
        changed_by=row.changed_by,
        changed_at=row.changed_at,
    )
