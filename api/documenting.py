"""Documenting problems: each error answer of a route, with an example, in the OpenAPI."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TypeAlias

from api.problems import EVERYWHERE, MEDIA_TYPE, URN, WITH_BODY, Problem
from headend.refusals import OrderRefused

Explained: TypeAlias = type[Problem] | type[OrderRefused]
Json: TypeAlias = "str | int | bool | list[Json] | Mapping[str, Json]"
Responses: TypeAlias = dict[int | str, dict[str, object]]

SCHEMA_NAME = "Problem"
SCHEMA: Mapping[str, Json] = {
    "title": SCHEMA_NAME,
    "description": "Problem details (RFC 9457). `type` is stable; build on it, not on texts.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong and what to do."},
        "field": {"type": "string", "description": "The first member or parameter it is about."},
        "approval": {
            "type": "string",
            "description": "The approval that waits for a second person.",
        },
        "reason": {"type": "string", "description": "Why a reversal needs a credit note."},
        "errors": {
            "type": "array",
            "description": "Every fault that was found in the request.",
            "items": {
                "type": "object",
                "required": ["in", "detail"],
                "properties": {
                    "in": {"type": "string"},
                    "pointer": {"type": "string", "description": "JSON pointer into the body."},
                    "name": {"type": "string", "description": "Name of the parameter."},
                    "line": {"type": "integer", "description": "Line of the file, from 1."},
                    "column": {"type": "string", "description": "Member or column of the line."},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_EXAMPLE_MORE: Mapping[str, Mapping[str, Json]] = {
    "invalid-request": {
        "field": "amount.value",
        "errors": [
            {"in": "body", "pointer": "#/amount/value", "detail": "Input should be a valid string"}
        ],
    },
    "approval-required": {"approval": "01JN4Z8VQ3M7T2KX9B5C6D1EFG"},
    "job-file-refused": {
        "errors": [{"in": "body", "line": 9999, "column": "meter", "detail": "a meter number is"}]
    },
    "credit-note-required": {"reason": "handed_over"},
    "recharge-differs": {"field": "amount"},
    "malformed-token": {"field": "tokens.0"},
}


def explained(*problems: Explained, body: bool = False, also: Responses | None = None) -> Responses:
    """The `responses` of a route: these problems, and those of every route (with a `body`).

    `also` are further answers, which win over problems of the same status.
    """
    by_status: dict[int, list[Explained]] = defaultdict(list)
    for problem in (*problems, *EVERYWHERE, *(WITH_BODY if body else ())):
        by_status[problem.status].append(problem)
    told: Responses = {status: _response(by_status[status]) for status in sorted(by_status)}
    return told | (also or {})


def _response(problems: list[Explained]) -> dict[str, object]:
    examples = {problem.slug: {"value": example(problem)} for problem in problems}
    return {
        "description": "; ".join(problem.title for problem in problems),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": f"#/components/schemas/{SCHEMA_NAME}"},
                "examples": examples,
            }
        },
    }


def example(problem: Explained) -> Mapping[str, Json]:
    """A problem document as a caller would get it."""
    return {
        "type": URN + problem.slug,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.title,
        **_EXAMPLE_MORE.get(problem.slug, {}),
    }
