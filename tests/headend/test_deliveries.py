"""The delivery table, walked whole, and the laws that no order of facts may break."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.commands import EnterToken
from headend.deliveries import (
    MANY_ATTEMPTS,
    NEXT,
    OPEN_STATES,
    Confirmation,
    Delivery,
    DeliveryMethod,
    DeliveryState,
    Fact,
    retry_at,
)
from headend.meters import BusName, Drn, TenantId
from headend.steps import Expire, HandOver, Send, Wait, plan

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BOTH = frozenset({DeliveryMethod.REMOTE, DeliveryMethod.MANUAL})

W, S, U = DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.UNCERTAIN
D, F = DeliveryState.DONE, DeliveryState.FAILED
N, C = DeliveryState.UNRESOLVED, DeliveryState.CANCELLED


def a_delivery(**changes: object) -> Delivery:
    delivery = Delivery(
        id="d1",
        tenant=TenantId("t"),
        drn=Drn("12345678903"),
        bus=BusName("line"),
        command=EnterToken(),
        recharge_id="r1",
        priority=0,
        rank=1,
        methods=BOTH,
        not_before=NOW,
        fallback_at=NOW + timedelta(seconds=60),
        deadline=NOW + timedelta(hours=24),
        created_at=NOW,
        changed_at=NOW,
    )
    return replace(delivery, **changes)  # type: ignore[arg-type]


# What becomes of a delivery whose digits were never out, and of one that may have been taken.
NEVER_OUT = {
    (W, Fact.LEASED): S,
    (S, Fact.ACCEPTED): D,
    (S, Fact.NO_ANSWER): U,
    (S, Fact.NOT_READY): U,
    (S, Fact.NOT_SENT): W,
    (S, Fact.LOCKED_OUT): W,
    (S, Fact.UNSUPPORTED): W,
    (S, Fact.MISCONFIGURED): W,
    (S, Fact.USED): N,
    (S, Fact.USED_BY_ANOTHER): N,
    (S, Fact.REFUSED): F,
    (S, Fact.UNWANTED): C,
    (S, Fact.HELD): W,
    (S, Fact.KEY_MISMATCH): F,
    (N, Fact.ASK_AGAIN): U,
    (W, Fact.WITHDRAWN): F,
    (U, Fact.WITHDRAWN): F,
    (N, Fact.WITHDRAWN): N,
    (S, Fact.NOT_AS_ORDERED): F,
    (U, Fact.NOT_AS_ORDERED): F,
    (N, Fact.NOT_AS_ORDERED): N,
    (W, Fact.EXPIRED): F,
    (W, Fact.CANCELLED): C,
    # by an answer that came after its row had been set back by hand: still the meter's word
    (U, Fact.LEASED): S,
    (U, Fact.USED): N,
    (U, Fact.USED_BY_ANOTHER): N,
    (U, Fact.REFUSED): F,
    (U, Fact.EXPIRED): F,
}
MAYBE_TAKEN = {
    **NEVER_OUT,
    (S, Fact.NOT_SENT): U,
    (S, Fact.LOCKED_OUT): U,
    (S, Fact.UNSUPPORTED): U,
    (S, Fact.MISCONFIGURED): U,
    (S, Fact.USED): D,
    (S, Fact.REFUSED): N,
    (S, Fact.UNWANTED): U,
    (S, Fact.HELD): U,
    (S, Fact.KEY_MISMATCH): N,
    (W, Fact.EXPIRED): N,
    (W, Fact.WITHDRAWN): N,
    (U, Fact.WITHDRAWN): N,
    (S, Fact.NOT_AS_ORDERED): N,
    (U, Fact.NOT_AS_ORDERED): N,
    (W, Fact.CANCELLED): W,
    (U, Fact.USED): D,
    (U, Fact.REFUSED): N,
    (U, Fact.EXPIRED): N,
}
Cell = tuple[DeliveryState, Fact]
CELLS: list[Cell] = list(product(DeliveryState, Fact))


def expected(table: dict[tuple[DeliveryState, Fact], DeliveryState], cell: Cell) -> DeliveryState:
    state, fact = cell
    if fact is Fact.SEEN:
        return D
    return table.get((state, fact), state)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell[0]}-{cell[1]}")
def test_each_cell_of_the_table_while_the_digits_were_never_out(cell):
    state, fact = cell
    after = a_delivery(state=state).after(fact, now=NOW)
    assert after.state is expected(NEVER_OUT, cell)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell[0]}-{cell[1]}")
def test_each_cell_of_the_table_after_a_lost_answer(cell):
    state, fact = cell
    after = a_delivery(state=state, maybe_taken=True).after(fact, now=NOW)
    assert after.state is expected(MAYBE_TAKEN, cell)


def test_the_table_names_no_cell_that_these_tests_leave_out():
    assert set(NEXT) <= set(NEVER_OUT)


def walk(facts, **changes):
    delivery = a_delivery(**changes)
    yield delivery
    for fact in facts:
        delivery = delivery.after(fact, now=NOW)
        yield delivery


FACTS = st.lists(st.sampled_from(Fact), max_size=40)


@given(FACTS)
def test_what_is_done_stays_done(facts):
    done = False
    for delivery in walk(facts):
        done = done or delivery.state is D
        assert not done or delivery.state is D


@given(FACTS)
def test_failed_and_cancelled_only_if_the_digits_were_never_out_before(facts):
    was = a_delivery()
    for delivery in walk(facts):
        if delivery.state in (F, C) and was.state is not delivery.state:
            assert not was.out
        was = delivery


@given(FACTS)
def test_after_a_lost_answer_it_never_waits_as_if_nothing_had_been_sent(facts):
    doubted = False
    for delivery in walk(facts):
        doubted = doubted or delivery.maybe_taken
        assert delivery.maybe_taken is doubted
        assert not doubted or delivery.state is not W


@given(FACTS, st.integers(1, 4))
def test_a_set_is_done_only_when_every_token_is_in(facts, size):
    for delivery in walk(facts, size=size):
        assert delivery.entered <= delivery.size
        assert (delivery.state is D) == (delivery.entered == size)


@given(FACTS)
def test_a_late_truth_is_always_taken_in(facts):
    *_, last = walk(facts)
    seen = last.after(Fact.SEEN, now=NOW, by=Confirmation.TOKEN_LOG)
    assert seen.state is D
    assert seen.confirmed_by is not None


@given(FACTS)
def test_a_lease_lasts_only_while_sending(facts):
    for delivery in walk(facts, lease_id="x", lease_until=NOW, state=S):
        assert delivery.state is S or delivery.lease_id is None or delivery.entered < delivery.size


def test_a_lock_out_costs_no_attempt_and_waits_as_told():
    sending = a_delivery().after(Fact.LEASED, now=NOW)
    until = NOW + timedelta(seconds=80)
    after = sending.after(Fact.LOCKED_OUT, now=NOW, until=until)
    assert (after.attempts, after.lockouts, after.not_before) == (0, 1, until)


def test_a_route_that_is_misconfigured_closes_but_the_keypad_still_works():
    sending = a_delivery().after(Fact.LEASED, now=NOW)
    after = sending.after(Fact.MISCONFIGURED, now=NOW)
    assert plan(after, now=NOW) == HandOver(DeliveryMethod.MANUAL)


def test_used_after_a_hand_over_is_done_and_says_how_it_is_known():
    handed = a_delivery().after(Fact.HANDED, now=NOW).after(Fact.LEASED, now=NOW)
    after = handed.after(Fact.USED, now=NOW)
    assert (after.state, after.confirmed_by) == (D, Confirmation.USED)


def test_a_set_goes_on_sending_until_its_last_token():
    sending = a_delivery(size=2).after(Fact.LEASED, now=NOW)
    first = sending.after(Fact.ACCEPTED, now=NOW)
    assert (first.state, first.entered) == (S, 1)
    assert first.after(Fact.ACCEPTED, now=NOW).state is D


def test_it_is_sent_at_once():
    assert plan(a_delivery(), now=NOW) == Send()


def test_at_fallback_the_digits_go_to_the_person_whatever_the_retry_says():
    later = NOW + timedelta(seconds=60)
    waiting = a_delivery(not_before=later + timedelta(hours=1))
    assert plan(waiting, now=later) == HandOver(DeliveryMethod.MANUAL)


def test_without_a_remote_way_the_hand_over_does_not_wait_for_fallback():
    by_hand = a_delivery(methods=frozenset({DeliveryMethod.MANUAL}))
    assert plan(by_hand, now=NOW) == HandOver(DeliveryMethod.MANUAL)
    assert plan(a_delivery(bus=None), now=NOW) == HandOver(DeliveryMethod.MANUAL)


def test_after_the_hand_over_remote_goes_on():
    handed = a_delivery().after(Fact.HANDED, now=NOW)
    assert plan(handed, now=NOW + timedelta(hours=1)) == Send()


def test_a_hand_over_that_failed_is_tried_again_later():
    failed = a_delivery(bus=None).hand_over_failed(now=NOW, spread=0.5)
    step = plan(failed, now=NOW)
    assert isinstance(step, Wait)
    assert NOW < step.until < NOW + timedelta(seconds=10)
    assert plan(failed, now=step.until) == HandOver(DeliveryMethod.MANUAL)


def test_past_the_deadline_it_expires():
    assert plan(a_delivery(), now=NOW + timedelta(hours=24)) == Expire()


def test_after_many_attempts_remote_goes_on_and_crowds_nothing():
    tried = a_delivery(attempts=MANY_ATTEMPTS, state=DeliveryState.SENDING)
    again = tried.after(Fact.NOT_SENT, now=NOW, spread=0.0)
    assert again.by_remote
    assert again.not_before - NOW > timedelta(minutes=5)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_retry_lies_ahead_and_within_its_bound(attempts, spread):
    at = retry_at(attempts, now=NOW, spread=spread, longest_s=30.0)
    assert NOW + timedelta(seconds=1) <= at <= NOW + timedelta(seconds=30)


@given(FACTS)
def test_whatever_happens_the_plan_says_something_that_lies_within_the_deadline(facts):
    *_, last = walk(facts)
    if last.state not in OPEN_STATES:
        return
    step = plan(last, now=NOW)
    assert not isinstance(step, Wait) or NOW <= step.until <= last.deadline
