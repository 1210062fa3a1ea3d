"""The check of a whole profile file: what its form, its layout and its variants say wrong, at once.

Where the form is broken, what is sound around it is checked all the same.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from adapters.modbus.profile_faults import Fault, PlacedFault, form_faults
from adapters.modbus.profile_form import ProfileForm
from adapters.modbus.profile_layers import Layer, Tables
from adapters.modbus.profile_layout import layout_faults
from adapters.modbus.profile_variants import variant_faults
from adapters.modbus.toml_places import Path as KeyPath

# What stands for a broken key that must be there; nothing is said of what stands for another.
_STAND_INS: Mapping[str, object] = {
    "format": 1,
    "title": "-",
    "source": "-",
    "verified": "guess",
    "probe": {"holding": 0, "decode": "u16", "equals": 0},
    "tariff": {"rates": 63},
}
_REQUIRED = ("format", "title", "source", "verified", "probe")
_ENTRIES = ("readings", "factors")
_FACTOR_NAME = re.compile("[a-z][a-z0-9_]{0,31}")
_CELL_KEYS = ("holding", "input", "decode")
_NO_CELL: Tables = {"decode": "u16"}


def faults_of(whole: Layer) -> set[PlacedFault]:
    """Every fault of a file and of its variants."""
    found = set(_faults(whole))
    for layer in variants_of(whole):
        found |= set(_faults(layer))
    return found


def _faults(layer: Layer) -> Iterator[PlacedFault]:
    broken = list(form_faults(layer.tables, ProfileForm))
    yield from map(layer.placed, broken)
    tables, hidden = _mended(layer.tables, broken)
    try:
        form = msgspec.convert(tables, ProfileForm)
    except msgspec.ValidationError as exc:
        if not broken:
            yield layer.placed(Fault((), str(exc)))
        return
    for fault in (*layout_faults(form), *variant_faults(form)):
        of_a_stand_in = any(fault.path[: len(path)] == path for path in hidden)
        if not of_a_stand_in and (fault.path or not broken):
            yield layer.placed(fault)


def variants_of(whole: Layer) -> Iterator[Layer]:
    """Each variant over what is common to all; none where the form of one is broken."""
    variants = whole.tables.get("variants")
    broken = {fault.path[:1] for fault in form_faults(whole.tables, ProfileForm)}
    if not isinstance(variants, list) or ("variants",) in broken:
        return
    common = whole.without_variants()
    for number, _ in enumerate(variants):
        yield whole.variant(number).over(common)


# --- stand-ins ------------------------------------------------------------------------------------


def _mended(tables: Tables, broken: Iterable[Fault]) -> tuple[Tables, set[KeyPath]]:
    """The tables without what is broken, and where something else stands for it.

    Of a reading or factor its registers stay, where they are sound.
    """
    paths = {fault.path for fault in broken}
    mended = {key: _STAND_INS[key] for key in _REQUIRED if key not in tables} | dict(tables)
    hidden: set[KeyPath] = set()
    for path in paths:
        if not path:
            continue
        section = str(path[0])
        if section in _ENTRIES and len(path) > 1:
            if _mend_entry(mended, (section, str(path[1])), paths):
                hidden.add(path[:2])
        elif section == "limits" and len(path) > 1:
            mended[section] = _without(mended[section], str(path[1]))
        elif section in _STAND_INS:
            mended[section] = _STAND_INS[section]
            hidden.add((section,))
        else:
            mended.pop(section, None)
    return mended, hidden


def _mend_entry(mended: dict[str, object], path: tuple[str, str], broken: set[KeyPath]) -> bool:
    """Keep the registers of an entry; True where they are not sound, and nothing can be kept."""
    section, name = path
    entries = mended[section]
    assert isinstance(entries, Mapping)
    entry = entries.get(name)
    mended[section] = kept = _without(entries, name)
    if section == "factors" and not _FACTOR_NAME.fullmatch(name):
        return False
    cell = _cell(entry) if not any((*path, key) in broken for key in _CELL_KEYS) else None
    mended[section] = kept | {name: cell or _NO_CELL}
    return cell is None


def _cell(entry: object) -> Tables | None:
    if not isinstance(entry, Mapping) or "decode" not in entry:
        return None
    return {key: entry[key] for key in _CELL_KEYS if key in entry}


def _without(table: object, key: str) -> dict[str, object]:
    assert isinstance(table, Mapping)
    return {name: value for name, value in table.items() if name != key}
