"""When a meter is due again: soon while something waits to be seen, then ever less often."""

from datetime import UTC, datetime, timedelta

from headend.meters import BusName, Drn, TenantId
from headend.polling import SUPPLY_LOOK_FIRST_S, SUPPLY_LOOK_FOR, SUPPLY_LOOK_MAX_S, Poll, due_again

T0 = datetime(2026, 11, 27, 12, tzinfo=UTC)
POLL = Poll(
    tenant=TenantId("t"), drn=Drn("01234567897"), bus=BusName("b"), due_at=T0, interval_s=900
)


def waits(*, answered: bool = True) -> list[float]:
    """The waits between the looks of two days after a credit that stays dark."""
    found, now, poll = [], T0, POLL
    while now - T0 < timedelta(days=2):
        poll = due_again(poll, now=now, answered=answered, looking_since=T0)
        found.append((poll.due_at - now).total_seconds())
        now = poll.due_at
    return found


def test_looks_are_soon_then_ever_less_often_and_bounded():
    found = waits()
    assert found[0] == SUPPLY_LOOK_FIRST_S
    assert found == sorted(found)
    assert max(found[:300]) <= SUPPLY_LOOK_MAX_S
    assert found[-1] == POLL.interval_s
    in_a_day = sum(1 for each in found if each < POLL.interval_s)
    assert in_a_day < 20 + SUPPLY_LOOK_FOR.total_seconds() / SUPPLY_LOOK_MAX_S


def test_a_silent_meter_is_asked_less_often_than_one_that_answers():
    assert len(waits(answered=False)) < len(waits())


def test_nothing_to_see_is_the_usual_interval():
    again = due_again(POLL, now=T0, answered=True, looking_since=None)
    assert again.due_at == T0 + timedelta(seconds=900)


def test_a_lost_reading_is_asked_for_again_soon_and_a_silent_meter_at_its_interval():
    poll, found = POLL, []
    for _ in range(12):
        poll = due_again(poll, now=T0, answered=False, looking_since=None)
        found.append((poll.due_at - T0).total_seconds())
    assert found[:3] == [2, 4, 8]
    assert found == sorted(found)
    assert found[-1] == POLL.interval_s


def test_a_meter_that_its_line_lets_rest_is_no_miss():
    again = due_again(POLL, now=T0, answered=False, looking_since=None, rest_s=7.5)
    assert (again.misses, again.due_at) == (0, T0 + timedelta(seconds=7.5))
