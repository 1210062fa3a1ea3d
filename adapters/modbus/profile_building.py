"""A checked form becomes the profile that drivers work with."""

from collections.abc import Iterable
from datetime import UTC, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

from adapters.modbus.plausibility import usual_range
from adapters.modbus.profile import (
    Cell,
    ClockRegisters,
    Factor,
    Probe,
    Profile,
    Range,
    RegisterReading,
    SupplyRegisters,
)
from adapters.modbus.profile_cells import cell_of, limits_of, probe_words, probes_of
from adapters.modbus.profile_form import (
    TEXT,
    CellForm,
    ClockForms,
    FactorForm,
    ProbeForm,
    ProfileForm,
    ReadingForm,
    SupplyForm,
)
from headend.events import EventType
from headend.meters import Capability, ProfileName
from headend.readings import ReadingType
from protocols.modbus.registers import Encoding, NumberFormat

_PREPAYMENT = Capability.ENTER_TOKEN | Capability.TOKEN_OUTCOME | Capability.STS_CONFIGURATION


def profile_of(
    name: ProfileName,
    form: ProfileForm,
    *,
    variant: str | None = None,
    variants: Iterable[Profile] = (),
) -> Profile:
    """The profile that a form without faults describes."""
    events = form.events.codes if form.events else {}
    return Profile(
        name=name,
        title=form.title,
        source=form.source,
        verified=form.verified,
        can=_capabilities(form),
        blocks=_blocks(form),
        probes=tuple(_probe(each) for _, each in probes_of(form.probe, ())),
        factors={name: _factor(each) for name, each in form.factors.items()},
        readings={
            ReadingType[name]: _reading(ReadingType[name], each)
            for name, each in form.readings.items()
        },
        limits=limits_of(form.limits),
        answer_s=form.limits.answer_ms / 1000 if form.limits.answer_ms else None,
        supply=_supply(form.supply),
        clock=_clock(form.clock),
        event_codes={int(code, 16): EventType[name] for code, name in events.items()},
        rates=form.tariff.rates if form.tariff else None,
        variant=variant,
        variants=tuple(variants),
    )


def _capabilities(form: ProfileForm) -> Capability:
    """What the sections say that it can do."""
    supply = form.supply
    told = supply is not None and (supply.protocol or supply.contacts) is not None
    ordered = supply is not None and (supply.protocol or supply.order) is not None
    sections = (
        (Capability.READ, bool(form.readings)),
        (Capability.CREDIT_REGISTER, ReadingType.CREDIT_LEFT_MILLI.name in form.readings),
        (_PREPAYMENT, form.prepayment is not None),
        (Capability.SUPPLY, told),
        (Capability.SUPPLY_ORDER, ordered),
        (Capability.CLOCK, form.clock is not None),
        (Capability.EVENTS, form.events is not None),
        (Capability.HISTORY, form.history is not None),
        (Capability.CREDIT_PARAMETERS, form.parameters is not None),
        (Capability.POWER_LIMIT, form.power_limit is not None),
    )
    can = Capability.NONE
    for capability, there in sections:
        can |= capability if there else Capability.NONE
    return can


def _blocks(form: ProfileForm) -> str | None:
    logs = (form.events, form.history)
    sections = (form.prepayment, form.supply, form.clock, *logs, form.parameters, form.power_limit)
    return next((each.protocol for each in sections if each and each.protocol), None)


def _number(form: CellForm | ProbeForm, encoding: Encoding) -> NumberFormat:
    invalid = form.invalid if isinstance(form, CellForm) else ()
    return NumberFormat(
        encoding=encoding, order=form.order, scale=form.scale, invalid=frozenset(invalid)
    )


def _cell(form: CellForm) -> Cell:
    table, span = cell_of(form, form.decode.words)
    return Cell(table=table, span=span, format=_number(form, form.decode))


def _factor(form: FactorForm) -> Factor:
    cell = _cell(form)
    return Factor(
        table=cell.table,
        span=cell.span,
        format=cell.format,
        power_of_ten=form.power_of_ten,
        absent=None if form.absent is None else Decimal(form.absent),
    )


def _reading(kind: ReadingType, form: ReadingForm) -> RegisterReading:
    cell = _cell(form)
    factor = Decimal(kind.units[form.unit] if form.unit else 1)
    return RegisterReading(
        table=cell.table,
        span=cell.span,
        format=cell.format,
        factor=factor,
        times=tuple(form.times),
        plausible=_plausible(kind, form, factor),
    )


def _plausible(kind: ReadingType, form: ReadingForm, factor: Decimal) -> Range:
    if form.plausible is None:
        return usual_range(kind, behind_transformers=bool(form.times))
    low, high = form.plausible
    return low * factor, high * factor


def _probe(form: ProbeForm) -> Probe:
    table, span = cell_of(form, probe_words(form))
    equals = form.equals if isinstance(form.equals, list) else [form.equals]
    return Probe(
        table=table,
        span=span,
        format=None if form.decode == TEXT else _number(form, Encoding(form.decode)),
        order=form.order,
        equals=tuple(each for each in equals if each is not None),
        between=form.between,
        may_be_absent=form.may_be_absent,
        otherwise=_probe(form.otherwise) if form.otherwise else None,
    )


def _supply(form: SupplyForm | None) -> SupplyRegisters | None:
    if form is None or form.protocol is not None:
        return None
    contacts, order = form.contacts, form.order
    return SupplyRegisters(
        contacts=_cell(contacts) if contacts else None,
        contacts_open=frozenset(contacts.open if contacts else ()),
        contacts_closed=frozenset(contacts.closed if contacts else ()),
        order_at=order.holding if order else None,
        open_word=order.open if order else None,
        permit_close_word=order.permit_close if order else None,
    )


def _clock(form: ClockForms | None) -> ClockRegisters | None:
    if form is None or form.holding is None or form.decode is None:
        return None
    zone: tzinfo = UTC if form.zone == "UTC" else ZoneInfo(form.zone)
    return ClockRegisters(start=form.holding, form=form.decode, zone=zone)
