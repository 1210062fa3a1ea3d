"""Where keys and items stand in a TOML file."""

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.modbus.profile_files import SHIPPED
from adapters.modbus.toml_places import Path, Place, places

AWKWARD = '''\
# a comment with [brackets] and key = "value"
title = "a # b = [c]"   # not a comment inside
"quoted key" = 'x'
many = """
[not.a.table]
key = 1 \\""" still
"""
raw = \'\'\'
a = 1
\'\'\'
list = [
  1,  # one
  "two, three",
  [4, 5],
  { a = 1, b.c = [6] },
]
empty = []
none = {}

[a . "b.c"]
d.e = 1

[[items]]
name = "first"
[items.below]
x = 1
[[items]]
name = "second"
[items.below]
y = 2
[[items.deep]]
z = 3
'''


def paths(value: object, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    match value:
        case dict():
            for key, below in value.items():
                yield from paths(below, (*path, key))
        case list():
            for number, below in enumerate(value):
                yield from paths(below, (*path, number))


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        (("title",), 2, 1),
        (("quoted key",), 3, 1),
        (("raw",), 8, 1),
        (("list", 0), 12, 3),
        (("list", 2, 1), 14, 7),
        (("list", 3, "b", "c", 0), 15, 19),
        (("a", "b.c"), 20, 6),
        (("a", "b.c", "d", "e"), 21, 3),
        (("items", 0, "name"), 24, 1),
        (("items", 1, "below", "y"), 30, 1),
        (("items", 1, "deep", 0, "z"), 32, 1),
    ],
)
def test_a_key_is_found_where_it_stands(path: Path, line: int, column: int):
    assert places(AWKWARD)[path] == Place(line, column)


@pytest.mark.parametrize(
    "text",
    [AWKWARD, AWKWARD.replace("\n", "\r\n"), *(p.read_text() for p in SHIPPED.glob("*.toml"))],
    ids=lambda text: text[:30],
)
def test_everything_the_parser_finds_has_a_place(text: str):
    assert set(places(text)) == set(paths(tomllib.loads(text)))


NAMES = st.text("abcXYZ_-09 .\"'#=[é", max_size=5)
LEAVES = st.integers() | st.booleans() | st.text("ab\"'#,]}=[\\\n ", max_size=8)
DOCUMENTS = st.dictionaries(
    NAMES,
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


def written(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str():
            return quoted(value)
        case list():
            return f"[ {', '.join(map(written, value))} ]"
        case dict():
            return f"{{ {', '.join(f'{quoted(k)} = {written(v)}' for k, v in value.items())} }}"
    raise AssertionError(value)


def quoted(text: str) -> str:
    if "'" not in text and "\n" not in text:
        return f"'{text}'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


@given(DOCUMENTS)
def test_no_well_formed_document_confuses_it(document: dict[str, object]):
    text = "".join(f"{quoted(key)} = {written(value)}\n" for key, value in document.items())
    assert tomllib.loads(text) == document
    assert set(places(text)) == set(paths(document))
