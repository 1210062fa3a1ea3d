"""Files the STS commands read: keys that nobody else may see, table sets, test vectors.

Every refusal names the file; that of JSON names line and column. No text of a key file ever shows.
"""

import json
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from protocols.sts.errors import RangeError, StsError
from protocols.sts.sta import StaTables

KEY_FILE_BYTES = 4096
JSON_BYTES = 64 * 1024 * 1024
STANDARD_INPUT = "-"


class FileRefused(StsError):
    """A file cannot be read, or is not what it should be: ``field`` is its name."""


def read_key(file: str) -> bytes:
    """A key in hex from a private file, from a pipe, or typed in unseen.

    Blanks, line ends and lines that begin with # do not count. FileRefused when other users can
    open the file; RangeError when it is not hex.
    """
    if file != STANDARD_INPUT:
        return key_of(_read_private(Path(file)))
    if sys.stdin.isatty():
        return key_of(str(typer.prompt("Key in hex", hide_input=True, err=True)))
    return key_of(sys.stdin.read(KEY_FILE_BYTES))


def key_of(text: str) -> bytes:
    """The bytes of a key written in hex; RangeError, which does not repeat it."""
    written = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    digits = "".join("".join(written).split())
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        raise RangeError("key", "must be hex digits, two for each byte") from None
    if not key:
        raise RangeError("key", "is empty")
    return key


def read_tables(file: Path) -> StaTables:
    """A table set of EA07, named after its file; FileRefused or TablesError."""
    return StaTables.parse(file.stem, read_json(file))


def read_json(file: Path) -> object:
    """The document in a file; FileRefused tells line and column of what is no JSON."""
    text = _text_of(file, _read(file, JSON_BYTES))
    try:
        return json.loads(text, object_pairs_hook=_object_of)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise FileRefused(str(file), f"is no JSON: {error.msg} ({place})") from None
    except _Repeated as error:
        raise FileRefused(str(file), f"names {error.name!r} twice in one object") from None
    except RecursionError:
        raise FileRefused(str(file), "is nested too deeply") from None
    except ValueError:
        raise FileRefused(str(file), "holds a number of too many digits") from None


class _Repeated(Exception):
    """An object in which one of two values would silently win."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _object_of(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise _Repeated(name[:40])
        found[name] = value
    return found


def _read_private(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise FileRefused(str(file), f"is open to other users; run: chmod 600 {file}")
            return opened.read(KEY_FILE_BYTES).decode("ascii", errors="replace")
    except OSError as error:
        raise _unreadable(file, error) from None


def _read(file: Path, most: int) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(most + 1)
    except OSError as error:
        raise _unreadable(file, error) from None
    if len(content) > most:
        raise FileRefused(str(file), f"is longer than {most} bytes; split it")
    return content


def _text_of(file: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileRefused(str(file), f"is no UTF-8 at byte {error.start}") from None


def _unreadable(file: Path, error: OSError) -> FileRefused:
    return FileRefused(str(file), f"cannot be read: {error.strerror}")
