"""What is wrong with a profile file: every fault, each with its file, line and column."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

import msgspec

from adapters.modbus.toml_places import Path as KeyPath
from adapters.modbus.toml_places import Place
from headend.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Fault:
    """Something is wrong at a key; the nearest key there is shows the place."""

    path: KeyPath
    reason: str


@dataclass(frozen=True, slots=True, order=True)
class PlacedFault:
    """A fault as a person can find it."""

    file: Path
    place: Place
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.place.line}:{self.place.column}: {self.reason}"


class MalformedProfile(Misconfigured):
    """A profile file that cannot be used; each line of the text is file, line, column, reason."""

    def __init__(self, faults: Sequence[PlacedFault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(map(str, self.faults)))


def form_faults(value: object, form: type[msgspec.Struct], path: KeyPath = ()) -> Iterator[Fault]:
    """Everything in which a table is not of this form: unknown, missing and wrong keys."""
    if not isinstance(value, Mapping):
        yield Fault(path, "this must be a table")
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(form)}
    for key in value:
        if key not in fields:
            yield Fault((*path, key), f"unknown key `{key}`; known are {', '.join(fields)}")
    for name, field in fields.items():
        if name in value:
            yield from _value_faults(value[name], field.type, (*path, name))
        elif field.required:
            yield Fault(path, f"missing required key `{name}`")


def _value_faults(value: object, kind: object, path: KeyPath) -> Iterator[Fault]:
    for choice in _choices(kind):
        match get_origin(choice), value:
            case None, dict() if isinstance(choice, type) and issubclass(choice, msgspec.Struct):
                yield from form_faults(value, choice, path)
                return
            case origin, dict() if origin is dict:
                yield from _entry_faults(value, choice, path)
                return
            case origin, list() if origin is list:
                (item,) = get_args(choice)
                for number, each in enumerate(value):
                    yield from _value_faults(each, item, (*path, number))
                yield from _leaf_faults(value, kind, path, only=())
                return
    yield from _leaf_faults(value, kind, path)


def _entry_faults(value: Mapping[str, object], kind: object, path: KeyPath) -> Iterator[Fault]:
    key_kind, item_kind = get_args(kind)
    for key, item in value.items():
        yield from _leaf_faults(key, key_kind, (*path, key))
        yield from _value_faults(item, item_kind, (*path, key))


def _leaf_faults(
    value: object, kind: object, path: KeyPath, *, only: KeyPath | None = None
) -> Iterator[Fault]:
    """`only` faults at that place below `path`; those of the items have been told."""
    for choice in _choices(kind):
        if isinstance(choice, type) and issubclass(choice, Enum):
            known = [str(member.value) for member in choice]
            if value not in known:
                yield Fault(path, f"{value!r} is none of {', '.join(known)}")
            return
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        reason, _, below = str(exc).partition(" - at `$")
        places = tuple(int(number) for number in re.findall(r"\[(\d+)\]", below))
        if only is None or places == only:
            yield Fault((*path, *places), _plainly(reason, value))


def _choices(kind: object) -> Iterator[object]:
    """What may stand there, without its decorations."""
    if get_origin(kind) is Annotated:
        yield from _choices(get_args(kind)[0])
    elif get_origin(kind) in {Union, UnionType}:
        for choice in get_args(kind):
            yield from _choices(choice)
    else:
        yield kind


def _plainly(reason: str, value: object) -> str:
    return f"{reason}, got {value!r}" if "got" not in reason else reason
