"""Forms that all wire models share: text without control characters, moments, pages."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Path, Query, Request, Response
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from headend.meters import Drn, parse_drn
from headend.pages import Cursor, Page

T = TypeVar("T")
R = TypeVar("R")

PAGE_DEFAULT = 50
PAGE_MAX = 200
# No control characters: one of the databases cannot keep NUL, and no log should be broken by them.
NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
IDENT = r"^[A-Za-z0-9][A-Za-z0-9._~:-]*$"
_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.A
)


def grows(values: type[Enum]) -> WithJsonSchema:
    """The schema of an enumeration that is told: open to growth, so that clients expect it."""
    names = [_told(value) for value in values]
    return WithJsonSchema(
        {
            "type": "string",
            "x-extensible-enum": names,
            "examples": names[:1],
            "description": f"One of {', '.join(names)}; more may come, treat others as unknown.",
        }
    )


def _told(value: Enum) -> str:
    return value.value if isinstance(value.value, str) else value.name.lower()


class Asked(BaseModel):
    """What a caller sends. Unknown members are refused, so that a misspelt one is not lost."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Told(BaseModel):
    """What a caller gets."""

    model_config = ConfigDict(frozen=True)


def _rfc3339(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or _RFC3339.fullmatch(value) is None:
        raise PydanticCustomError(
            "rfc3339", "write a time as RFC 3339 with its offset, such as 2026-01-31T12:00:00Z"
        )
    return value


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("rfc3339", "this time is out of range") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(_utc)]
Text = Annotated[str, StringConstraints(max_length=200, pattern=NO_CONTROLS)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=NO_CONTROLS)]
Ident = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=IDENT)]
RequestedBy = Annotated[
    Ident | None,
    Field(description="Id of the person for whom it is ordered; never the one who approves it."),
]
IdentPath = Annotated[str, Path(min_length=1, max_length=64, pattern=IDENT)]


def drn_of_path(
    drn: Annotated[str, Path(description="Meter number: 11 or 13 digits.", max_length=32)],
) -> Drn:
    return parse_drn(drn, field="drn")


# --- pages ------------------------------------------------------------------------------------


class PageTold(Told, Generic[R]):
    """One page; `next` is the cursor of the next one, or null on the last."""

    items: Sequence[R]
    next: str | None


@dataclass(frozen=True, slots=True)
class Paging:
    """The page that is asked for, and how it is told."""

    cursor: Cursor
    request: Request
    response: Response

    def told(self, page: Page[T], items: Sequence[R]) -> PageTold[R]:
        """The page, with a Link header to the next one (RFC 8288)."""
        if page.next is not None:
            following = self.request.url.include_query_params(cursor=page.next)
            self.response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
        return PageTold(items=items, next=page.next)


def _paging(
    request: Request,
    response: Response,
    cursor: Annotated[
        str | None,
        Query(description="`next` of the page before.", max_length=500, pattern=NO_CONTROLS),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
) -> Paging:
    return Paging(Cursor(after=cursor, limit=limit), request, response)


PagesAsked = Annotated[Paging, Depends(_paging)]
