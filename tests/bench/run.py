"""Runs the benches beside it and prints their figures: `python -m tests.bench.run --help`.

A bench is a module `bench_<subject>.py` with a function `measure(seconds)` that works for about so
long and yields its figures. Rates of a busy machine can be off by half: compare figures of one run.
"""

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench.figures import Figure

PREFIX = "bench_"
FOLDER = Path(__file__).parent
SECONDS = 2.0


def subjects() -> list[str]:
    """Return what can be measured."""
    return sorted(path.stem.removeprefix(PREFIX) for path in FOLDER.glob(f"{PREFIX}*.py"))


def measure(subject: str, seconds: float) -> Iterator[Figure]:
    """Run one bench, yielding each figure as soon as it is known."""
    module = importlib.import_module(f"tests.bench.{PREFIX}{subject}")
    yield from module.measure(seconds)


def machine() -> str:
    """Return what the figures depend on."""
    cores = os.cpu_count()
    return f"Python {platform.python_version()}, {platform.machine()}, {cores} cores"


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="Measure what a head-end on this machine can carry.",
        epilog='For example: make bench ARGS="sts --seconds 5"',
    )
    parser.add_argument(
        "subject", nargs="*", help=f"what to measure: {', '.join(subjects())}; else all of it"
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="how long a figure is measured"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if unknown := set(options.subject) - set(subjects()):
        parser.error(f"no bench for {', '.join(sorted(unknown))}; try {', '.join(subjects())}")
    return options


def main(arguments: Sequence[str]) -> None:
    options = parsed(arguments)
    chosen = options.subject or subjects()
    figures = (figure for subject in chosen for figure in measure(subject, options.seconds))
    if options.json:
        print(json.dumps({"machine": machine(), "figures": [asdict(one) for one in figures]}))
        return
    print(machine())
    for figure in figures:
        print(figure, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
