"""Preconditions: ETag and If-Match (RFC 9110, 13.1), where the ETag is the version of a record."""

import re
from typing import Annotated

from fastapi import Header, Response

from api.problems import PreconditionRequired
from headend.refusals import VersionDiffers

IfMatch = Annotated[
    str | None,
    Header(description='The ETag of what you read, such as "3".', max_length=200),
]
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')


def mark(response: Response, version: int) -> None:
    """Say which version the answer shows."""
    response.headers["ETag"] = _etag(version)


def mark_put(response: Response, version: int) -> None:
    """The same for a PUT, whose first version is 201 Created."""
    mark(response, version)
    response.status_code = 201 if version == 1 else 200


def require_match(if_match: str | None, version: int) -> None:
    """Raises PreconditionRequired without If-Match, VersionDiffers when it is another version."""
    if if_match is None:
        raise PreconditionRequired(f"read it, then send If-Match with its ETag {_etag(version)}")
    if if_match.strip() == "*":
        return
    # A weak tag never matches here (RFC 9110, 8.8.3.2).
    strong = {tag for weak, tag in _TAG.findall(if_match) if not weak}
    if str(version) not in strong:
        raise VersionDiffers(f"it is at version {version} by now: read it again", field="If-Match")


def replaced_version(known: int | None, if_match: str | None) -> int | None:
    """The version that a PUT replaces, None when it makes something new.

    Raises PreconditionRequired, VersionDiffers.
    """
    if known is not None:
        require_match(if_match, known)
    elif if_match is not None:
        raise VersionDiffers("it does not exist; leave If-Match out to make it", field="If-Match")
    return known


def _etag(version: int) -> str:
    return f'"{version}"'
