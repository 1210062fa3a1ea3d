"""The JSON Schema of profile files, made from their form; for editors, which check while one types.

What several keys say together only the head-end's own check can tell.
"""

from collections.abc import Mapping

import msgspec

from adapters.modbus.profile_form import FORMAT, ProfileForm

DRAFT = "https://json-schema.org/draft/2020-12/schema"
IDENT = f"urn:headend:meter-model:{FORMAT}"
Schema = dict[str, object]


def profile_schema() -> Schema:
    """The schema as a JSON document."""
    made = msgspec.json.schema(ProfileForm)
    forms = {name: _plain(form) for name, form in made.pop("$defs").items()}
    for form in forms.values():
        assert isinstance(form, dict)
        form.pop("title", None)
    _let_inherit(forms)
    return {"$schema": DRAFT, "$id": IDENT, "title": "Meter model", **made, "$defs": forms}


def _let_inherit(forms: Mapping[str, object]) -> None:
    """A file that inherits need not repeat what its parent says."""
    whole = forms["ProfileForm"]
    assert isinstance(whole, dict)
    needed = whole.pop("required")
    whole["required"] = ["format"]
    whole["anyOf"] = [{"required": ["inherits"]}, {"required": needed}]
    for name in ("ReadingForm", "FactorForm"):
        form = forms[name]
        assert isinstance(form, dict)
        form.pop("required", None)


def _plain(value: object) -> object:
    """Decimals are numbers in TOML; msgspec writes them as text."""
    match value:
        case {"type": "string", "format": "decimal", **rest}:
            return _number(rest)
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case _:
            return value


def _number(schema: Mapping[object, object]) -> Mapping[object, object]:
    default = schema.get("default")
    told = {**schema, "type": "number"}
    return told | {"default": float(default)} if isinstance(default, str) else told
