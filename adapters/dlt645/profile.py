"""DL/T 645 meter profiles as data: which identifiers a model answers, and what it can be told.

A profile is one TOML file, its name the file's stem. Those beside this module ship with us.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path

import msgspec

from headend.errors import Misconfigured
from headend.meters import Capability, ProfileName
from headend.readings import ReadingType
from protocols.dlt645.data import QUANTITIES, Identifier

SHIPPED = Path(__file__).parent / "profiles"
FORMAT = 1
# Those whose names need a dialect that this one is not.
_POSSIBLE = (
    Capability.READ
    | Capability.SUPPLY
    | Capability.SUPPLY_ORDER
    | Capability.CLOCK
    | Capability.EVENTS
)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    format: int
    title: str
    source: str
    can: list[str]
    readings: dict[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one model understands; `readings` by what they are."""

    name: ProfileName
    title: str
    source: str
    can: Capability
    readings: Mapping[ReadingType, Identifier]


def load_profiles(*folders: Path) -> Mapping[ProfileName, Profile]:
    """The shipped profiles and those of further folders; a later one of the same name wins.

    Raises Misconfigured, naming the file.
    """
    files = (path for folder in (SHIPPED, *folders) for path in sorted(folder.glob("*.toml")))
    profiles = (_load(path) for path in files)
    return {profile.name: profile for profile in profiles}


def _load(path: Path) -> Profile:
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
    except (OSError, ValueError) as exc:
        raise Misconfigured(f"DL/T 645 profile {path}: {exc}") from exc
    if file.format != FORMAT:
        raise Misconfigured(f"DL/T 645 profile {path}: format {file.format}, known is {FORMAT}")
    return Profile(
        name=ProfileName(path.stem),
        title=file.title,
        source=file.source,
        can=_capability(path, file.can),
        readings=dict(_reading(path, *pair) for pair in file.readings.items()),
    )


def _reading(path: Path, name: str, identifier: str) -> tuple[ReadingType, Identifier]:
    kind = ReadingType.__members__.get(name)
    if kind is None:
        raise Misconfigured(f"DL/T 645 profile {path}: {name} is no reading type")
    if identifier not in QUANTITIES:
        raise Misconfigured(f"DL/T 645 profile {path}: {name}: {identifier!r} is not known")
    return kind, identifier


def _capability(path: Path, names: list[str]) -> Capability:
    known = {flag.name: flag for flag in _POSSIBLE}
    for name in names:
        if name not in known:
            told = ", ".join(sorted(str(flag) for flag in known))
            raise Misconfigured(f"DL/T 645 profile {path}: cannot {name}; known are {told}")
    return reduce(or_, (known[name] for name in names), Capability.NONE)
