"""Profiles of IEC 62056-21 meters as data: what the lines of a read-out are.

A profile is one TOML file, its name the file's stem. Those beside this module ship with us.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from headend.errors import Misconfigured
from headend.meters import ProfileName
from headend.readings import ReadingType
from protocols.iec62056_21.characters import BlockCheck

SHIPPED = Path(__file__).parent / "profiles"
FORMAT = 1


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    format: int
    title: str
    source: str
    check: BlockCheck = BlockCheck.XOR
    maker: str | None = None
    readings: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """`readings` by the address of their data line; `maker` is the sign-on's, None: any."""

    name: ProfileName
    title: str
    source: str
    check: BlockCheck
    maker: str | None
    readings: Mapping[str, ReadingType]


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
        raise Misconfigured(f"IEC 62056-21 profile {path}: {exc}") from exc
    if file.format != FORMAT:
        raise Misconfigured(f"IEC 62056-21 profile {path}: format {file.format}, not {FORMAT}")
    unknown = [name for name in file.readings.values() if name not in ReadingType.__members__]
    if unknown:
        raise Misconfigured(f"IEC 62056-21 profile {path}: {unknown[0]} is no reading type")
    return Profile(
        name=ProfileName(path.stem),
        title=file.title,
        source=file.source,
        check=file.check,
        maker=file.maker,
        readings={address: ReadingType[name] for address, name in file.readings.items()},
    )
