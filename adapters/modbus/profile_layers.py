"""Layers of profile files: what a file says itself over what it inherits, and where each key stood.

A key of the upper layer counts. Tables are joined key by key, everything else is replaced; a probe
and the variants are replaced as a whole.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

from adapters.modbus.profile_faults import Fault, MalformedProfile, PlacedFault
from adapters.modbus.toml_places import Path as KeyPath
from adapters.modbus.toml_places import Place, places

Tables: TypeAlias = Mapping[str, object]
# Finds the file of a profile by its name.
Finder = Callable[[str], Path | None]
MAX_FILE_BYTES = 1024 * 1024
_WHOLE = ("probe", "variants")
_ADDRESSES = ("holding", "input")


@dataclass(frozen=True, slots=True)
class Layer:
    """Tables, and of each of their keys the file and place."""

    file: Path
    tables: Tables
    origins: Mapping[KeyPath, tuple[Path, Place]]

    def over(self, lower: "Layer") -> "Layer":
        """This one's keys, and the lower one's where this says nothing."""
        origins = {
            path: origin
            for path, origin in lower.origins.items()
            if not self._hides(path, lower.tables)
        }
        return Layer(self.file, _joined(self.tables, lower.tables), origins | dict(self.origins))

    def placed(self, fault: Fault) -> PlacedFault:
        """A fault with the place of its key, else of the nearest table around it."""
        path = fault.path
        while path and path not in self.origins:
            path = path[:-1]
        file, place = self.origins.get(path, (self.file, Place(1, 1)))
        return PlacedFault(file, place, fault.reason)

    def variant(self, number: int) -> "Layer":
        """What one variant says otherwise, as a layer of its own."""
        stem: KeyPath = ("variants", number)
        found = self.tables["variants"]
        assert isinstance(found, list)
        tables = {key: value for key, value in found[number].items() if key != "name"}
        origins = {path[2:]: origin for path, origin in self.origins.items() if path[:2] == stem}
        return Layer(self.file, tables, origins)

    def without_variants(self) -> "Layer":
        return Layer(
            self.file,
            {key: value for key, value in self.tables.items() if key != "variants"},
            self.origins,
        )

    def _hides(self, path: KeyPath, lower: Tables) -> bool:
        if path[0] in _WHOLE and path[0] in self.tables:
            return True
        above: object = self.tables
        for key in path:
            if not isinstance(above, Mapping) or key not in above:
                return not isinstance(above, Mapping)
            above = above[key]
        return True


def read_layers(path: Path, find: Finder) -> Layer:
    """A file over all that it inherits; raises MalformedProfile."""
    layer = _read(path)
    chain = [path.stem]
    lowest = layer
    while isinstance(name := lowest.tables.get("inherits"), str):
        parent = find(name)
        if name in chain:
            way = " → ".join((*chain, name))
            raise _refused(lowest, f"a profile cannot inherit from itself: {way}")
        if parent is None:
            raise _refused(lowest, f"no profile is called {name!r}")
        chain.append(name)
        lowest = _read(parent)
        layer = layer.over(lowest)
    return layer


def _refused(layer: Layer, reason: str) -> MalformedProfile:
    return MalformedProfile([layer.placed(Fault(("inherits",), reason))])


def _read(path: Path) -> Layer:
    try:
        text = _text(path)
        tables = tomllib.loads(text, parse_float=Decimal)
    except OSError as exc:
        reason = f"cannot be read: {exc.strerror}"
        raise MalformedProfile([PlacedFault(path, Place(1, 1), reason)]) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise MalformedProfile([_unreadable(path, exc)]) from exc
    origins = {key: (path, place) for key, place in places(text).items()}
    return Layer(path, tables, origins)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise OSError(0, f"longer than {MAX_FILE_BYTES} bytes")
    return raw.decode("utf-8")


def _unreadable(path: Path, exc: Exception) -> PlacedFault:
    """The parser tells the place at the end of its complaint, or complains of the file's end."""
    match exc:
        case UnicodeDecodeError(object=raw, start=at):
            line = raw.count(b"\n", 0, at) + 1
            column = at - raw.rfind(b"\n", 0, at)
            return PlacedFault(path, Place(line, column), "this is no UTF-8 text")
        case RecursionError():
            return PlacedFault(path, Place(1, 1), "nested too deeply")
    found = re.search(r" \(at line (\d+), column (\d+)\)", str(exc))
    place = Place(int(found[1]), int(found[2])) if found else Place(1, 1)
    return PlacedFault(path, place, str(exc)[: found.start()] if found else str(exc))


def _joined(upper: Tables, lower: Tables, *, top: bool = True) -> Tables:
    joined = dict(lower)
    if any(key in upper for key in _ADDRESSES):
        joined = {key: value for key, value in joined.items() if key not in _ADDRESSES}
    for key, value in upper.items():
        below = joined.get(key)
        whole = top and key in _WHOLE
        if isinstance(value, Mapping) and isinstance(below, Mapping) and not whole:
            joined[key] = _joined(value, below, top=False)
        else:
            joined[key] = value
    return joined
