"""Every line of docs/guarantees.md names tests, and every test that it names is one that runs."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

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


@pytest.mark.timeout(120)
def test_every_test_that_is_named_is_collected():
    named = sorted({test for row in guarantees() for test in TEST.findall(row)})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *named],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    collected = {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}
    assert set(named) <= collected
