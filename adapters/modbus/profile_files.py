"""Profile files: Modbus meter models as data, one TOML file each, its name the file's stem.

Those beside this module ship with us. A whole file is checked before any of it is used.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from adapters.modbus.profile import Profile
from adapters.modbus.profile_building import profile_of
from adapters.modbus.profile_faults import Fault, MalformedProfile, form_faults
from adapters.modbus.profile_form import ProfileForm
from adapters.modbus.profile_layers import Finder, Layer, read_layers
from adapters.modbus.profile_layout import layout_faults
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
    form = _form(whole)
    name = ProfileName(path.stem)
    variants = [
        profile_of(name, _form(layer), variant=form.variants[number].name)
        for number, layer in enumerate(_variants(whole, form))
    ]
    return profile_of(name, form, variants=variants)


def _variants(whole: Layer, form: ProfileForm) -> Iterator[Layer]:
    common = whole.without_variants()
    for number, _ in enumerate(form.variants):
        yield whole.variant(number).over(common)


def _form(layer: Layer) -> ProfileForm:
    try:
        form = msgspec.convert(layer.tables, ProfileForm)
    except msgspec.ValidationError as exc:
        faults = list(form_faults(layer.tables, ProfileForm)) or [Fault((), str(exc))]
    else:
        faults = [*layout_faults(form), *_variant_faults(form)]
        if not faults:
            return form
    raise MalformedProfile([layer.placed(fault) for fault in faults])


def _variant_faults(form: ProfileForm) -> Iterator[Fault]:
    names: set[str] = set()
    for number, variant in enumerate(form.variants):
        if variant.name in names:
            yield Fault(("variants", number, "name"), f"two variants are called {variant.name!r}")
        names.add(variant.name)
