"""Variants of a profile file: whether the probes of one let another through."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from adapters.modbus.frames import Table
from adapters.modbus.profile import Range
from adapters.modbus.profile_cells import cell_of, probe_faults, probe_words, probes_of
from adapters.modbus.profile_faults import Fault
from adapters.modbus.profile_form import TEXT, ProbeForm, ProfileForm, VariantForm
from protocols.modbus.blocks import Span
from protocols.modbus.registers import Order

# The registers, and how they are read; what is left is what a probe wants there.
_Place: TypeAlias = tuple[Table, Span, str, Order]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a probe lets through: texts that begin so, or ranges of the number in the registers."""

    texts: tuple[str, ...]
    ranges: tuple[Range, ...]

    def meets(self, other: "_Wanted") -> bool:
        """There is something that both let through."""
        texts = any(
            mine.startswith(theirs) or theirs.startswith(mine)
            for mine in self.texts
            for theirs in other.texts
        )
        return texts or any(
            low <= other_high and other_low <= high
            for low, high in self.ranges
            for other_low, other_high in other.ranges
        )


def variant_faults(form: ProfileForm) -> Iterator[Fault]:
    """Names that come twice, and variants that an earlier one hides.

    The first whose probes fit is spoken to: what an earlier one asks beyond a later one tells them
    apart, or a register of both in which they want nothing alike.
    """
    names: set[str] = set()
    for number, variant in enumerate(form.variants):
        if variant.name in names:
            yield Fault(("variants", number, "name"), f"two variants are called {variant.name!r}")
        names.add(variant.name)
        for earlier in form.variants[:number]:
            if _hides(earlier, variant):
                reason = f"a meter that fits may be taken for {earlier.name!r}, which stands before"
                yield Fault(("variants", number, "probe"), reason)
                break


def _hides(earlier: VariantForm, later: VariantForm) -> bool:
    mine, theirs = _wanted(earlier), _wanted(later)
    if mine is None or theirs is None:
        return False
    return all(place in theirs and wanted.meets(theirs[place]) for place, wanted in mine.items())


def _wanted(variant: VariantForm) -> Mapping[_Place, _Wanted] | None:
    """By place; None where a probe is wrong by itself, which is told elsewhere.

    A probe that fits in more ways than one parts nobody for sure.
    """
    found: dict[_Place, _Wanted] = {}
    for path, probe in probes_of(variant.probe, ()):
        if any(probe_faults(probe, path)):
            return None
        if probe.otherwise or probe.may_be_absent:
            continue
        table, span = cell_of(probe, probe_words(probe))
        found[table, span, probe.decode, probe.order] = _wanted_of(probe)
    return found


def _wanted_of(probe: ProbeForm) -> _Wanted:
    equals = probe.equals if isinstance(probe.equals, list) else [probe.equals]
    if probe.decode == TEXT:
        return _Wanted(tuple(str(each) for each in equals), ())
    if probe.between is None:
        numbers = [Decimal(each) / probe.scale for each in equals if each is not None]
        return _Wanted((), tuple((number, number) for number in numbers))
    low, high = sorted(end / probe.scale for end in probe.between)
    return _Wanted((), ((low, high),))
