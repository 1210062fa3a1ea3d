"""Every line of docs/guarantees.md names tests, and every test that it names is one that runs."""

import ast
import re
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "guarantees.md"
TEST = re.compile(r"`(tests/[\w/]+\.py::test_\w+)`")
FAILURES = (
    "process is killed",
    "database",
    "broker",
    "line is cut",
    "One message provider",
    "All message providers",
    "security module",
    "clock jumps",
    "meter is dead",
    "half-dead",
    "Receipts lie",
)


def guarantees() -> Sequence[str]:
    """The lines of the tables, without their heads."""
    rows = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("|")]
    return [row for row in rows if not row.startswith(("|--", "| what holds |"))]


def test_every_guarantee_names_a_test():
    assert len(guarantees()) > 30
    assert [row for row in guarantees() if not TEST.search(row)] == []


def test_every_failure_has_its_lines():
    headings = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("##")]
    assert [failure for failure in FAILURES if not any(failure in one for one in headings)] == []


def test_every_test_that_is_named_is_there():
    named = sorted({test for row in guarantees() for test in TEST.findall(row)})
    assert [test for test in named if not is_there(*test.split("::"))] == []


def is_there(file: str, name: str) -> bool:
    """Whether pytest would collect it: a function of the file itself, in a file of tests."""
    path = ROOT / file
    if not path.name.startswith("test_") or not path.is_file():
        return False
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    body = ast.parse(path.read_text("utf-8")).body
    return any(isinstance(one, functions) and one.name == name for one in body)
