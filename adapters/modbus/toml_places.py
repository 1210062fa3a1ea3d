"""Where each key and each item of a TOML file stands, so that a complaint can point at it.

The parser of the standard library keeps no positions, nor does any maintained library that we
know. This reads a text that it has already parsed, so only well-formed TOML 1.0 comes here.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# Keys, and places in arrays: ("readings", "POWER_W", "invalid", 0).
Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""(?:[\w-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')(?=[ \t]*(?:[.=\]]))""")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_STRING = re.compile(
    r'''"""(?:\\[\s\S]|(?!""")[\s\S])*"{3,5}|\'\'\'(?:(?!\'\'\')[\s\S])*'{3,5}'''
    r"""|"(?:\\.|[^"\\\n])*"|'[^'\n]*'"""
)
_PLAIN = re.compile(r"[^,\]}#\n]+")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Line and column, both from 1."""

    line: int
    column: int


def places(text: str) -> Mapping[Path, Place]:
    """The place of every key and array item of a well-formed document."""
    return _Reader(text).read()


@dataclass(slots=True)
class _Reader:
    text: str
    at: int = 0
    found: dict[Path, Place] = field(default_factory=dict)
    tables: dict[Path, int] = field(default_factory=dict)  # items of each array of tables

    lines: list[int] = field(init=False)  # where each begins

    def __post_init__(self) -> None:
        self.lines = [0, *(end.end() for end in re.finditer("\n", self.text))]

    def read(self) -> Mapping[Path, Place]:
        self._blank()
        table: Path = ()
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._blank()
        return self.found

    def _header(self) -> Path:
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        table: Path = ()
        for key, start in self._dotted():
            table = (*self._last_item(table), key)
            self._note(table, start)
        self._blank_and("]]" if many else "]")
        if not many:
            return self._last_item(table)
        number = self.tables.get(table, 0)
        self.tables[table] = number + 1
        self._note((*table, number), start)
        return (*table, number)

    def _last_item(self, table: Path) -> Path:
        return (*table, self.tables[table] - 1) if table in self.tables else table

    def _pair(self, table: Path) -> None:
        for key, start in self._dotted():
            table = (*table, key)
            self._note(table, start)
        self._blank_and("=")
        self._blank()
        self._value(table)

    def _value(self, path: Path) -> None:
        match self.text[self.at]:
            case "[":
                for number in self._items("[", "]"):
                    self._note((*path, number), self.at)
                    self._value((*path, number))
            case "{":
                for _ in self._items("{", "}"):
                    self._pair(path)
            case _:
                self._take(_STRING) or self._take(_PLAIN)

    def _items(self, opening: str, closing: str) -> Iterator[int]:
        """Stands at each item in turn."""
        self._blank_and(opening)
        self._blank()
        number = 0
        while self.text[self.at] != closing:
            yield number
            number += 1
            self._blank()
            if self.text[self.at] == ",":
                self.at += 1
                self._blank()
        self.at += 1

    def _dotted(self) -> Iterator[tuple[str, int]]:
        self._blank()
        while key := self._take(_KEY):
            (name,) = (key,) if key[0] not in "\"'" else tomllib.loads(f"{key} = 0")
            yield name, self.at - len(key)
            if not self._take(_DOT):
                return

    def _note(self, path: Path, at: int) -> None:
        if path not in self.found:
            line = bisect_right(self.lines, at)
            self.found[path] = Place(line, at - self.lines[line - 1] + 1)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match[0]

    def _blank(self) -> None:
        self._take(_BLANK)

    def _blank_and(self, mark: str) -> None:
        self._blank()
        assert self.text.startswith(mark, self.at), "only what the parser took comes here"
        self.at += len(mark)
