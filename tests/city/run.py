"""Runs cities: `make sim`, `make sim SEED=123`, `make sim ARGS="--seeds 500 --json"`.

Seeds are spread over the cores. A seed that fails is told with its invariant, a story of the
meter concerned, and the command that does it again.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from tests.city.city import Outcome, run
from tests.city.kept import Kept, NotThese
from tests.city.site import Kind, Plan

SEEDS, RECHARGES, METERS, BUSY_S = 20, 300, 12, 200.0
PROGRESS_S = 5.0
STORIES = 3
RUNS_OF_A_PROCESS = 10


@dataclass
class Tally:
    """The figures of many runs."""

    runs: int = 0
    recharges: int = 0
    recharges_kept: int = 0
    virtual_s: float = 0.0
    elapsed_s: float = 0.0
    doubtful: int = 0
    events_told: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    failed_seeds: list[int] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.runs += 1
        self.recharges += outcome.recharges
        self.virtual_s += outcome.virtual_s
        self.doubtful += outcome.doubtful
        self.events_told += outcome.events_told
        self.faults.update({str(kind): count for kind, count in outcome.faults.items()})
        self.states.update(outcome.states)
        self.violations.update(one.invariant for one in outcome.violations)
        if outcome.violations:
            self.failed_seeds.append(outcome.plan.seed)

    @property
    def per_minute(self) -> float:
        return 60 * (self.recharges - self.recharges_kept) / max(self.elapsed_s, 1e-9)


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; 1 when an invariant was violated."""
    options = _parsed(arguments)
    plans = [_plan(options, seed) for seed in _seeds(options)]
    kept = Kept(options.keep) if options.keep else None
    try:
        done = kept.of(plans) if kept else []
    except NotThese as error:
        print(error, file=sys.stderr)
        return 2
    tally = Tally()
    for outcome in done:
        tally.add(outcome)
    tally.recharges_kept = tally.recharges
    for outcome in _told_as_they_end(plans, done, tally, options):
        tally.add(outcome)
        if kept:
            kept.add(outcome)
    figures = vars(tally) | {"per_minute": round(tally.per_minute)}
    print(json.dumps(figures) if options.json else _told(tally))
    if options.seed is not None and not options.json:
        print(f"trace {outcome.hash}")
    return 1 if tally.violations else 0


def _told_as_they_end(
    plans: Sequence[Plan], done: Sequence[Outcome], tally: Tally, options: argparse.Namespace
) -> Iterator[Outcome]:
    seeds_done = {outcome.plan.seed for outcome in done}
    began = told_at = time.perf_counter()
    stories = 0
    for outcome in _outcomes([plan for plan in plans if plan.seed not in seeds_done], options.jobs):
        yield outcome
        tally.elapsed_s = time.perf_counter() - began
        if outcome.violations and stories < STORIES and not options.json:
            stories += 1
            print(_report(outcome, options))
        if time.perf_counter() - told_at > PROGRESS_S and not options.json:
            told_at = time.perf_counter()
            print(_progress(tally, len(plans)), file=sys.stderr, flush=True)


def _outcomes(plans: Sequence[Plan], jobs: int) -> Iterator[Outcome]:
    if jobs == 1 or len(plans) == 1:
        yield from map(run, plans)
        return
    # What a run leaves behind is not kept for the next ones for ever.
    with get_context("spawn").Pool(jobs, maxtasksperchild=RUNS_OF_A_PROCESS) as pool:
        yield from pool.imap_unordered(run, plans)


def _seeds(options: argparse.Namespace) -> Sequence[int]:
    if options.seed is not None:
        return [options.seed]
    return range(options.first, options.first + options.seeds)


def _plan(options: argparse.Namespace, seed: int) -> Plan:
    kinds = frozenset(options.only or Kind) - frozenset(options.without)
    return Plan(
        seed=seed,
        recharges=options.recharges,
        meters=options.meters,
        busy_s=options.busy,
        kinds=kinds,
        all_kinds=bool(options.only),
    )


