"""What the keys of a profile file say together: registers that overlap or contradict, sections.

What is wrong with one cell, reading or probe is told by `profile_cells`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from adapters.modbus.frames import Table
from adapters.modbus.profile_cells import (
    addressed,
    cell_faults,
    cell_of,
    layer_faults,
    limits_of,
    probe_faults,
    probe_words,
    probes_of,
    with_alternatives,
)
from adapters.modbus.profile_faults import Fault
from adapters.modbus.profile_form import FORMAT, TEXT, CellForm, ClockForms, ProfileForm, SupplyForm
from adapters.modbus.toml_places import Path as KeyPath
from headend.events import EventType
from headend.readings import ReadingType
from protocols.modbus.blocks import Span
from protocols.modbus.registers import Encoding

_CLOCK_WORDS = {"epoch": 2, "ymdhms": 3}


@dataclass(frozen=True, slots=True)
class _Held:
    """Registers that something of the file takes."""

    path: KeyPath
    table: Table
    span: Span


def layout_faults(form: ProfileForm) -> Iterator[Fault]:
    """Everything that one profile, without its variants, says wrong."""
    if form.format != FORMAT:
        yield Fault(("format",), f"this version reads format {FORMAT}, not {form.format}")
    yield from layer_faults(form)
    for path, probe in with_alternatives(probes_of(form.probe, ("probe",))):
        yield from probe_faults(probe, path)
    yield from _supply_faults(form.supply)
    yield from _clock_faults(form.clock)
    yield from _tariff_faults(form)
    for code, name in form.events.codes.items() if form.events else ():
        if name not in EventType.__members__:
            yield Fault(("events", "codes", code), f"{name!r} is no event type")
    if not form.readings and not any((form.prepayment, form.supply, form.clock)):
        yield Fault((), "nothing can be read of this meter, nor asked of it")
    yield from _meeting_faults(form)


# --- the sections -------------------------------------------------------------------------------


def _supply_faults(form: SupplyForm | None) -> Iterator[Fault]:
    if form is None:
        return
    registers = form.contacts is not None or form.order is not None
    if registers == (form.protocol is not None):
        yield Fault(("supply",), 'supply goes either by "protocol", or by "contacts" and "order"')
    if form.contacts is not None:
        yield from cell_faults(form.contacts, ("supply", "contacts"))
        if both := set(form.contacts.open) & set(form.contacts.closed):
            reason = f"{min(both)} cannot mean both open and closed"
            yield Fault(("supply", "contacts", "closed"), reason)
    if form.order is not None:
        if form.order.open is None and form.order.permit_close is None:
            yield Fault(("supply", "order"), 'an order is "open" or "permit_close"')
        elif form.order.open == form.order.permit_close:
            reason = "one word cannot both open and permit closing"
            yield Fault(("supply", "order", "permit_close"), reason)


def _clock_faults(form: ClockForms | None) -> Iterator[Fault]:
    if form is None:
        return
    registers = (form.holding is not None, form.decode is not None)
    if any(registers) == (form.protocol is not None) or any(registers) != all(registers):
        yield Fault(("clock",), 'a clock goes either by "protocol", or by "holding" and "decode"')
    try:
        ZoneInfo(form.zone)
    except (ZoneInfoNotFoundError, ValueError):
        yield Fault(("clock", "zone"), f"{form.zone!r} is no time zone; write Africa/Lagos")


def _tariff_faults(form: ProfileForm) -> Iterator[Fault]:
    for name in form.readings:
        rate = ReadingType[name].rate if name in ReadingType.__members__ else 0
        if rate and (form.tariff is None or rate > form.tariff.rates):
            rates = form.tariff.rates if form.tariff else "none"
            yield Fault(
                ("readings", name), f"it counts rate {rate}; the tariff section has {rates}"
            )


# --- registers that meet ------------------------------------------------------------------------


def _meeting_faults(form: ProfileForm) -> Iterator[Fault]:
    readings = list(_held(form.readings, "readings"))
    factors = list(_held(form.factors, "factors"))
    yield from _overlap_faults((*readings, *factors))
    limits = limits_of(form.limits)
    probes = [
        _Held(path, *cell_of(probe, probe_words(probe)))
        for path, probe in with_alternatives(probes_of(form.probe, ("probe",)))
        if addressed(probe) and (probe.decode == TEXT or probe.decode in list(Encoding))
    ]
    for held in (*readings, *factors, *probes):
        try:
            limits[held.table].check(held.span)
        except ValueError as exc:
            yield Fault(held.path, str(exc))
    yield from _written_faults(form, (*readings, *factors))


def _held(forms: Mapping[str, CellForm], section: str) -> Iterator[_Held]:
    for name, form in forms.items():
        if addressed(form):
            yield _Held((section, name), *cell_of(form, form.decode.words))


def _overlap_faults(cells: Iterable[_Held]) -> Iterator[Fault]:
    taken: dict[tuple[Table, int], _Held] = {}
    for held in cells:
        for address in range(held.span.start, held.span.end):
            other = taken.setdefault((held.table, address), held)
            if other is not held:
                where = f"{held.table} {address:#06x}"
                yield Fault(held.path, f"{where} belongs to {other.path[-1]} as well")
                break


def _written_faults(form: ProfileForm, read: Iterable[_Held]) -> Iterator[Fault]:
    """A register of a reading that an order or the clock would write over."""
    written: list[tuple[KeyPath, Span]] = []
    if form.supply is not None and form.supply.order is not None:
        written.append((("supply", "order", "holding"), Span(form.supply.order.holding, 1)))
    if form.clock is not None and form.clock.holding is not None and form.clock.decode is not None:
        span = Span(form.clock.holding, _CLOCK_WORDS[form.clock.decode])
        written.append((("clock", "holding"), span))
    for path, span in written:
        for held in read:
            inside = held.span.start < span.end and span.start < held.span.end
            if held.table is Table.HOLDING and inside:
                yield Fault(path, f"writing there would change {held.path[-1]}")
