"""The runs of a long simulation, kept in a file as they end, so that it can stop and go on."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tests.city.city import Outcome
from tests.city.site import Plan

OUTCOME = TypeAdapter(Outcome)


class NotThese(Exception):
    """The file holds something else, or runs of other plans."""


class Kept:
    """One line of JSON a run. Whether the code has changed since, the reader must know."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Outcome]:
        """Every run that is kept; `NotThese` when a line is none."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        for number, line in enumerate(lines, start=1):
            try:
                yield OUTCOME.validate_json(line)
            except ValidationError as error:
                raise NotThese(f"{self._path}:{number}: not a run of a city") from error

    def of(self, plans: Sequence[Plan]) -> list[Outcome]:
        """The runs of these plans; `NotThese` when one is of another."""
        runs, known = list(self), set(plans)
        if other := [run.plan.seed for run in runs if run.plan not in known]:
            raise NotThese(f"{self._path}: seed {other[0]} ran by another plan; name a new file")
        return runs

    def add(self, run: Outcome) -> None:
        """Keep a run that has ended."""
        with self._path.open("a") as file:
            file.write(OUTCOME.dump_json(run).decode() + "\n")
