"""The OpenAPI tells the truth: examples fit, enumerations may grow, and no request breaks us."""

import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from api.head_end import HeadEnd
from tests.api.office import DRN, Office
from tests.api.running import a_running_head_end

TWENTY = re.compile(r"\d{20}")
FAKE = "9" * 20


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with a_running_head_end(tmp_path_factory.mktemp("served")) as served:
        yield served


# The document needs no head-end behind it.
DOCUMENT = create_app(cast(HeadEnd, SimpleNamespace(store=None, clock=None))).openapi()
INTERFACE = schemathesis.openapi.from_dict(DOCUMENT)
# A stream never ends by itself; test_streams.py reads it.
STREAM = "/v1/events/stream"
EVERY = [result.ok() for result in INTERFACE.get_all_operations() if isinstance(result, Ok)]
OPERATIONS = [one for one in EVERY if one.path != STREAM]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("known", [False, True], ids=["anything", "known meter"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
def test_no_request_breaks_the_interface(
    operation: Any, known: bool, served: tuple[str, str]
) -> None:
    url, key = served

    @given(case=operation.as_strategy())
    @settings(
        max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    def ask(case: Any) -> None:
        if known:
            aim_at_the_known_meter(case)
        case.call_and_validate(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            checks=[
                # That something is not well is a health route's answer, not its failure.
                *([] if operation.path.startswith("/v1/health") else [not_a_server_error]),
                status_code_conformance,
                content_type_conformance,
                response_schema_conformance,
            ],
        )

    ask()


def aim_at_the_known_meter(case: Any) -> None:
    """Random numbers never end in their check digit: let some requests get beyond it."""
    if "drn" in (case.path_parameters or {}):
        case.path_parameters["drn"] = DRN
    if isinstance(case.body, dict) and isinstance(case.body.get("meter"), str):
        case.body["meter"] = DRN


def test_all_operations_are_tried() -> None:
    assert len(OPERATIONS) + 1 == sum(len(verbs) for verbs in DOCUMENT["paths"].values())


def test_every_example_fits_its_schema() -> None:
    count = 0
    for place, part in parts(DOCUMENT):
        if isinstance(part, dict) and "schema" in part and "examples" in part:
            for example in part["examples"].values():
                check(part["schema"], example["value"], place)
                count += 1
        elif isinstance(part, dict) and isinstance(part.get("examples"), list) and "type" in part:
            for value in part["examples"]:
                check({name: it for name, it in part.items() if name != "examples"}, value, place)
                count += 1
    assert count > 200


def test_digits_in_examples_are_no_token() -> None:
    assert set(TWENTY.findall(json.dumps(DOCUMENT))) == {FAKE}
    assert int(FAKE) >= 2**66


def test_enumerations_in_answers_are_open_to_growth() -> None:
    told = [name for name in DOCUMENT["components"]["schemas"] if name.endswith(("Told", "Listed"))]
    assert len(told) > 15
    for name in told:
        for place, part in parts(DOCUMENT["components"]["schemas"][name]):
            assert not (isinstance(part, dict) and "enum" in part), f"{name} {place}"
    state = DOCUMENT["components"]["schemas"]["RechargeTold"]["properties"]["state"]
    assert {"lit", "dark", "unresolved"} <= set(state["x-extensible-enum"])


def test_every_route_tells_its_errors_and_its_key() -> None:
    for path, verbs in DOCUMENT["paths"].items():
        for verb, operation in verbs.items():
            assert operation["summary"], (verb, path)
            if not path.startswith("/v1/"):
                assert "security" not in operation
                continue
            assert operation["security"] == [{"api_key": []}]
            wanted = {"401", "403", "422", "500", "503"}
            assert wanted <= operation["responses"].keys(), (verb, path)
            for status, answer in operation["responses"].items():
                kinds = set(answer.get("content", {}))
                if status in ("200", "201", "202") or path.startswith("/v1/health"):
                    continue
                assert kinds == {"application/problem+json"}, (verb, path, status)


async def test_the_reference_is_a_page_that_fetches_nothing(office: Office) -> None:
    async with office.with_key(None) as reader:
        page = await reader.get("/docs")
    assert page.status_code == 200
    assert "/v1/recharges/{id}/reversal" in page.text
    assert "credit-note-required" in page.text
    assert "RechargeAsked" in page.text
    assert not re.search(r"<script|<link|<img|src=|@import", page.text)


def parts(node: Any, place: str = "#") -> Iterator[tuple[str, Any]]:
    yield place, node
    if isinstance(node, dict):
        for name, part in node.items():
            yield from parts(part, f"{place}/{name}")
    elif isinstance(node, list):
        for number, part in enumerate(node):
            yield from parts(part, f"{place}/{number}")


def check(schema: dict[str, Any], value: Any, place: str) -> None:
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
    whole["components"] = DOCUMENT["components"]
    validator = jsonschema_rs.validator_for(whole)
    assert validator.is_valid(value), f"{place}: {value!r}"
