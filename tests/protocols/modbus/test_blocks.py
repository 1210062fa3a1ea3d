"""Many values, few reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.modbus.blocks import Span, plan_reads

VALUES = st.lists(st.builds(Span, st.integers(0, 300), st.sampled_from((1, 2, 4))), max_size=40)


def test_neighbours_are_read_together_and_holes_up_to_the_limit_with_them():
    values = (Span(0, 2), Span(2, 2), Span(6, 2), Span(11, 1))
    assert plan_reads(values, max_read=60, max_hole=2) == (Span(0, 8), Span(11, 1))


def test_a_read_is_never_longer_than_the_meter_allows():
    values = [Span(address, 2) for address in range(0, 20, 2)]
    assert plan_reads(values, max_read=8) == (Span(0, 8), Span(8, 8), Span(16, 4))


def test_no_read_goes_across_a_barrier():
    values = (Span(0, 2), Span(2, 2), Span(4, 2))
    assert plan_reads(values, max_read=60, barriers={2}) == (Span(0, 2), Span(2, 4))


def test_a_value_that_cannot_be_read_whole_is_refused():
    with pytest.raises(ValueError, match="at once"):
        plan_reads((Span(0, 4),), max_read=3)
    with pytest.raises(ValueError, match="barrier"):
        plan_reads((Span(0, 4),), max_read=60, barriers=(2,))


def test_nothing_wanted_is_nothing_read():
    assert plan_reads((), max_read=60) == ()


@given(
    VALUES,
    st.integers(4, 125),
    st.integers(0, 40),
    st.sets(st.integers(0, 300), max_size=5),
)
def test_every_value_lies_whole_in_a_read_that_keeps_the_rules(
    values: list[Span], max_read: int, max_hole: int, barriers: set[int]
):
    values = [v for v in values if not any(v.start < b < v.end for b in barriers)]
    reads = plan_reads(values, max_read=max_read, max_hole=max_hole, barriers=barriers)
    assert all(any(read.covers(value) for read in reads) for value in values)
    assert all(read.count <= max_read for read in reads)
    assert not any(read.start < b < read.end for read in reads for b in barriers)
    wanted = {address for v in values for address in range(v.start, v.end)}
    for read in reads:
        assert {read.start, read.end - 1} <= wanted
        gap = 0
        for address in range(read.start, read.end):
            gap = 0 if address in wanted else gap + 1
            assert gap <= max_hole


def test_a_value_is_cut_out_of_its_read():
    assert Span(10, 6).words(Span(12, 2), (0, 1, 2, 3, 4, 5)) == (2, 3)
