"""A clock from payment to light: each threshold once, whatever is known, however late we look."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.compensations import cause_of, record_of
from headend.deliveries import DeliveryState, Fact
from headend.recharges import RechargeState
from headend.restoration import Ending, Sight, Threshold, new_clock, strike
from headend.supply import DarkCause
from headend.supply_groups import Restoration, Reveal
from tests.builders import NOW, a_delivery, a_recharge, a_supply_group

MINUTE = timedelta(minutes=1)
GROUP = a_supply_group(restoration=Restoration(tell_after_s=900, limit_after_s=7200))
ISSUED = a_recharge(id="r1", state=RechargeState.ISSUED, issued_at=NOW)
CLOCK = replace(new_clock(ISSUED, GROUP, paid_at=NOW), sight=Sight.SUPPLY)
DELIVERY = a_delivery(recharge_id="r1")


def at(minutes):
    return NOW + minutes * MINUTE


def lit(minutes):
    return replace(ISSUED, state=RechargeState.LIT, supply_at=at(minutes))


def test_each_threshold_passes_once_and_in_its_time():
    early = strike(CLOCK, ISSUED, DELIVERY, now=at(14))
    assert (early.passed, early.clock.due_at) == ((), at(15))
    told = strike(early.clock, ISSUED, DELIVERY, now=at(15))
    assert (told.passed, told.clock.due_at) == ((Threshold.TELL,), at(120))
    again = strike(told.clock, ISSUED, DELIVERY, now=at(16))
    assert again.passed == ()
    over = strike(again.clock, ISSUED, DELIVERY, now=at(120))
    assert over.passed == (Threshold.LIMIT,)
    assert strike(over.clock, ISSUED, DELIVERY, now=at(121)).passed == ()


@given(st.lists(st.integers(0, 400), min_size=1, max_size=40), st.integers(1, 400))
def test_however_often_one_looks_each_threshold_passes_at_most_once(looks, lit_after):
    clock = CLOCK
    passed: list[Threshold] = []
    for minute in sorted(looks):
        recharge = lit(lit_after) if minute >= lit_after else ISSUED
        if clock.due_at is None:
            continue
        found = strike(clock, recharge, DELIVERY, now=at(minute))
        clock = found.clock
        passed += found.passed
    assert len(passed) == len(set(passed))
    assert (Threshold.LIMIT in passed) == (
        (max(looks) >= 120 and lit_after > max(looks))
        or (clock.ended_at is not None and lit_after >= 120)
        or any(120 <= look < lit_after for look in looks)
    )


def test_who_looks_too_late_tells_nobody_of_a_lit_home_but_records_the_broken_limit():
    found = strike(CLOCK, lit(125), DELIVERY, now=at(300))
    assert found.passed == (Threshold.LIMIT,)
    assert found.clock.due_at is None
    record = record_of(found.clock, lit(125), DELIVERY, usage_point=None, now=at(300))
    assert (record.ended_at, record.minutes_over(at(999))) == (at(125), 5)


def test_who_looks_after_a_timely_light_records_nothing():
    found = strike(CLOCK, lit(3), DELIVERY, now=at(15))
    assert (found.passed, found.clock.ended_by, found.clock.due_at) == ((), Ending.LIT, None)


def test_a_dark_home_is_over_by_begun_minutes_and_goes_on():
    found = strike(CLOCK, ISSUED, DELIVERY, now=at(120))
    record = record_of(found.clock, ISSUED, DELIVERY, usage_point=None, now=at(120))
    assert record.ended_at is None
    assert record.minutes_over(at(130) + timedelta(seconds=1)) == 11


@pytest.mark.parametrize(
    ("sight", "recharge", "delivery", "ending"),
    [
        (Sight.SUPPLY, {"state": RechargeState.AWAITING_BUTTON}, {}, Ending.BUTTON),
        (Sight.SUPPLY, {"state": RechargeState.CREDITED}, {}, None),
        (Sight.SUPPLY, {"state": RechargeState.DARK}, {}, None),
        (Sight.CREDIT, {"state": RechargeState.CREDITED}, {"confirmed_at": NOW}, Ending.CREDITED),
        (Sight.SUPPLY, {"state": RechargeState.REVERSED}, {}, Ending.UNDONE),
        (Sight.SUPPLY, {"state": RechargeState.FAILED}, {}, None),
        (Sight.SUPPLY, {"state": RechargeState.UNRESOLVED}, {}, None),
        (Sight.NOTHING, {}, {"handed_at": NOW}, Ending.HANDED_OVER),
        (Sight.NOTHING, {}, {"revealed": True}, None),
        (Sight.NOTHING, {"reveal": Reveal.AT_ONCE}, {"revealed": True}, Ending.HANDED_OVER),
        (Sight.SUPPLY, {}, {"handed_at": NOW}, None),
        (None, {"state": RechargeState.OPEN}, None, None),
    ],
)
def test_what_counts_as_light_depends_on_what_can_be_seen(sight, recharge, delivery, ending):
    clock = replace(CLOCK, sight=sight)
    of = None if delivery is None else replace(DELIVERY, **delivery)
    found = clock.ending(replace(ISSUED, **recharge), of)
    assert (found and found[0]) == ending


@pytest.mark.parametrize(
    ("recharge", "delivery", "cause"),
    [
        ({"state": RechargeState.OPEN}, None, "token_not_made"),
        ({}, {"attempts": 0}, "not_tried"),
        ({}, {"attempts": 7}, "no_answer"),
        ({"state": RechargeState.CREDITED}, {"state": DeliveryState.DONE}, "supply_not_seen"),
        (
            {"state": RechargeState.DARK, "dark_cause": DarkCause.TAMPER_LOCK},
            {"state": DeliveryState.DONE},
            "tamper_lock",
        ),
        (
            {"state": RechargeState.FAILED},
            {"state": DeliveryState.FAILED, "stopped_by": Fact.REFUSED},
            "refused",
        ),
    ],
)
def test_the_cause_is_what_the_records_tell(recharge, delivery, cause):
    of = None if delivery is None else replace(DELIVERY, **delivery)
    assert cause_of(replace(ISSUED, **recharge), of) == cause
