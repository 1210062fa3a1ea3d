"""Meter models as the simulators have them: the profile of a model becomes its register sheet.

One of the few modules of this floor that know adapters, and only to show and to try.
"""

from collections.abc import Mapping
from decimal import Decimal

from adapters.modbus.frames import Table
from adapters.modbus.profile import Factor, Probe, Profile
from adapters.simulators.sheet_registers import Entry, Sheet
from protocols.modbus.registers import raw_words

_FUNCTIONS: Mapping[Table, int] = {Table.HOLDING: 3, Table.INPUT: 4}
Fixed = dict[tuple[int, int], int]


def sheet_of(profile: Profile, variant: str | None = None) -> Sheet:
    """The registers of a model, every transformer ratio 1; of its variants that one, or the first.

    Raises KeyError for a variant that it has not.
    """
    known = {each.variant: each for each in profile.variants} or {None: profile}
    chosen = known[variant] if variant else next(iter(known.values()))
    fixed: Fixed = {}
    for factor in chosen.factors.values():
        _fix(fixed, factor.table, factor.span.start, _one(factor))
    for probe in (*profile.probes, *chosen.probes):
        told = {(reading.table, reading.span) for reading in chosen.readings.values()}
        if (probe.table, probe.span) not in told:
            _fix(fixed, probe.table, probe.span.start, _expected(probe))
    return Sheet(
        model=chosen.title,
        entries={
            kind: Entry(
                function=_FUNCTIONS[reading.table],
                span=reading.span,
                format=reading.format,
                factor=reading.factor,
            )
            for kind, reading in chosen.readings.items()
        },
        limits={_FUNCTIONS[table]: limits for table, limits in chosen.limits.items()},
        fixed=fixed,
    )


def _fix(fixed: Fixed, table: Table, start: int, words: tuple[int, ...]) -> None:
    fixed.update({(_FUNCTIONS[table], start + at): word for at, word in enumerate(words)})


def _one(factor: Factor) -> tuple[int, ...]:
    return factor.format.words(Decimal(0 if factor.power_of_ten else 1))


def _expected(probe: Probe) -> tuple[int, ...]:
    """What the probe wants to see."""
    wanted = probe.between[0] if probe.between else probe.equals[0]
    if probe.format is not None:
        return probe.format.words(Decimal(wanted))
    raw = str(wanted).encode("ascii").ljust(2 * probe.span.count)
    return raw_words(raw, probe.order)
