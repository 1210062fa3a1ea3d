"""People: named humans who approve what is dangerous; an API key is never one of them.

They are made on the command line by whoever has the machine. A name is given once and for ever,
so that nobody becomes a second person by being made twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NewType, Protocol

from headend.meters import TenantId

PersonId = NewType("PersonId", str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One human; only the SHA-256 of the 256 random bits of the personal token is kept."""

    id: PersonId
    tenant: TenantId
    name: str
    sha256: bytes = field(repr=False)
    created_at: datetime
    renewed_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Requester:
    """For whom an API key orders: the people behind it, and the job it is a line of.

    `people` are the person the key belongs to and the person the order names; none of them may
    approve it.
    """

    people: frozenset[PersonId] = frozenset()
    job: str | None = None


UNNAMED = Requester()


def same_name(name: str) -> str:
    """What two spellings of one name have in common."""
    return " ".join(name.split()).casefold()


class People(Protocol):
    """The collection of a transaction."""

    async def add(self, person: Person) -> None:
        """Raises Stale when the tenant has, or had, somebody of this name."""

    async def find(self, ident: str) -> Person | None: ...

    async def all(self, tenant: TenantId) -> Sequence[Person]:
        """Oldest first, revoked ones too."""

    async def renew(self, ident: str, sha256: bytes, now: datetime) -> bool:
        """Another token, and in force again; whether there is such a person."""

    async def revoke(self, ident: str, now: datetime) -> bool:
        """Whether there was one that was not revoked."""
