"""Profile files: Modbus meter models as data, one TOML file each, its name the file's stem.

Those beside this module ship with us. A whole file is checked before any of it is used.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from adapters.modbus.profile import Profile
from adapters.modbus.profile_building import profile_of
from adapters.modbus.profile_checking import faults_of, variants_of
from adapters.modbus.profile_faults import MalformedProfile
from adapters.modbus.profile_form import ProfileForm
from adapters.modbus.profile_layers import Finder, read_layers
from headend.meters import ProfileName

SHIPPED = Path(__file__).parent / "profiles"
SUFFIX = ".toml"


def load_profiles(*folders: Path) -> Mapping[ProfileName, Profile]:
    """The shipped profiles and those of further folders; a later one of the same name wins.

    Raises MalformedProfile.
    """
    files = {
        path.stem: path
        for folder in (SHIPPED, *folders)
        for path in sorted(folder.glob(f"*{SUFFIX}"))
    }
    return {ProfileName(name): _loaded(path, files.get) for name, path in sorted(files.items())}


def load_profile(path: Path) -> Profile:
    """Read and check one file; what it inherits is beside it, or ships. Raises MalformedProfile."""

    def find(name: str) -> Path | None:
        places = (folder / f"{name}{SUFFIX}" for folder in (path.parent, SHIPPED))
        return next((place for place in places if place.is_file()), None)

    return _loaded(path, find)


def _loaded(path: Path, find: Finder) -> Profile:
    whole = read_layers(path, find)
    if faults := faults_of(whole):
        raise MalformedProfile(sorted(faults))
    form = msgspec.convert(whole.tables, ProfileForm)
    name = ProfileName(path.stem)
    variants = [
        profile_of(name, msgspec.convert(layer.tables, ProfileForm), variant=variant.name)
        for variant, layer in zip(form.variants, variants_of(whole), strict=True)
    ]
    return profile_of(name, form, variants=variants)
