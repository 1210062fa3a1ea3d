"""Files that hold a secret: read only if nobody else can, made so that nobody else can.

Knows nothing of what the secret is.
"""

import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from headend.errors import HeadendError

MAX_BYTES = 1024 * 1024
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class FileUnusable(HeadendError):
    """A file with a secret is missing, or cannot be trusted. The text says what to do."""


@dataclass(frozen=True, slots=True)
class PrivateText:
    """What somebody wrote down in secret, and where; never prints."""

    place: str
    text: str = field(repr=False)


def read_private(file: Path) -> PrivateText:
    """The text of a regular file, ours or root's, that no other user may touch.

    Raises FileUnusable. Bytes that are no UTF-8 become U+FFFD, which no secret of ours contains.
    """
    try:
        # O_NONBLOCK: a pipe in the place of the file must not hold us up.
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:
            _require_private(file, os.fstat(opened.fileno()))
            return PrivateText(str(file), opened.read(MAX_BYTES).decode(errors="replace"))
    except OSError as exc:
        raise FileUnusable(f"{file}: {exc.strerror}") from None


def create_private(file: Path, secret: PrivateText) -> None:
    """Write a file with mode 0600, whole or not at all; one that is there is left as it is.

    Raises FileUnusable.
    """
    try:
        descriptor, draft = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                opened.write(secret.text)
                opened.flush()
                os.fsync(opened.fileno())
            with suppress(FileExistsError):
                os.link(draft, file)
        finally:
            os.unlink(draft)
        _settle(file.parent)
    except OSError as exc:
        raise FileUnusable(f"cannot make {file}: {exc.strerror}") from None


def _require_private(file: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise FileUnusable(f"{file} is no regular file")
    if found.st_mode & OTHERS:
        raise FileUnusable(f"{file} is open to other users; run: chmod 600 {file}")
    if found.st_uid not in {os.geteuid(), 0}:
        raise FileUnusable(f"{file} belongs to another user; give it to the head-end's own")
    if found.st_size > MAX_BYTES:
        raise FileUnusable(f"{file} is too long to be what it should be")


def _settle(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