def shrunk(outcome: Outcome) -> Plan:
    """The same seed with as few kinds of faults as still violate the same invariant."""
    wanted = outcome.violations[0].invariant
    plan = outcome.plan
    for kind in sorted(plan.happening()):
        less = replace(plan, kinds=plan.kinds - {kind})
        if any(one.invariant == wanted for one in run(less).violations):
            plan = less
    return plan


def _report(outcome: Outcome, options: argparse.Namespace) -> str:
    lines = [f"seed {outcome.plan.seed} violates:"]
    lines += [
        f"  {one.invariant}: {one.detail} (meter {one.drn or '-'})" for one in outcome.violations
    ]
    lines += ["", outcome.stories[0], ""]
    plan = outcome.plan
    again = [f"--recharges {plan.recharges}"] if plan.recharges != RECHARGES else []
    again += [f"--meters {plan.meters}"] if plan.meters != METERS else []
    again += [f"--busy {plan.busy_s:g}"] if plan.busy_s != BUSY_S else []
    if options.shrink:
        plan = shrunk(outcome)
        lines.append(f"needed: {', '.join(sorted(plan.happening()))}")
    if missing := sorted(frozenset(Kind) - plan.kinds):
        again.append(f"--without {','.join(missing)}")
    arguments = f' ARGS="{" ".join(again)}"' if again else ""
    lines.append(f"again: make sim SEED={plan.seed}{arguments}")
    return "\n".join(lines)


def _progress(tally: Tally, runs: int) -> str:
    return (
        f"{tally.runs} of {runs} runs, {tally.recharges} recharges,"
        f" {tally.per_minute:.0f} a minute, {tally.violations.total()} violations"
    )


def _told(tally: Tally) -> str:
    took = f"{tally.elapsed_s:.1f} s: {tally.per_minute:.0f} a minute"
    lines = [
        f"{tally.runs} runs, {tally.recharges} recharges in {took}",
        f"time in the cities: {tally.virtual_s / 3600:.1f} h",
        f"faults injected, {tally.faults.total()}: {_counts(tally.faults)}",
        f"ended as: {_counts(tally.states)}",
        f"events that the back-office has: {tally.events_told}",
        f"said to be in by 'used' alone, and not in: {tally.doubtful}",
        f"violations, {tally.violations.total()}: {_counts(tally.violations) or 'none'}",
    ]
    if tally.failed_seeds:
        lines.append(f"seeds that failed: {' '.join(map(str, tally.failed_seeds[:40]))}")
    return "\n".join(lines)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make sim",
        description="Simulate cities with faults of every kind, and judge what the head-end says.",
        epilog='For example: make sim SEED=7, or make sim ARGS="--seeds 500 --without clock,kill"',
    )
    add = parser.add_argument
    add("--seed", type=int, help="run this one only")
    add("--seeds", type=int, default=SEEDS, help=f"how many seeds (else {SEEDS})")
    add("--first", type=int, default=1, help="the first of them (else 1)")
    add("--recharges", type=int, default=RECHARGES, help=f"in each run (else {RECHARGES})")
    add("--meters", type=int, default=METERS, help=f"in each city (else {METERS})")
    add("--busy", type=float, default=BUSY_S, help=f"seconds of sales (else {BUSY_S:.0f})")
    add("--without", type=_kinds, default=(), help="leave out kinds of faults: kill,clock")
    add("--only", type=_kinds, help=f"all of these kinds and no others: {','.join(Kind)}")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="processes (else one a core)")
    add("--shrink", action="store_true", help="find out which kinds a failure needs (slow)")
    add("--keep", type=Path, help="keep each run in this file; begun again, it goes on there")
    add("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(arguments)


def _kinds(text: str) -> tuple[Kind, ...]:
    try:
        return tuple(Kind(one) for one in text.split(",") if one)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; there are {', '.join(Kind)}") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
