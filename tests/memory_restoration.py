"""Restoration in memory: clocks, escalations, compensations, what meters answer, messages sent."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice, takewhile
from typing import Any

from adapters.store.cursors import read_cursor, write_cursor
from headend.answering import AnswerHistory
from headend.compensations import Compensation, CompensationFilter
from headend.errors import Stale
from headend.escalations import Escalation
from headend.messages import SentMessage
from headend.meters import Drn, TenantId
from headend.pages import Cursor, Page
from headend.restoration import Overdue, RestorationClock, Threshold
from tests.memory_tables import Table, View


def restoration_tables() -> dict[str, Table[Any, Any]]:
    return {
        "restoration_clocks": Table(
            due=_when(lambda one: one.due_at, lambda one: (one.tenant, one.recharge_id))
        ),
        "escalations": Table(
            due=_when(
                lambda one: one.not_before,
                lambda one: (one.tenant, one.recharge_id, one.threshold.value),
            ),
        ),
        "compensations": Table(time=lambda one: (one.tenant, (one.limit_at, one.recharge_id))),
        "answer_histories": Table(),
        "sent_messages": Table(
            delivery=lambda one: ((one.tenant, one.delivery_id), (one.sent_at, one.id)),
            reference=lambda one: (
                (one.provider, one.reference),
                (one.sent_at, one.id, one.tenant),
            ),
            again=_when(lambda one: one.again_at, lambda one: (one.tenant, one.id)),
        ),
    }


def _when(
    moment: Callable[[Any], datetime | None], key: Callable[[Any], tuple[str, ...]]
) -> Callable[[Any], Any]:
    """An index of those that have a moment, in its order."""

    def place(one: Any) -> Any:
        due = moment(one)
        return None if due is None else (None, (due, *key(one)))

    return place


def _until(every: Iterator[Any], moment: str, now: datetime, limit: int) -> list[Any]:
    return list(islice(takewhile(lambda one: getattr(one, moment) <= now, every), limit))


class MemoryRestorationClocks:
    def __init__(self, view: View[tuple[TenantId, str], RestorationClock]) -> None:
        self._view = view

    async def add(self, clock: RestorationClock) -> None:
        if self._view.get((clock.tenant, clock.recharge_id)) is not None:
            raise Stale(f"clock of recharge {clock.recharge_id}")
        self._view.put((clock.tenant, clock.recharge_id), clock)

    async def find(self, tenant: TenantId, recharge_id: str) -> RestorationClock | None:
        return self._view.get((tenant, recharge_id))

    async def issued(self, clock: RestorationClock) -> None:
        known = self._view.get((clock.tenant, clock.recharge_id))
        if known is None:
            raise Stale("clock")
        changed = replace(
            known,
            sight=clock.sight,
            choice=clock.choice,
            chance_percent=clock.chance_percent,
            digits_due_at=clock.digits_due_at,
        )
        self._view.put((clock.tenant, clock.recharge_id), changed)

    async def save(self, clock: RestorationClock, *, was: int) -> None:
        known = self._view.get((clock.tenant, clock.recharge_id))
        if known is None or known.version != was:
            raise Stale(f"clock of recharge {clock.recharge_id}")
        changed = replace(
            known,
            told_at=clock.told_at,
            limit_passed_at=clock.limit_passed_at,
            ended_at=clock.ended_at,
            ended_by=clock.ended_by,
            due_at=clock.due_at,
            version=clock.version,
        )
        self._view.put((clock.tenant, clock.recharge_id), changed)

    async def due(self, *, now: datetime, limit: int) -> Sequence[RestorationClock]:
        return _until(self._view.walk("due", None), "due_at", now, limit)

    async def overdue(self, *, now: datetime) -> Sequence[Overdue]:
        running = list(self._view.walk("due", None))
        found = []
        for threshold, moment in (("tell", "tell_at"), ("limit", "limit_at")):
            past = Counter(one.tenant for one in running if getattr(one, moment) <= now)
            found += [
                Overdue(tenant, Threshold(threshold), count)
                for tenant, count in sorted(past.items())
            ]
        return found


class MemoryEscalations:
    def __init__(self, view: View[tuple[TenantId, str, str], Escalation]) -> None:
        self._view = view

    async def add(self, escalation: Escalation) -> None:
        if self._view.get(_key(escalation)) is not None:
            raise Stale(f"escalation of recharge {escalation.recharge_id}")
        self._view.put(_key(escalation), escalation)

    async def due(self, *, now: datetime, limit: int) -> Sequence[Escalation]:
        return _until(self._view.walk("due", None), "not_before", now, limit)

    async def save(self, escalation: Escalation) -> None:
        if self._view.get(_key(escalation)) is None:
            raise Stale("escalation")
        self._view.put(_key(escalation), escalation)

    async def of(self, tenant: TenantId, recharge_id: str) -> Sequence[Escalation]:
        found = [self._view.get((tenant, recharge_id, name)) for name in ("tell", "limit")]
        return sorted((one for one in found if one is not None), key=lambda one: one.made_at)


def _key(one: Escalation) -> tuple[TenantId, str, str]:
    return one.tenant, one.recharge_id, one.threshold.value


class MemoryCompensations:
    def __init__(self, view: View[tuple[TenantId, str], Compensation]) -> None:
        self._view = view

    async def add(self, record: Compensation) -> None:
        if self._view.get((record.tenant, record.recharge_id)) is not None:
            raise Stale(f"compensation of recharge {record.recharge_id}")
        self._view.put((record.tenant, record.recharge_id), record)

    async def find(self, tenant: TenantId, recharge_id: str) -> Compensation | None:
        return self._view.get((tenant, recharge_id))

    async def ended(self, record: Compensation) -> None:
        known = self._view.get((record.tenant, record.recharge_id))
        if known is None:
            raise Stale("compensation")
        changed = replace(
            known, ended_at=record.ended_at, ended_by=record.ended_by, cause=record.cause
        )
        self._view.put((record.tenant, record.recharge_id), changed)

    async def page(
        self, tenant: TenantId, cursor: Cursor, where: CompensationFilter
    ) -> Page[Compensation]:
        beyond = None if cursor.after is None else read_cursor(cursor.after, (datetime, str))
        found = list(islice(self._matching(tenant, where, beyond), cursor.limit + 1))
        items = found[: cursor.limit]
        last = items[-1] if len(found) > cursor.limit else None
        return Page(items, write_cursor((last.limit_at, last.recharge_id)) if last else None)

    def _matching(
        self, tenant: TenantId, where: CompensationFilter, beyond: tuple[Any, ...] | None
    ) -> Iterator[Compensation]:
        for one in self._view.walk("time", tenant, newest_first=True, beyond=beyond):
            wanted = (
                where.sgc in (None, one.sgc)
                and where.drn in (None, one.drn)
                and (where.since is None or one.limit_at >= where.since)
                and (where.until is None or one.limit_at < where.until)
                and where.dark in (None, one.ended_at is None)
            )
            if wanted:
                yield one


class MemoryAnswerHistories:
    def __init__(self, view: View[tuple[TenantId, Drn], AnswerHistory]) -> None:
        self._view = view

    async def find(self, tenant: TenantId, drn: Drn) -> AnswerHistory | None:
        return self._view.get((tenant, drn))

    async def put(self, history: AnswerHistory) -> None:
        self._view.put((history.tenant, history.drn), history)


class MemorySentMessages:
    def __init__(self, view: View[tuple[TenantId, str], SentMessage]) -> None:
        self._view = view

    async def add(self, message: SentMessage) -> None:
        self._view.put((message.tenant, message.id), message)

    async def of(self, tenant: TenantId, delivery_id: str) -> Sequence[SentMessage]:
        return list(islice(self._view.walk("delivery", (tenant, delivery_id)), 100))

    async def named(self, provider: str, reference: str) -> SentMessage | None:
        newest = self._view.walk("reference", (provider, reference), newest_first=True)
        return next(newest, None)

    async def save(self, message: SentMessage) -> None:
        if self._view.get((message.tenant, message.id)) is None:
            raise Stale(f"message {message.id}")
        self._view.put((message.tenant, message.id), message)

    async def due_again(self, *, now: datetime, limit: int) -> Sequence[SentMessage]:
        return _until(self._view.walk("again", None), "again_at", now, limit)
