"""The agenda: the more urgent first, and nobody starves."""

from hypothesis import given
from hypothesis import strategies as st

from headend.agenda import TURNS_IN_A_ROW, Agenda, Urgency

EVERYBODY = list(Urgency)
SOME = st.sampled_from(
    [{one for one in Urgency if bits & 1 << one} for bits in range(1, 1 << len(Urgency))]
)


def test_the_more_urgent_goes_first():
    assert Agenda().choose(EVERYBODY) is Urgency.TOKEN
    assert Agenda().choose([Urgency.HISTORY, Urgency.READING]) is Urgency.READING


def test_a_recharge_goes_before_readings_however_long_they_have_waited():
    agenda = Agenda()
    for _ in range(100):
        agenda = agenda.took(Urgency.READING, [Urgency.READING])
    assert agenda.choose([Urgency.READING, Urgency.TOKEN]) is Urgency.TOKEN


@given(st.lists(SOME, min_size=20, max_size=60))
def test_whoever_waits_has_a_turn_after_a_bounded_number_of_others(waiting):
    agenda, waited = Agenda(), dict.fromkeys(Urgency, 0)
    queue: set[Urgency] = set()
    for newly in waiting:
        queue |= newly
        turn = agenda.choose(queue)
        queue.discard(turn)
        agenda = agenda.took(turn, queue)
        waited = {one: waited[one] + 1 if one in queue else 0 for one in Urgency}
        assert max(waited.values()) <= (TURNS_IN_A_ROW + 1) * len(Urgency)


@given(st.lists(SOME, max_size=60))
def test_a_token_that_comes_goes_next_unless_eight_others_went_just_before(turns):
    agenda, tokens = Agenda(), 0
    for others in turns:
        queue = others | {Urgency.TOKEN}
        turn = agenda.choose(queue)
        assert turn is Urgency.TOKEN or tokens >= TURNS_IN_A_ROW
        tokens = tokens + 1 if turn is Urgency.TOKEN else 0
        agenda = agenda.took(turn, queue - {turn})


def test_a_flood_of_tokens_lets_everybody_in():
    agenda, turns = Agenda(), []
    for _ in range((TURNS_IN_A_ROW + 1) * len(Urgency)):
        turns.append(agenda.choose(EVERYBODY))
        agenda = agenda.took(turns[-1], EVERYBODY)
    assert set(turns) == set(EVERYBODY)


def test_jobs_go_behind_tills_and_supply_and_before_readings():
    assert Urgency.SUPPLY < Urgency.BULK < Urgency.READING


@given(SOME, st.lists(st.sampled_from(Urgency), max_size=20))
def test_who_is_chosen_did_wait(waiting, turns):
    agenda = Agenda()
    for turn in turns:
        agenda = agenda.took(turn, waiting)
    assert agenda.choose(waiting) in waiting
