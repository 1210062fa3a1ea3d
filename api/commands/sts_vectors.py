"""A file of test vectors, run: what passed, what failed and how, what could not be checked.

Nothing is skipped. A record that cannot be checked at all makes the whole run a misuse; one of EA07
that needs tables we do not have counts as not passed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from protocols.sts.errors import RangeError
from protocols.sts.sta import StaTables
from protocols.sts.vectors import Outcome, VectorError, Verdict, check, records

ALL_PASSED, SOME_DID_NOT, CANNOT_BE_CHECKED = 0, 1, 2
SHOWN_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Report:
    """How a file fared. ``problems`` are the records that nobody could check."""

    outcomes: Sequence[Outcome]
    problems: Sequence[VectorError]
    tables: StaTables | None

    @property
    def status(self) -> int:
        """Exit status: 0 if everything passed, 1 if not, 2 if the file asks what we do not know."""
        if self.problems:
            return CANNOT_BE_CHECKED
        return ALL_PASSED if all(outcome.ok for outcome in self.outcomes) else SOME_DID_NOT

    def those(self, verdict: Verdict) -> list[Outcome]:
        """The records that ended so."""
        return [outcome for outcome in self.outcomes if outcome.verdict is verdict]

    def counts(self) -> dict[str, dict[Verdict, int]]:
        """By kind, how many records ended how."""
        counts: dict[str, dict[Verdict, int]] = {}
        for outcome in sorted(self.outcomes, key=lambda outcome: outcome.kind):
            of_kind = counts.setdefault(outcome.kind, dict.fromkeys(Verdict, 0))
            of_kind[outcome.verdict] += 1
        return counts


def listed(document: object) -> Sequence[Mapping[str, object]]:
    """The records of a vector file; a file without any proves nothing and is refused."""
    found = records(document)
    if not found:
        raise RangeError("vectors", "is empty: there is nothing to check")
    return found


def run(found: Iterable[Mapping[str, object]], tables: StaTables | None) -> Report:
    """Check every record; one that is malformed stops none of the others."""
    outcomes: list[Outcome] = []
    problems: list[VectorError] = []
    for record in found:
        try:
            outcomes.append(_told(record, check(record, tables)))
        except VectorError as problem:
            problems.append(problem)
    return Report(outcomes, problems, tables)


def lines_of(report: Report) -> Iterator[str]:
    """The report as text, failures last and therefore in sight."""
    counts = report.counts()
    width = max((len(kind) for kind in counts), default=4)
    yield f"{'kind':<{width}}  {'passed':>7}  {'failed':>7}  {'no tables':>9}"
    for kind, of_kind in counts.items():
        yield _line(kind, of_kind, width)
    yield _line("all", {verdict: len(report.those(verdict)) for verdict in Verdict}, width)
    for outcome in report.those(Verdict.FAILED):
        yield from _failure_lines(outcome)
    if waiting := report.those(Verdict.NEEDS_TABLES):
        yield ""
        yield f"{len(waiting)} need the licensed EA07 tables (--ea07-tables FILE); all else agrees:"
        yield from (f"  {outcome.id}" for outcome in waiting)
    for outcome in report.outcomes:
        if outcome.detail and outcome.ok:
            yield f"note: {outcome.id}: {outcome.detail}"


def problem_lines(report: Report) -> Iterator[str]:
    """The records that could not be checked, with the field at fault."""
    for problem in report.problems[:SHOWN_PROBLEMS]:
        yield f"error: {problem}"
    if (more := len(report.problems) - SHOWN_PROBLEMS) > 0:
        yield f"error: and {more} more records like these"
    if report.problems:
        yield f"{len(report.problems)} of the file's records cannot be checked; mend the file"


def as_json(report: Report) -> dict[str, object]:
    """The report as one object."""
    tables = report.tables
    return {
        "status": report.status,
        "ea07_tables": tables and {"name": tables.name, "sha256": tables.fingerprint},
        "passed": len(report.those(Verdict.PASSED)),
        "failed": len(report.those(Verdict.FAILED)),
        "needs_tables": len(report.those(Verdict.NEEDS_TABLES)),
        "cannot_be_checked": len(report.problems),
        "kinds": {
            kind: {verdict.name.lower(): count for verdict, count in of_kind.items()}
            for kind, of_kind in report.counts().items()
        },
        "failures": [_failure(outcome) for outcome in report.those(Verdict.FAILED)],
        "waiting_for_tables": [outcome.id for outcome in report.those(Verdict.NEEDS_TABLES)],
        "notes": [
            {"id": outcome.id, "note": outcome.detail}
            for outcome in report.outcomes
            if outcome.detail and outcome.ok
        ],
        "problems": [
            {"field": problem.field, "problem": problem.problem} for problem in report.problems
        ],
    }


def _told(record: Mapping[str, object], outcome: Outcome) -> Outcome:
    """The outcome; where our code refused the record, beside what the record expects."""
    expected = record.get("expected")
    if outcome.got or not isinstance(expected, Mapping):
        return outcome
    told = {str(name): str(value) for name, value in expected.items()}
    return replace(outcome, got=dict.fromkeys(told, "refused"), expected=told)


def _line(kind: str, counts: Mapping[Verdict, int], width: int) -> str:
    passed, failed = counts[Verdict.PASSED], counts[Verdict.FAILED]
    return f"{kind:<{width}}  {passed:>7}  {failed:>7}  {counts[Verdict.NEEDS_TABLES]:>9}"


def _failure_lines(outcome: Outcome) -> Iterator[str]:
    yield ""
    yield f"FAILED {outcome.id} ({outcome.kind}): {outcome.detail}"
    for name, (got, expected) in _differences(outcome).items():
        yield f"  {name}"
        yield f"    got       {got}"
        yield f"    expected  {expected}"


def _failure(outcome: Outcome) -> dict[str, object]:
    differences = _differences(outcome)
    return {
        "id": outcome.id,
        "kind": outcome.kind,
        "detail": outcome.detail,
        "got": {name: got for name, (got, _) in differences.items()},
        "expected": {name: expected for name, (_, expected) in differences.items()},
    }


def _differences(outcome: Outcome) -> dict[str, tuple[str, str]]:
    return {
        name: (got, outcome.expected[name])
        for name, got in outcome.got.items()
        if got.lower() != outcome.expected[name].lower()
    }
