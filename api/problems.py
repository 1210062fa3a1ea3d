"""Problems: every error answer as RFC 9457 `application/problem+json`, with a type that stays.

`type` is `urn:headend:problem:<slug>`. No answer repeats what the caller sent, except names of
fields, and those are masked: a token in the wrong place must not come back as an error.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import compile_path

from api.masking import masked
from headend.errors import ModuleDown, Stale, StoreDown
from headend.refusals import ApprovalRequired, CreditNoteRequired, OrderRefused

MEDIA_TYPE = "application/problem+json"
URN = "urn:headend:problem:"
MAX_ERRORS = 20
RETRY_AFTER_S = {429: 600, 503: 5}


class Problem(Exception):
    """Something about the request itself that has nothing to do with meters."""

    slug: ClassVar[str]
    title: ClassVar[str]
    status: ClassVar[int]
    retry_after_s: ClassVar[int | None] = None

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class InvalidRequest(Problem):
    slug = "invalid-request"
    title = "The request is not as described"
    status = 422


class JobFileRefused(Problem):
    """`faults` are those told, each with its line and column."""

    slug = "job-file-refused"
    title = "The file of the job has bad lines"
    status = 422

    def __init__(self, detail: str, faults: Sequence[Mapping[str, object]] = ()) -> None:
        super().__init__(detail)
        self.faults = faults


class MalformedJson(Problem):
    slug = "malformed-json"
    title = "The body is no JSON"
    status = 400


class Unauthenticated(Problem):
    slug = "unauthenticated"
    title = "Bring a valid API key"
    status = 401


class Forbidden(Problem):
    slug = "scope-missing"
    title = "The API key lacks the scope"
    status = 403


class PersonRequired(Problem):
    slug = "person-required"
    title = "Only a named person decides this"
    status = 403


class KeyRequired(Problem):
    slug = "api-key-required"
    title = "This needs an API key"
    status = 403


class NotFound(Problem):
    slug = "not-found"
    title = "Nothing is here"
    status = 404


class UnreadableReceipt(Problem):
    slug = "unreadable-receipt"
    title = "This is not a receipt as the settings describe it"
    status = 400


class MethodNotAllowed(Problem):
    slug = "method-not-allowed"
    title = "This method has no meaning here"
    status = 405


class ChangedMeanwhile(Problem):
    slug = "changed-meanwhile"
    title = "Somebody else changed it at the same moment"
    status = 409


class BodyTooLarge(Problem):
    slug = "body-too-large"
    title = "The body is too large"
    status = 413


class UnsupportedMediaType(Problem):
    slug = "unsupported-media-type"
    title = "The body must be JSON"
    status = 415


class PreconditionRequired(Problem):
    slug = "precondition-required"
    title = "Send If-Match with the ETag you read"
    status = 428


class Internal(Problem):
    slug = "internal-error"
    title = "A fault of ours"
    status = 500


class TooSlow(Problem):
    slug = "too-slow"
    title = "The answer took too long"
    status = 503


class TooBusy(Problem):
    slug = "too-busy"
    title = "Too many requests at once"
    status = 503


class TooManyOfKey(Problem):
    slug = "too-many-at-once"
    title = "This API key has too many of these at once"
    status = 429
    retry_after_s = 5


class StoreUnreachable(Problem):
    slug = "store-down"
    title = "The database cannot be reached"
    status = 503


class ModuleUnreachable(Problem):
    slug = "security-module-down"
    title = "The security module cannot be asked"
    status = 503


# What every route may answer, whatever it does.
EVERYWHERE: tuple[type[Problem], ...] = (
    InvalidRequest,
    Unauthenticated,
    Forbidden,
    PersonRequired,
    KeyRequired,
    Internal,
    TooSlow,
    TooBusy,
    StoreUnreachable,
)
# What every route that takes a body may answer.
WITH_BODY: tuple[type[Problem], ...] = (
    MalformedJson,
    BodyTooLarge,
    UnsupportedMediaType,
    ChangedMeanwhile,
)


def problem_answer(
    problem: Problem | OrderRefused, extra: Mapping[str, object] | None = None
) -> JSONResponse:
    """The answer for a problem; `extra` are further members of the document."""
    document: dict[str, object] = {
        "type": URN + problem.slug,
        "title": problem.title,
        "status": problem.status,
        "detail": masked(problem.detail),
    }
    if problem.field is not None:
        document["field"] = masked(problem.field)
    document.update(extra or {})
    headers = {}
    retry_s = problem.retry_after_s if isinstance(problem, Problem) else None
    if retry_s is not None or problem.status in RETRY_AFTER_S:
        headers["Retry-After"] = str(retry_s or RETRY_AFTER_S[problem.status])
    if problem.status == Unauthenticated.status:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        document, status_code=problem.status, headers=headers, media_type=MEDIA_TYPE
    )


def explain_errors(app: FastAPI) -> None:
    """Let every error of the routes end as a problem."""
    app.add_exception_handler(OrderRefused, _refused)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(StoreDown, _store_down)
    app.add_exception_handler(ModuleDown, _module_down)
    app.add_exception_handler(Stale, _stale)
    app.add_exception_handler(Exception, _internal)


def store_down() -> StoreUnreachable:
    return StoreUnreachable("nothing was stored; send the same request again")


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OrderRefused)
    extra = {"reason": error.reason} if isinstance(error, CreditNoteRequired) else None
    if not isinstance(error, ApprovalRequired):
        return problem_answer(error, extra)
    answer = problem_answer(error, {"approval": error.approval})
    answer.headers["Location"] = f"/v1/approvals/{error.approval}"
    return answer


async def _problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    extra = {"errors": list(error.faults)} if isinstance(error, JobFileRefused) else None
    return problem_answer(error, extra)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return problem_answer(MalformedJson("the body cannot be read as JSON"))
    places = [_place(fault["loc"], error.body) for fault in faults[:MAX_ERRORS]]
    told = [_fault(place, fault["msg"]) for place, fault in zip(places, faults, strict=False)]
    first = told[0]
    field = ".".join(str(part) for part in places[0][1:])
    problem = InvalidRequest(
        f"{first.get('pointer') or first.get('name')}: {first['detail']}", field=field
    )
    return problem_answer(problem, {"errors": told})


def _place(loc: Sequence[str | int], body: object) -> Sequence[str | int]:
    """The place without the tags of unions, which stand in it but not in the body."""
    if loc[0] != "body":
        return loc
    place: list[str | int] = [loc[0]]
    node = body
    for number, part in enumerate(loc[1:], start=2):
        if isinstance(node, Mapping) and number < len(loc) and _is_tag(part, node):
            continue
        place.append(part)
        if isinstance(node, Mapping):
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
    return place


def _is_tag(part: str | int, node: Mapping[object, object]) -> bool:
    return part not in node or part == node.get("kind")


def _fault(loc: Sequence[str | int], message: str) -> dict[str, str]:
    """Where (JSON pointer in the body, else the name of the parameter) and why; never what."""
    place = str(loc[0])
    if place == "body":
        pointer = "#/" + "/".join(
            str(part).replace("~", "~0").replace("/", "~1") for part in loc[1:]
        )
        return {"in": "body", "pointer": masked(pointer)[:200], "detail": masked(message)[:300]}
    name = str(loc[1]) if len(loc) > 1 else ""
    return {"in": place, "name": masked(name)[:100], "detail": masked(message)[:300]}


_OF_STATUS: Mapping[int, Problem] = {
    400: MalformedJson("the body cannot be read as JSON"),
    404: NotFound("no such resource; the documentation lists all paths under /docs"),
    405: MethodNotAllowed("the Allow header names the methods of this resource"),
}


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    known = _OF_STATUS.get(error.status_code)
    answer = problem_answer(known or Internal("the request could not be answered"))
    answer.headers.update(error.headers or {})
    if error.status_code == MethodNotAllowed.status:
        answer.headers["Allow"] = _allowed(request, answer.headers.get("Allow", ""))
    return answer


def _allowed(request: Request, first: str) -> str:
    """All methods of a resource; the framework names those of one of its routes only."""
    for template, verbs in request.app.openapi()["paths"].items():
        if compile_path(template)[0].match(request.url.path):
            return ", ".join(sorted(verb.upper() for verb in verbs))
    return first


async def _store_down(_request: Request, _error: Exception) -> JSONResponse:
    return problem_answer(store_down())


async def _module_down(_request: Request, _error: Exception) -> JSONResponse:
    return problem_answer(ModuleUnreachable("no token can be made now; try again later"))


async def _stale(_request: Request, _error: Exception) -> JSONResponse:
    return problem_answer(ChangedMeanwhile("read it again and repeat the request"))


async def _internal(_request: Request, _error: Exception) -> JSONResponse:
    return problem_answer(Internal("the fault is in our log; a repeat with the same id is safe"))
