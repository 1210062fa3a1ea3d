"""The agenda: commands first, and polls never starve."""

from hypothesis import given
from hypothesis import strategies as st

from headend.agenda import COMMANDS_IN_A_ROW, Agenda, Turn


def test_commands_go_first():
    assert Agenda().choose() is Turn.COMMAND


@given(st.lists(st.integers(1, 3), min_size=20, max_size=50))
def test_on_a_busy_line_a_poll_has_its_turn_after_a_bounded_number_of_commands(batches):
    agenda, waited = Agenda(), 0
    for batch in batches:
        turn = agenda.choose()
        if turn is Turn.POLL:
            waited = 0
            agenda = agenda.took(Turn.POLL, 1)
        else:
            waited += batch
            agenda = agenda.took(Turn.COMMAND, batch)
        assert waited < COMMANDS_IN_A_ROW + 3
