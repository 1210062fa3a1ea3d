"""Many values, few reads."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.modbus.blocks import USUAL, Limits, Pace, Span, plan_reads, split_read

SPANS = st.builds(Span, st.integers(0, 300), st.sampled_from((1, 2, 4)))
VALUES = st.lists(SPANS, max_size=30)
PACES = st.builds(Pace, st.floats(0.001, 1), st.floats(0, 0.01))
LIMITS = st.builds(
    Limits,
    max_read=st.integers(4, 125),
    max_hole=st.none() | st.integers(0, 40),
    barriers=st.frozensets(st.integers(0, 300), max_size=5),
)
FREE = Limits(max_read=60)
# A read costs as much as ten registers.
TEN = Pace(read_s=10.0, register_s=1.0)


def test_a_hole_is_read_over_while_it_is_cheaper_than_another_request():
    assert plan_reads((Span(0, 2), Span(11, 2)), FREE, TEN) == (Span(0, 13),)
    assert plan_reads((Span(0, 2), Span(13, 2)), FREE, TEN) == (Span(0, 2), Span(13, 2))


@pytest.mark.parametrize(
    ("baud", "delay_s", "registers"),
    # Published figures for 13 + 2N characters of 11 bits, less one where they only equal.
    [(2400, 0, 10), (2400, 0.1, 19), (9600, 0, 10), (9600, 0.05, 30), (19200, 0.05, 51)],
)
def test_what_pays_depends_on_the_wire_and_the_meter(baud: int, delay_s: float, registers: int):
    pace = Pace.serial(baud, delay_s=delay_s)
    limits = Limits(max_read=125)
    assert len(plan_reads((Span(0, 2), Span(2 + registers - 1, 2)), limits, pace)) == 1
    assert len(plan_reads((Span(0, 2), Span(2 + registers + 1, 2)), limits, pace)) == 2


def test_what_a_serial_read_costs_is_what_the_wire_takes():
    # 9600 baud, 10 registers, no delay: 45.8 ms.
    assert Pace.serial(9600, delay_s=0).cost_s((Span(0, 10),)) == pytest.approx(0.0458, abs=1e-4)
    assert Pace.tcp(delay_s=0.02).cost_s((Span(0, 1), Span(9, 1))) > 0.04


def test_holes_can_be_forbidden():
    limits = Limits(max_read=60, max_hole=2)
    values = (Span(0, 2), Span(2, 2), Span(6, 2), Span(11, 1))
    assert plan_reads(values, limits) == (Span(0, 8), Span(11, 1))


def test_a_read_is_never_longer_than_the_meter_allows():
    values = [Span(address, 2) for address in range(0, 20, 2)]
    reads = plan_reads(values, Limits(max_read=8))
    assert len(reads) == 3
    assert all(read.count <= 8 for read in reads)


def test_no_read_goes_across_a_barrier():
    values = (Span(0, 2), Span(2, 2), Span(4, 2))
    limits = Limits(max_read=60, barriers=frozenset({2}))
    assert plan_reads(values, limits) == (Span(0, 2), Span(2, 4))


def test_a_value_that_cannot_be_read_whole_is_refused():
    with pytest.raises(ValueError, match="at once"):
        plan_reads((Span(0, 4),), Limits(max_read=3))
    with pytest.raises(ValueError, match="barrier"):
        plan_reads((Span(0, 4),), Limits(max_read=60, barriers=frozenset({2})))


def test_nothing_wanted_is_nothing_read():
    assert plan_reads((), FREE) == ()


def fetched(values: list[Span], limits: Limits) -> list[Span]:
    return [value for value in values if limits.allow(value)]


@given(VALUES, LIMITS, PACES)
def test_every_value_lies_whole_in_a_read_that_keeps_the_rules(
    values: list[Span], limits: Limits, pace: Pace
):
    values = fetched(values, limits)
    reads = plan_reads(values, limits, pace)
    assert all(any(read.covers(value) for read in reads) for value in values)
    assert all(read.count <= limits.max_read for read in reads)
    assert not any(read.start < b < read.end for read in reads for b in limits.barriers)
    wanted = {address for v in values for address in range(v.start, v.end)}
    for read in reads:
        assert {read.start, read.end - 1} <= wanted


@given(VALUES, LIMITS)
def test_no_hole_is_wider_than_allowed(values: list[Span], limits: Limits):
    values = fetched(values, limits)
    for read in plan_reads(values, limits, TEN):
        inside = [value for value in values if read.covers(value)]
        held = {address for v in inside for address in range(v.start, v.end)}
        gap = 0
        for address in range(read.start, read.end):
            gap = 0 if address in held else gap + 1
            assert limits.max_hole is None or gap <= limits.max_hole


@given(VALUES, LIMITS, PACES)
def test_a_plan_never_costs_more_than_one_read_a_value(
    values: list[Span], limits: Limits, pace: Pace
):
    values = fetched(values, limits)
    apart = pace.cost_s(set(values))
    assert pace.cost_s(plan_reads(values, limits, pace)) <= apart + 1e-9


@given(st.lists(st.builds(Span, st.integers(0, 60), st.just(2)), max_size=7), LIMITS, PACES)
def test_no_other_way_to_cut_is_cheaper(values: list[Span], limits: Limits, pace: Pace):
    values = sorted(set(fetched(values, limits)))
    best = pace.cost_s(plan_reads(values, limits, pace))
    for count in range(len(values)):
        for cuts in combinations(range(1, len(values)), count):
            edges = (0, *cuts, len(values))
            groups = [values[a:b] for a, b in pairwise(edges)]
            reads = [Span(g[0].start, max(v.end for v in g) - g[0].start) for g in groups]
            if limits.max_hole is None and all(limits.allow(read) for read in reads):
                assert best <= pace.cost_s(reads) + 1e-9


def test_a_refused_read_is_cut_at_its_widest_hole():
    values = (Span(0, 2), Span(2, 2), Span(9, 1), Span(10, 1))
    assert split_read(values) == ((Span(0, 2), Span(2, 2)), (Span(9, 1), Span(10, 1)))


def test_without_holes_it_is_cut_in_the_middle():
    values = [Span(address, 2) for address in range(0, 16, 2)]
    assert [len(part) for part in split_read(values)] == [4, 4]


@given(st.lists(SPANS, min_size=2, max_size=20, unique=True))
def test_cutting_loses_no_value(values: list[Span]):
    first, second = split_read(values)
    assert first
    assert second
    assert sorted((*first, *second)) == sorted(values)


def test_a_value_is_cut_out_of_its_read():
    assert Span(10, 6).words(Span(12, 2), (0, 1, 2, 3, 4, 5)) == (2, 3)


def test_the_usual_wire_is_a_slow_one():
    assert Pace.serial(9600) == USUAL
