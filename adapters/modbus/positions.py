"""Where a key stands in a TOML file, so that a complaint can point at it.

The parser of the standard library keeps no positions of keys. Good for the plain form that our
profiles have: table headers on lines of their own, one key a line.
"""

import re
from collections.abc import Iterator

KeyPath = tuple[str, ...]

_HEADER = re.compile(r"\s*\[([^\[\]]+)\]")
_KEY = re.compile(r"\s*([\w-]+)\s*=")


def position(text: str, path: KeyPath) -> tuple[int, int]:
    """Line and column, from 1, of the key, else of the nearest table around it."""
    depth, found = 0, (1, 1)
    for key, line, column in _keys(text):
        if key == path[: len(key)] and len(key) > depth:
            depth, found = len(key), (line, column)
    return found


def _keys(text: str) -> Iterator[tuple[KeyPath, int, int]]:
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = tuple(part.strip().strip("\"'") for part in header[1].split("."))
            yield table, number, header.start(1) + 1
        elif key := _KEY.match(line):
            yield (*table, key[1]), number, key.start(1) + 1
