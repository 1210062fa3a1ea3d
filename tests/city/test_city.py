"""Some cities, and what is asked of the simulation itself: the same seed is the same run.

`make sim` runs many; here are a few small ones, as quick as a unit test.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.city.city import run
from tests.city.site import Kind, Plan

# A process takes seconds to start, on a busy machine many.
pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).parents[2]
RECHARGES, METERS, BUSY_S = 25, 5, 100.0


def small(seed: int, **more: object) -> Plan:
    plan = {"seed": seed, "recharges": RECHARGES, "meters": METERS, "busy_s": BUSY_S, **more}
    return Plan(**plan)  # type: ignore[arg-type] # tests name the fields


def test_a_healthy_city_is_lit():
    outcome = run(small(1, kinds=frozenset()))
    assert not outcome.violations, outcome.stories
    assert not outcome.faults
    assert set(outcome.states) <= {"lit", "awaiting_button"}
    assert outcome.states.total() == outcome.recharges == RECHARGES
    assert outcome.events_told >= 3 * RECHARGES, "created, issued, and its end"


@pytest.mark.parametrize("seed", range(1, 4))
def test_nothing_is_lost_doubled_or_untrue(seed: int):
    outcome = run(small(seed))
    assert not outcome.violations, "\n".join(outcome.stories)
    assert outcome.faults.total() > 0
    assert outcome.recharges == RECHARGES


def test_every_kind_of_fault_happens_somewhere():
    outcome = run(small(5, all_kinds=True, busy_s=240.0))
    assert not outcome.violations, "\n".join(outcome.stories)
    assert len(outcome.faults) > len(Kind) // 2


def test_a_seed_is_the_same_run_whatever_the_order_of_hashes():
    first, second = (simulated(3, hashing=seed) for seed in ("1", "2"))
    assert first == second
    assert run(small(3)).hash == first != run(small(4)).hash


def simulated(seed: int, *, hashing: str) -> str:
    """The hash of a run's trace, from a process of its own."""
    options = f"--seed {seed} --recharges {RECHARGES} --meters {METERS} --busy {BUSY_S}"
    told = command(*options.split(), PYTHONHASHSEED=hashing)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout.rpartition("trace ")[2].strip()


def command(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    # What Python compiles is kept: it is started again and again.
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    variables: Mapping[str, str] = ours | environment
    return subprocess.run(
        [sys.executable, "-m", "tests.city.run", *arguments],
        check=False,
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_tells_its_figures():
    told = command("--seeds", "1", "--recharges", "5", "--without", "kill,clock", "--json")
    figures = json.loads(told.stdout)
    assert figures["recharges"] == 5
    assert figures["violations"] == {}
    assert "kill" not in figures["faults"]


def test_a_simulation_that_was_stopped_goes_on_where_it_was(tmp_path: Path):
    kept, of = tmp_path / "runs", ("--recharges", "5", "--meters", "3", "--json", "--jobs", "1")
    first = json.loads(command("--seeds", "1", *of, "--keep", str(kept)).stdout)
    both = json.loads(command("--seeds", "2", *of, "--keep", str(kept)).stdout)
    assert (first["recharges_kept"], both["recharges_kept"]) == (0, 5)
    assert both["recharges"] == 10
    assert len(kept.read_text().splitlines()) == 2
    again = json.loads(command("--seeds", "2", *of, "--keep", str(kept)).stdout)
    assert again["faults"] == both["faults"]
    assert again["states"] == both["states"]
    other = command("--seeds", "2", "--recharges", "6", "--keep", str(kept))
    assert other.returncode == 2
    assert "another plan" in other.stderr


def test_a_kind_of_fault_that_there_is_not_is_named():
    told = command("--without", "earthquake")
    assert told.returncode == 2
    assert "earthquake" in told.stderr
    assert "kill" in told.stderr
