"""Few reads, and what a meter that refuses some of them teaches."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.modbus.block_reads import BlockReads, Words
from adapters.modbus.exceptions import RegistersRefused
from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from adapters.modbus.unit import Memory, Unit
from adapters.simulators.modbus_server import SimulatedLine
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.sdm_registers import EnergyMeter
from adapters.simulators.sheet_registers import Entry, Sheet, SheetRegisters
from headend.errors import NoAnswer
from headend.readings import ReadingType
from protocols.modbus.blocks import Limits, Pace, Span
from protocols.modbus.registers import Encoding, NumberFormat

START = datetime(2026, 3, 1, tzinfo=UTC)
KINDS = list(ReadingType)
ALLOWED = {table: Limits(max_read=60) for table in Table}


class StillClock:
    def now(self) -> datetime:
        return START


class CountedUnit(ModbusUnit):
    """Knows what it was asked."""

    def __init__(self, registers: SheetRegisters, meter: EnergyMeter) -> None:
        super().__init__(registers, meter, meter.faults)
        self.asked: list[Span] = []

    def answer(self, pdu: bytes, now: datetime) -> bytes | None:
        self.asked.append(Span(int.from_bytes(pdu[1:3]), int.from_bytes(pdu[3:5])))
        return super().answer(pdu, now)


class Reads:
    """One address of a line, as conversation after conversation reads it."""

    def __init__(self, wire: ModbusLine) -> None:
        self._wire = wire
        self._memory = Memory()

    async def read(self, table: Table, values: Collection[Span]) -> Words:
        unit = Unit(self._wire, 1, self._memory)
        return await BlockReads(unit, model="test", limits=ALLOWED).read(table, values)

    def meet(self) -> None:
        self._memory.lessons.meet()


def values_at(*starts: int) -> list[Span]:
    return [Span(start, 1) for start in starts]


def a_sheet(values: Collection[Span], *, refused: Collection[int] = (), most: int = 60) -> Sheet:
    number = NumberFormat(encoding=Encoding.U16)
    return Sheet(
        model="test",
        entries={
            kind: Entry(function=3, span=span, format=number, factor=Decimal(1))
            for kind, span in zip(KINDS, values, strict=False)
        },
        limits={3: Limits(max_read=most)},
        refused=frozenset(refused),
    )


@asynccontextmanager
async def served(sheet: Sheet) -> AsyncIterator[tuple[CountedUnit, Reads]]:
    meter = EnergyMeter(START)
    registers = SheetRegisters(meter, sheet)
    for number, kind in enumerate(sheet.entries):
        registers.set(kind, number + 1)
    unit = CountedUnit(registers, meter)
    async with SimulatedLine({1: unit}, clock=StillClock(), turnaround_s=0) as line:
        wire = ModbusLine(f"tcp://127.0.0.1:{await line.serve_tcp()}", framing="tcp", timeout_s=0.1)
        try:
            yield unit, Reads(wire)
        finally:
            await wire.aclose()


async def test_values_with_small_holes_come_with_one_read():
    values = values_at(0, 1, 4, 9)
    async with served(a_sheet(values)) as (unit, reads):
        assert await reads.read(Table.HOLDING, values) == {
            value: (number,) for number, value in enumerate(values, start=1)
        }
    assert unit.asked == [Span(0, 10)]


async def test_a_refused_hole_is_learned_once_and_loses_nothing():
    values = values_at(0, 1, 4, 5)
    async with served(a_sheet(values, refused=[2])) as (unit, reads):
        first = await reads.read(Table.HOLDING, values)
        assert len(first) == len(values)
        assert unit.asked == [Span(0, 6), Span(0, 2), Span(4, 2)]
        unit.asked.clear()
        assert await reads.read(Table.HOLDING, values) == first
    assert unit.asked == [Span(0, 2), Span(4, 2)]


async def test_a_read_that_is_too_long_for_the_meter_is_cut():
    values = values_at(*range(20))
    async with served(a_sheet(values, most=12)) as (unit, reads):
        assert len(await reads.read(Table.HOLDING, values)) == len(values)
        unit.asked.clear()
        await reads.read(Table.HOLDING, values)
    assert len(unit.asked) == 2


async def test_a_value_that_is_not_there_is_left_out_until_the_meter_is_met_anew():
    values = values_at(0, 1, 2, 3)
    async with served(a_sheet(values, refused=[2])) as (unit, reads):
        for _ in range(2):
            found = await reads.read(Table.HOLDING, values)
            assert found.keys() == {*values_at(0, 1, 3)}
        assert Span(2, 1) not in unit.asked[-2:]
        unit.asked.clear()
        reads.meet()
        await reads.read(Table.HOLDING, values)
    assert unit.asked.count(Span(2, 1)) == 1
    assert all(span == Span(2, 1) or not span.covers(Span(2, 1)) for span in unit.asked)


async def test_a_meter_that_has_none_of_the_values_says_so_every_time():
    values = values_at(0, 1, 2)
    async with served(a_sheet(values, refused=range(3))) as (_, reads):
        for _ in range(2):
            with pytest.raises(RegistersRefused):
                await reads.read(Table.HOLDING, values)


async def test_silence_is_no_refusal():
    values = values_at(0, 1)
    async with served(a_sheet(values)) as (unit, reads):
        unit.faults.silent = True
        with pytest.raises(NoAnswer):
            await reads.read(Table.HOLDING, values)
        unit.faults.silent = False
        assert len(await reads.read(Table.HOLDING, values)) == 2


async def test_reads_are_planned_by_the_delay_that_was_measured():
    meter = EnergyMeter(START)
    registers = SheetRegisters(meter, a_sheet(values_at(0)))
    unit = ModbusUnit(registers, meter, meter.faults)
    async with SimulatedLine({1: unit}, clock=StillClock(), turnaround_s=0.2) as line:
        wire = ModbusLine(f"tcp://127.0.0.1:{await line.serve_tcp()}", framing="tcp")
        asked = Unit(wire, 1, Memory())
        assert asked.pace == Pace.tcp()
        await asked.read(Table.HOLDING, Span(0, 1))
        assert asked.pace.read_s >= 0.2
        await wire.aclose()


async def test_nothing_wanted_asks_nothing():
    async with served(a_sheet(values_at(0))) as (unit, reads):
        assert await reads.read(Table.HOLDING, []) == {}
    assert unit.asked == []


SPANS = st.sets(st.integers(0, 40), min_size=2, max_size=12)


@settings(max_examples=25, deadline=None)
@given(SPANS, st.sets(st.integers(0, 41), max_size=5), st.integers(3, 41))
async def test_whatever_a_meter_refuses_every_value_it_has_comes(
    starts: set[int], refused: set[int], most: int
):
    values = values_at(*sorted(starts))
    there = {value for value in values if value.start not in refused}
    async with served(a_sheet(values, refused=refused, most=most)) as (unit, reads):
        if not there:
            return
        assert set(await reads.read(Table.HOLDING, values)) == there
        unit.asked.clear()
        assert set(await reads.read(Table.HOLDING, values)) == there
        assert len(unit.asked) <= len(there)
