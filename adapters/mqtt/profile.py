"""MQTT meter profiles as data: what a meter behind a gateway can be asked, and how long it takes.

A profile is one TOML file, its name the file's stem. Those beside this module ship with us.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated

import msgspec

from headend.errors import Misconfigured
from headend.meters import Capability, ProfileName

SHIPPED = Path(__file__).parent / "profiles"
FORMAT = 1
_Seconds = Annotated[int, msgspec.Meta(ge=1, le=300)]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    format: int
    title: str
    source: str
    can: list[str]
    silence_s: _Seconds
    answer_s: _Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one model understands. `silence_s`: until the gateway's first word on a command;
    `answer_s`: until the meter's last.
    """

    name: ProfileName
    title: str
    source: str
    can: Capability
    silence_s: int
    answer_s: int


def load_profiles(*folders: Path) -> Mapping[ProfileName, Profile]:
    """The shipped profiles and those of further folders; a later one of the same name wins.

    Raises Misconfigured, naming the file.
    """
    found: dict[ProfileName, Profile] = {}
    for folder in (SHIPPED, *folders):
        for path in sorted(folder.glob("*.toml")):
            profile = _load(path)
            found[profile.name] = profile
    return found


def _load(path: Path) -> Profile:
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
    except (OSError, ValueError) as exc:
        raise Misconfigured(f"MQTT profile {path.name}: {exc}") from exc
    if file.format != FORMAT:
        raise Misconfigured(f"MQTT profile {path.name}: format {file.format}, known is {FORMAT}")
    if file.answer_s < file.silence_s:
        raise Misconfigured(f"MQTT profile {path.name}: answer_s is shorter than silence_s")
    return Profile(
        name=ProfileName(path.stem),
        title=file.title,
        source=file.source,
        can=_capability(path, file.can),
        silence_s=file.silence_s,
        answer_s=file.answer_s,
    )


def _capability(path: Path, names: list[str]) -> Capability:
    try:
        return reduce(or_, (Capability[name] for name in names), Capability.NONE)
    except KeyError as exc:
        known = ", ".join(flag.name or "" for flag in Capability)
        raise Misconfigured(
            f"MQTT profile {path.name}: cannot {exc.args[0]}; known are {known}"
        ) from exc
