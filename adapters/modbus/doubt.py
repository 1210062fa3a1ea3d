"""What silence means before a command is written, and after it."""

from collections.abc import Iterator
from contextlib import contextmanager

from headend.errors import NoAnswer, NotSent, WireError


@contextmanager
def nothing_in_doubt() -> Iterator[None]:
    """The command is not written yet: silence is harmless."""
    try:
        yield
    except NoAnswer as exc:
        raise NotSent(f"before the command was sent: {exc}") from exc


@contextmanager
def in_doubt() -> Iterator[None]:
    """The command is with the meter: whatever fails now, it may have been carried out."""
    try:
        yield
    except NoAnswer:
        raise
    except WireError as exc:
        raise NoAnswer(f"after the command was sent: {exc}") from exc
