"""What a meter's own history says of its next answer: bounded, monotone in evidence, forgetting."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from headend.answering import CAP, ENOUGH, HALF_LIFE, PRIOR_CHANCE, WINDOW, AnswerHistory, answer_in
from headend.choosing import SILENT_LATELY, SILENT_WINDOWS, choose
from headend.deliveries import DeliveryMethod, Fact
from headend.restoration import Choice
from tests.builders import DRN, NOW, TENANT, a_delivery

EMPTY = AnswerHistory(tenant=TENANT, drn=DRN, changed_at=NOW)
MINUTES = st.integers(-120, 60 * 24 * 40)
evidence = st.lists(st.tuples(MINUTES, st.booleans()), max_size=60)


def learned(steps, history=EMPTY):
    """The history after windows that came so many minutes after one another (clocks may jump)."""
    now = NOW
    for minutes, answered in steps:
        now += timedelta(minutes=minutes)
        history = history.after(answered=answered, now=now)
    return history, now


def daily(answered, *, days, start=NOW, history=EMPTY):
    for day in range(days):
        history = history.after(answered=answered, now=start + timedelta(days=day))
    return history


@given(evidence, MINUTES)
def test_a_chance_is_a_chance_and_no_count_grows_without_bound(steps, later):
    history, now = learned(steps)
    assert 0.0 <= history.chance(now + timedelta(minutes=later)) <= 1.0
    for tried, answered in zip(history.tried, history.answered, strict=True):
        assert 0.0 <= answered <= tried + 1e-9
        assert tried <= CAP + 1e-9


@given(evidence)
def test_an_answer_never_lowers_the_chance_and_a_silence_never_raises_it(steps):
    history, now = learned(steps)
    before = history.chance(now)
    assert history.after(answered=True, now=now).chance(now) >= before - 1e-9
    assert history.after(answered=False, now=now).chance(now) <= before + 1e-9


@given(evidence)
def test_in_time_everything_is_forgotten(steps):
    history, now = learned(steps)
    long_after = max(now, history.changed_at) + 40 * HALF_LIFE
    assert abs(history.chance(long_after) - PRIOR_CHANCE) < 1e-3
    assert not history.enough(long_after)


@given(evidence, st.booleans())
def test_newer_evidence_wins_over_whatever_was_before(steps, answers):
    history, now = learned(steps)
    start = max(now, history.changed_at) + timedelta(days=1)
    history = daily(answers, days=60, start=start, history=history)
    chance = history.chance(start + timedelta(days=60))
    assert chance > 0.9 if answers else chance < 0.4


def test_the_hour_tells_more_than_the_day():
    """Dead every evening at eight, well at noon."""
    history = EMPTY
    for day in range(14):
        noon = NOW + timedelta(days=day)
        history = history.after(answered=True, now=noon)
        history = history.after(answered=False, now=noon + timedelta(hours=8))
    after = NOW + timedelta(days=14)
    assert history.chance(after) > 0.75
    assert history.chance(after + timedelta(hours=8)) < 0.3


def test_what_a_dead_meter_does_not_answer_within_minutes_is_one_silence():
    once = EMPTY.after(answered=False, now=NOW)
    again = once
    for second in range(0, int(WINDOW.total_seconds()), 30):
        again = again.after(answered=False, now=NOW + timedelta(seconds=second))
    assert again == once
    assert once.after(answered=False, now=NOW + WINDOW).silent_run == 2


def test_an_answer_ends_a_run_of_silences():
    history, now = learned([(0, False), (15, False), (15, False)])
    assert history.silent_run == 3
    after = history.after(answered=True, now=now)
    assert (after.silent_run, after.silent_at) == (0, None)


def test_facts_are_answers_silences_or_nothing():
    told = {fact: answer_in(fact) for fact in Fact}
    assert told[Fact.REFUSED] is True  # a refusal is an answer
    assert told[Fact.NO_ANSWER] is False
    assert told[Fact.NOT_SENT] is False
    assert told[Fact.HELD] is None
    assert told[Fact.MISCONFIGURED] is None


# --- choosing ---------------------------------------------------------------------------------

REMOTE, MANUAL = DeliveryMethod.REMOTE, DeliveryMethod.MANUAL
histories = st.one_of(st.none(), evidence.map(lambda steps: learned(steps)[0]))


@given(histories, st.integers(0, 100), st.sets(st.sampled_from([REMOTE, MANUAL])))
def test_a_choice_never_takes_remote_away(history, below, methods):
    delivery = a_delivery(methods=frozenset(methods))
    chosen = choose(delivery, history, below_percent=below, now=NOW)
    assert (chosen.choice is Choice.ONLY_BY_HAND) == (REMOTE not in methods)
    if chosen.at_once:
        assert methods == {REMOTE, MANUAL}
        assert below > 0


def test_a_meter_that_rarely_answers_gets_its_digits_at_once():
    history = daily(False, days=20)
    chosen = choose(a_delivery(), history, below_percent=30, now=NOW + timedelta(days=20))
    assert chosen.choice is Choice.RARELY_ANSWERS
    assert chosen.chance_percent is not None
    assert chosen.chance_percent < 30


def test_too_little_evidence_chooses_nothing():
    few = daily(False, days=2)
    assert sum(few.tried) < ENOUGH
    now = NOW + timedelta(days=2)
    assert choose(a_delivery(), few, below_percent=100, now=now).choice is Choice.USUAL
    assert choose(a_delivery(), None, below_percent=100, now=now).choice is Choice.USUAL


def test_a_meter_that_fell_silent_gets_its_digits_at_once_however_good_it_was():
    good = daily(True, days=20)
    now = NOW + timedelta(days=20)
    for _ in range(SILENT_WINDOWS):
        now += WINDOW
        good = good.after(answered=False, now=now)
    assert choose(a_delivery(), good, below_percent=30, now=now).choice is Choice.SILENT
    long_after = now + SILENT_LATELY
    assert choose(a_delivery(), good, below_percent=30, now=long_after).choice is Choice.USUAL


def test_zero_percent_means_never_at_once():
    history = replace(daily(False, days=20), silent_run=9)
    now = NOW + timedelta(days=19, minutes=1)
    assert choose(a_delivery(), history, below_percent=0, now=now).choice is Choice.USUAL
