"""A value inside a JSON document of somebody else, named by members and places: `a.0.b`."""

import json

MAX_VALUE = 200


def named(document: bytes, path: str) -> str | None:
    """The text or number at a path; None where there is none, or the document is no JSON."""
    try:
        found: object = json.loads(document)
    except (ValueError, RecursionError):
        return None
    return value_at(found, path)


def value_at(found: object, path: str) -> str | None:
    """The same in a document that was read already."""
    for part in path.split("."):
        match found:
            case dict():
                found = found.get(part)
            case list() if part.isdecimal() and int(part) < len(found):
                found = found[int(part)]
            case _:
                return None
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    text = str(found)
    return text if 0 < len(text) <= MAX_VALUE else None
