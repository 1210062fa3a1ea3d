"""One cell of a profile file, one reading, one probe: where it is, and what is wrong with it.

The form of each table has been checked before.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from adapters.modbus.frames import Table
from adapters.modbus.profile import Range
from adapters.modbus.profile_faults import Fault
from adapters.modbus.profile_form import (
    TEXT,
    CellForm,
    LayerForm,
    LimitsForm,
    ProbeForm,
    ReadingForm,
)
from adapters.modbus.toml_places import Path as KeyPath
from headend.currencies import ISO_NUMBERS
from headend.readings import ReadingType
from protocols.modbus.blocks import Limits, Span
from protocols.modbus.registers import Encoding, number_range

_TYPES = tuple(ReadingType.__members__)
_DIGITS_MAX = 30


def layer_faults(form: LayerForm) -> Iterator[Fault]:
    """The registers of readings and factors, each by itself."""
    for name, factor in form.factors.items():
        yield from cell_faults(factor, ("factors", name))
    for name, reading in form.readings.items():
        path = ("readings", name)
        kind = ReadingType.__members__.get(name)
        if kind is None:
            yield Fault(path, f"{name!r} is no reading type; known are {', '.join(_TYPES)}")
            continue
        yield from cell_faults(reading, path)
        yield from _reading_faults(reading, kind, form, path)


def probes_of(
    probe: ProbeForm | list[ProbeForm], path: KeyPath
) -> Iterator[tuple[KeyPath, ProbeForm]]:
    """Each probe and where it stands, written as one table or as several."""
    if isinstance(probe, ProbeForm):
        yield path, probe
    else:
        yield from (((*path, number), each) for number, each in enumerate(probe))


def with_alternatives(
    probes: Iterable[tuple[KeyPath, ProbeForm]],
) -> Iterator[tuple[KeyPath, ProbeForm]]:
    """Each probe, and those behind its "or"."""
    for path, probe in probes:
        yield path, probe
        if probe.otherwise:
            yield from with_alternatives([((*path, "or"), probe.otherwise)])


def cell_of(form: CellForm | ProbeForm, count: int) -> tuple[Table, Span]:
    """Where the registers of a checked cell are."""
    start = form.holding if form.holding is not None else form.input
    assert start is not None
    return (Table.INPUT if form.holding is None else Table.HOLDING), Span(start, count)


def limits_of(form: LimitsForm) -> Mapping[Table, Limits]:
    """What each function may read at once."""
    barriers = frozenset(form.barriers)
    return {
        table: Limits(max_read=count, max_hole=form.max_hole, barriers=barriers)
        for table, count in ((Table.HOLDING, form.holding), (Table.INPUT, form.input))
    }


def addressed(form: CellForm | ProbeForm) -> bool:
    return (form.holding is None) != (form.input is None)


def cell_faults(form: CellForm, path: KeyPath) -> Iterator[Fault]:
    yield from _address_faults(form, form.decode.words, path)
    if form.words is not None and form.words != form.decode.words:
        yield Fault(
            (*path, "words"),
            f"{form.decode} takes {form.decode.words} registers, not {form.words}",
        )
    yield from _scale_faults(form, path)
    for number, invalid in enumerate(form.invalid):
        if invalid >> 16 * form.decode.words:
            yield Fault(
                (*path, "invalid", number),
                f"{invalid:#x} does not fit into {form.decode.words} registers",
            )


def _scale_faults(form: CellForm | ProbeForm, path: KeyPath) -> Iterator[Fault]:
    if not _usable(form.scale) or not form.scale:
        yield Fault((*path, "scale"), "a scale is a number other than 0")


def _usable(number: Decimal) -> bool:
    """A number that can be reckoned with: no NaN, nothing infinite, nothing beyond all meters."""
    return number.is_finite() and (not number or abs(number.adjusted()) <= _DIGITS_MAX)


def _address_faults(form: CellForm | ProbeForm, words: int, path: KeyPath) -> Iterator[Fault]:
    match form.holding, form.input:
        case (int(start), None) | (None, int(start)):
            if start + words > 0x10000:
                key = "input" if form.holding is None else "holding"
                yield Fault((*path, key), "the registers end after 0xFFFF")
        case _:
            yield Fault(path, 'give the address as either "holding" or "input"')


def _reading_faults(
    form: ReadingForm, kind: ReadingType, layer: LayerForm, path: KeyPath
) -> Iterator[Fault]:
    if form.unit is not None and form.unit not in kind.units:
        known = ", ".join(kind.units.keys() - ISO_NUMBERS.keys())
        yield Fault((*path, "unit"), f"{form.unit!r} is no unit of {kind.name}; known are {known}")
    for number, name in enumerate(form.times):
        if name not in layer.factors:
            yield Fault((*path, "times", number), f"no factor is called {name!r}")
    if form.plausible is not None:
        yield from _range_faults(form.plausible, (*path, "plausible"))
        numbers = (form.scale, *form.plausible)
        if not form.times and form.scale and all(map(_usable, numbers)):
            yield from _reach_faults(form, form.plausible, (*path, "plausible"))


def _range_faults(between: Range, path: KeyPath) -> Iterator[Fault]:
    low, high = between
    if not (_usable(low) and _usable(high)):
        yield Fault(path, "a range goes between two numbers")
    elif low > high:
        yield Fault(path, f"a range goes from low to high, not from {low} to {high}")


def _reach_faults(form: CellForm, between: Range, path: KeyPath) -> Iterator[Fault]:
    """A range that the registers cannot say, or of which they could not say the half below 0."""
    reach = number_range(form.decode)
    if reach is None:
        return
    lowest, highest = sorted(Decimal(end) * form.scale for end in reach)
    low, high = between
    if high < lowest or low > highest:
        yield Fault(path, f"{form.decode} cannot say any of it; it ends at {lowest} and {highest}")
    elif low < 0 <= lowest:
        yield Fault(path, f"{form.decode} is never below 0; is it s{form.decode[1:]}?")


def probe_faults(form: ProbeForm, path: KeyPath) -> Iterator[Fault]:
    if form.decode != TEXT and form.decode not in list(Encoding):
        known = ", ".join((*Encoding, TEXT))
        yield Fault((*path, "decode"), f"{form.decode!r} is none of {known}")
        return
    if (form.equals is None) == (form.between is None):
        yield Fault(path, 'a probe says what it expects: either "equals" or "between"')
    yield from _address_faults(form, probe_words(form), path)
    yield from _scale_faults(form, path)
    expected = form.equals if isinstance(form.equals, list) else [form.equals]
    wanted = str if form.decode == TEXT else int
    if form.equals is not None and not (expected and all(type(e) is wanted for e in expected)):
        yield Fault((*path, "equals"), "compare a text with a text, a number with a number")
    if form.decode == TEXT and form.words is None:
        yield Fault(path, 'a text needs "words", its count of registers')
    if form.decode == TEXT and form.between is not None:
        yield Fault((*path, "between"), "a text lies in no range")
    if form.decode != TEXT and form.words not in {None, probe_words(form)}:
        yield Fault((*path, "words"), f"{form.decode} takes {probe_words(form)} registers")
    if form.between is not None:
        yield from _range_faults(form.between, (*path, "between"))


def probe_words(form: ProbeForm) -> int:
    """How many registers a probe reads."""
    return form.words or 1 if form.decode == TEXT else Encoding(form.decode).words
