"""How many questions a gateway may be asked at once: only as many as it has proved."""

from hypothesis import given
from hypothesis import strategies as st

from headend.pipelining import PROOF, Pipelining


def test_one_at_a_time_until_the_proof_is_whole():
    pipelining = Pipelining(most=4)
    for _ in range(PROOF - 1):
        pipelining.kept_apart()
    assert (pipelining.proved, pipelining.trying) == (1, 2)
    pipelining.kept_apart()
    assert (pipelining.proved, pipelining.trying) == (2, 3)


def test_doubt_takes_it_back_and_asks_for_a_longer_proof():
    pipelining = Pipelining(most=4)
    for _ in range(3 * PROOF):
        pipelining.kept_apart()
    assert pipelining.proved == 4
    pipelining.doubted()
    for _ in range(2 * PROOF - 1):
        pipelining.kept_apart()
    assert pipelining.proved == 1


@given(st.integers(1, 8), st.lists(st.booleans(), max_size=400))
def test_never_more_than_allowed_and_never_without_proof(most, course):
    pipelining, since_doubt = Pipelining(most=most), 0
    for kept in course:
        if kept:
            pipelining.kept_apart()
            since_doubt += 1
        else:
            pipelining.doubted()
            since_doubt = 0
        assert 1 <= pipelining.proved <= pipelining.trying <= most
        assert (pipelining.proved - 1) * PROOF <= since_doubt
