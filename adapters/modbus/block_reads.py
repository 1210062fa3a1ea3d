"""BlockReads: the values of one model at one unit by few reads, and what that meter refused.

A meter that refuses a read of several values (exception 2 or 3) may only dislike the registers
between them, or the length. The read is cut and its parts are asked for; where parts succeed the
cut is remembered as a barrier, so that the refused read is not tried again. A value that is
refused alone is not there: it is left out until the meter is met anew.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from adapters.modbus.exceptions import RegistersRefused
from adapters.modbus.frames import Table
from adapters.modbus.lessons import Learned
from adapters.modbus.unit import Unit
from protocols.modbus.blocks import Limits, Span, split_read

Words = Mapping[Span, tuple[int, ...]]


class BlockReads:
    """Reads values of one unit by the limits of its model, and remembers what it refused."""

    def __init__(self, unit: Unit, *, model: str, limits: Mapping[Table, Limits]) -> None:
        self._unit = unit
        self._model = model
        self._limits = limits

    async def read(self, table: Table, values: Collection[Span]) -> Words:
        """The words of each value; those that the meter refuses are missing.

        Raises the errors of the wire, RegistersRefused when every value was refused.
        """
        learned = self._learned(table)
        found: dict[Span, tuple[int, ...]] = {}
        refused: RegistersRefused | None = None
        for block in learned.plan(values, self._limits[table], self._unit.pace):
            inside = [value for value in values if block.covers(value)]
            wanted = [v for v in inside if v not in found and v not in learned.absent]
            try:
                found |= await self._parts(table, wanted)
            except RegistersRefused as exc:
                refused = exc
        if values and not found:
            raise refused or RegistersRefused(f"the meter has none of {len(values)} {table} values")
        return found

    def refused(self, table: Table, value: Span) -> bool:
        """The meter has refused to read it alone."""
        return value in self._learned(table).absent

    async def _parts(self, table: Table, values: Sequence[Span]) -> Words:
        """Values by one read or, when that is refused, by the reads of its parts."""
        try:
            return dict(_cut_out(values, await self._unit.read(table, _block(values))))
        except RegistersRefused:
            if len(set(values)) == 1:
                self._learned(table).miss(values[0])
                raise
        found: dict[Span, tuple[int, ...]] = {}
        parts = split_read(values)
        refused: RegistersRefused | None = None
        for part in parts:
            try:
                found |= await self._parts(table, part)
            except RegistersRefused as exc:
                refused = exc
        if refused is not None and not found:
            raise refused
        self._learned(table).cut(parts[1][0].start)
        return found

    def _learned(self, table: Table) -> Learned:
        return self._unit.lessons.of(self._model, table)


def _block(values: Sequence[Span]) -> Span:
    start = min(value.start for value in values)
    return Span(start, max(value.end for value in values) - start)


def _cut_out(
    values: Sequence[Span], read: tuple[int, ...]
) -> Iterator[tuple[Span, tuple[int, ...]]]:
    block = _block(values)
    for value in values:
        yield value, tuple(block.words(value, read))
