"""Pages: how long listings are told piece by piece. Knows nothing of what is listed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items in stable order, and the opaque cursor of the next page or None."""

    items: Sequence[T]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a page starts (the opaque `next` of the page before, or None) and how long it is.

    A cursor that cannot be read raises MalformedOrder.
    """

    after: str | None = None
    limit: int = 50
