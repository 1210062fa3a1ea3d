"""How long a slave is waited for, by what it took before."""

from hypothesis import given
from hypothesis import strategies as st

from headend.delays import ENOUGH, FLOOR_S, PATIENCE, SAMPLES, Delays

SECONDS = st.floats(0, 5)
CEILING_S = 1.0


def after(delays_s: list[float]) -> Delays:
    delays = Delays()
    for delay_s in delays_s:
        delays.note(delay_s)
    return delays


@given(st.lists(SECONDS, max_size=ENOUGH - 1), st.integers(0, 20))
def test_an_unknown_slave_is_given_the_most(delays_s, misses):
    assert after(delays_s).timeout_s(misses, ceiling_s=CEILING_S) == CEILING_S


@given(st.lists(SECONDS, min_size=ENOUGH, max_size=300), st.integers(0, 20))
def test_it_is_never_given_less_than_the_floor_nor_more_than_the_ceiling(delays_s, misses):
    timeout_s = after(delays_s).timeout_s(misses, ceiling_s=CEILING_S)
    assert FLOOR_S <= timeout_s <= CEILING_S


@given(st.lists(st.floats(0, 0.3), min_size=ENOUGH, max_size=300))
def test_it_is_given_three_times_what_99_of_100_replies_needed(delays_s):
    timeout_s = after(delays_s).timeout_s(0, ceiling_s=10)
    lately = delays_s[-SAMPLES:]
    within = sum(1 for delay_s in lately if PATIENCE * delay_s <= timeout_s + 1e-9)
    assert within >= 0.99 * len(lately)


@given(st.lists(st.floats(0, 0.3), min_size=ENOUGH, max_size=50), st.integers(0, 10))
def test_each_silence_doubles_it(delays_s, misses):
    delays = after(delays_s)
    once, more = (delays.timeout_s(each, ceiling_s=1e9) for each in (misses, misses + 1))
    assert more == 2 * once


def test_what_was_slow_once_is_forgotten_in_time():
    delays = after([0.3] + [0.02] * SAMPLES)
    assert delays.p99_s == 0.02
    assert delays.slowest_s == 0.3
