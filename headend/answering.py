"""Answering: how likely a meter answers at this hour, learned from its own tries and polls.

Decayed counts for each hour of the day (UTC), one small row a meter. Evidence is a window, not a
message: what a dead meter does not answer within minutes is one silence. What a meter pushes by
itself proves nothing here, for one that talks need not listen.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from headend.deliveries import Fact
from headend.meters import Drn, TenantId

HOURS = 24
# Evidence weighs half after a week: a wire that was mended is believed in again within days.
HALF_LIFE = timedelta(days=7)
# More evidence than this in one hour of the day adds nothing but inertia.
CAP = 24.0
# Before anything is known a wire is taken to be a good one, with the weight of four windows.
PRIOR_CHANCE = 0.9
PRIOR_WEIGHT = 4.0
# So much evidence over the whole day is enough to decide by.
ENOUGH = 8.0
WINDOW = timedelta(minutes=10)

_ANSWERS = frozenset(
    {
        Fact.ACCEPTED,
        Fact.SEEN,
        Fact.USED,
        Fact.USED_BY_ANOTHER,
        Fact.REFUSED,
        Fact.NOT_READY,
        Fact.LOCKED_OUT,
        Fact.UNSUPPORTED,
        Fact.KEY_MISMATCH,
    }
)
_SILENCES = frozenset({Fact.NO_ANSWER, Fact.NOT_SENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerHistory:
    """What is known of one meter. `tried` and `answered` are windows, decayed to `changed_at`.

    `silent_run` counts silent windows since the last answer, the last of them at `silent_at`.
    """

    tenant: TenantId
    drn: Drn
    tried: tuple[float, ...] = (0.0,) * HOURS
    answered: tuple[float, ...] = (0.0,) * HOURS
    silent_run: int = 0
    silent_at: datetime | None = None
    changed_at: datetime

    def after(self, *, answered: bool, now: datetime) -> "AnswerHistory":
        """With one window more; a silence within WINDOW of the last one is the same."""
        if not answered and self.silent_at is not None and _same_window(self.silent_at, now):
            return self
        faded = self.faded(now)
        hour = now.hour
        tried, took = faded.tried[hour], faded.answered[hour]
        room = min(1.0, (CAP - 1.0) / tried) if tried > 0 else 1.0
        return replace(
            faded,
            tried=_with(faded.tried, hour, tried * room + 1.0),
            answered=_with(faded.answered, hour, took * room + (1.0 if answered else 0.0)),
            silent_run=0 if answered else faded.silent_run + 1,
            silent_at=None if answered else now,
        )

    def faded(self, now: datetime) -> "AnswerHistory":
        """As much of it as still counts; a clock that went back fades nothing."""
        age = max(timedelta(), now - self.changed_at)
        kept = 0.5 ** (age / HALF_LIFE)
        return replace(
            self,
            tried=tuple(count * kept for count in self.tried),
            answered=tuple(count * kept for count in self.answered),
            changed_at=max(now, self.changed_at),
        )

    def chance(self, now: datetime) -> float:
        """How likely it answers in this hour of the day, in [0, 1].

        The hour's own evidence, on what the whole day tells, on what one expects of any meter.
        """
        faded = self.faded(now)
        day = _mixed(PRIOR_CHANCE, sum(faded.answered), sum(faded.tried))
        return _mixed(day, faded.answered[now.hour], faded.tried[now.hour])

    def enough(self, now: datetime) -> bool:
        """There is evidence to decide by."""
        return sum(self.faded(now).tried) >= ENOUGH


def answer_in(fact: Fact) -> bool | None:
    """Whether what came of a try was an answer of the meter; None when it tells nothing."""
    if fact in _ANSWERS:
        return True
    return False if fact in _SILENCES else None


def _mixed(expected: float, answered: float, tried: float) -> float:
    return (PRIOR_WEIGHT * expected + answered) / (PRIOR_WEIGHT + tried)


def _with(counts: tuple[float, ...], hour: int, count: float) -> tuple[float, ...]:
    return (*counts[:hour], count, *counts[hour + 1 :])


def _same_window(last: datetime, now: datetime) -> bool:
    return abs(now - last) < WINDOW


class AnswerHistories(Protocol):
    """What the core asks of the database."""

    async def find(self, tenant: TenantId, drn: Drn) -> AnswerHistory | None: ...

    async def put(self, history: AnswerHistory) -> None:
        """Add or replace that of a meter."""


class _Transaction(Protocol):
    @property
    def answer_histories(self) -> AnswerHistories: ...


async def note_answer(
    tx: _Transaction, tenant: TenantId, drn: Drn, *, answered: bool | None, now: datetime
) -> None:
    """Learn from one try or poll, in the transaction that writes what came of it."""
    if answered is None:
        return
    known = await tx.answer_histories.find(tenant, drn)
    before = known or AnswerHistory(tenant=tenant, drn=drn, changed_at=now)
    after = before.after(answered=answered, now=now)
    if after is not before:
        await tx.answer_histories.put(after)
