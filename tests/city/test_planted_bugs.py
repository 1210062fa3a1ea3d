"""The city finds what it is there to find: three bugs, put into the head-end one at a time."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from headend import recharge_desk
from headend.deliveries import Fact
from headend.errors import NoAnswer, WireError
from headend.issuing import draw_tid
from headend.performing import Attempting
from headend.recharge_desk import RechargeDesk
from tests.city.city import run
from tests.city.lives import LIFE
from tests.city.site import Kind, Plan

SEEDS = 8


def found(invariant: str, *kinds: Kind) -> bool:
    """One of the first seeds violates it."""
    return any(
        one.invariant == invariant
        for seed in range(1, SEEDS + 1)
        for one in run(plan(seed, *kinds)).violations
    )


def plan(seed: int, *kinds: Kind) -> Plan:
    return Plan(
        seed=seed, recharges=25, meters=5, busy_s=80.0, kinds=frozenset(kinds), all_kinds=True
    )


def test_a_lost_answer_taken_as_a_failure_is_found(monkeypatch: pytest.MonkeyPatch):
    judge = Attempting._fact

    def gives_up(self: Attempting, error: WireError) -> Fact:
        return Fact.REFUSED if isinstance(error, NoAnswer) else judge(self, error)

    monkeypatch.setattr(Attempting, "_fact", gives_up)
    assert found("no state lies", Kind.LOST)


def test_an_answer_before_the_commit_is_found(monkeypatch: pytest.MonkeyPatch):
    recharge = RechargeDesk.recharge

    async def hasty(self: RechargeDesk, order: Any, **more: Any) -> Any:
        committing = asyncio.ensure_future(recharge(self, order, **more))
        committing.add_done_callback(lambda done: done.cancelled() or done.exception())
        return SimpleNamespace(state="issued"), True

    monkeypatch.setattr(RechargeDesk, "recharge", hasty)
    assert found("no payment without its token", Kind.KILL, Kind.COMMIT_FAILED)


def test_a_tid_given_again_after_a_restart_is_found(monkeypatch: pytest.MonkeyPatch):
    remembered: dict[tuple[str, str], int] = {}

    async def forgetful(tx: Any, recharge: Any, key: Any, *, now: Any, chance: Any) -> Any:
        place = (LIFE.get().name, recharge.drn)
        remembered[place] = draw_tid(key, now=now, last=remembered.get(place))
        return replace(recharge, tid=remembered[place], rnd=chance.nibble())

    monkeypatch.setattr(recharge_desk, "draw", forgetful)
    assert found("a TID is given once", Kind.KILL)


@pytest.mark.parametrize(
    "kinds", [(Kind.LOST,), (Kind.KILL, Kind.COMMIT_FAILED), (Kind.KILL,)], ids=str
)
def test_without_them_nothing_is_found(kinds: tuple[Kind, ...]):
    assert not run(plan(1, *kinds)).violations
