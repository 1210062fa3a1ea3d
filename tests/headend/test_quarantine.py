"""Silent slaves rest, and all of them together cost a small share of the line."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headend.quarantine import (
    PROBE_SHARE,
    REST_MAX_S,
    REST_STEP_S,
    SAVED_MAX_S,
    URGENT_CREDIT_S,
    Quarantine,
)


def with_silent(*names: str, now: float = 0.0) -> Quarantine:
    quarantine = Quarantine()
    for name in names:
        quarantine.silent(name, spent_s=1.0, now=now)
        quarantine.silent(name, spent_s=1.0, now=now)
    return quarantine


def test_one_silence_is_none_and_two_are_enough():
    quarantine = Quarantine()
    quarantine.silent("a", spent_s=1, now=0)
    assert quarantine.again_s("a", now=0) == 0
    quarantine.silent("a", spent_s=1, now=1)
    assert quarantine.again_s("a", now=1) == pytest.approx(REST_STEP_S)
    assert quarantine.resting == {"a"}


def test_noise_is_forgiven_longer_and_an_answer_forgives_all():
    quarantine = Quarantine()
    for _ in range(5):
        quarantine.garbled("a", spent_s=0.1, now=0)
    assert quarantine.again_s("a", now=0) == 0
    quarantine.answered("a", spent_s=0.1, now=0)
    for _ in range(5):
        quarantine.garbled("a", spent_s=0.1, now=0)
    assert quarantine.resting == frozenset()
    quarantine.garbled("a", spent_s=0.1, now=0)
    assert quarantine.resting == {"a"}


def test_a_slave_that_answers_its_probe_is_free():
    quarantine = with_silent("a")
    quarantine.answered("a", spent_s=0.1, now=5)
    assert quarantine.again_s("a", now=5) == 0


def probe_moments(quarantine: Quarantine, names: list[str], cost_s: float, seconds: int):
    """Ask whom one may as soon as one may, for so long; when each was asked."""
    moments: dict[str, list[float]] = {name: [] for name in names}
    now = 0.0
    while now < seconds:
        now += 0.1
        for name in names:
            if quarantine.again_s(name, now=now) <= 0:
                moments[name].append(now)
                quarantine.silent(name, spent_s=cost_s, now=now + cost_s)
                now += cost_s
    return moments


def test_probes_come_ever_more_seldom_but_never_cease():
    moments = probe_moments(with_silent("a"), ["a"], 0.01, 300)["a"]
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert pauses[0] < pauses[5] < pauses[15]
    assert max(pauses) < REST_MAX_S + 0.5


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 24), st.floats(0.05, 2))
def test_however_many_are_silent_they_cost_a_small_share(count, cost_s):
    names = [f"slave {number}" for number in range(count)]
    moments = probe_moments(with_silent(*names), names, cost_s, 600)
    probes = sum(len(each) for each in moments.values())
    assert probes * cost_s <= PROBE_SHARE * 602 + SAVED_MAX_S + cost_s


def test_each_of_twenty_has_its_turn():
    names = [f"slave {number}" for number in range(20)]
    moments = probe_moments(with_silent(*names), names, 0.5, 3600)
    counts = [len(each) for each in moments.values()]
    assert min(counts) >= max(counts) - 1 > 0


def test_a_recharge_asks_at_once_but_not_for_ever():
    quarantine = with_silent("a")
    now = asked = 0.0
    while quarantine.again_s("a", now=now, urgent=True) == 0 and asked < 50:
        asked += 1
        quarantine.silent("a", spent_s=0.5, now=now)
    assert 2 <= asked <= (URGENT_CREDIT_S + SAVED_MAX_S) / 0.5 + 1


def test_where_several_are_silent_a_stranger_rests_after_its_first_silence():
    quarantine = Quarantine()
    for name in ("a", "b", "c"):
        quarantine.silent(name, spent_s=0.25, now=0.0, stranger=True)
    quarantine.silent("d", spent_s=0.25, now=1.0)
    assert quarantine.resting == {"c"}, "d has answered before, a and b may be chance"
