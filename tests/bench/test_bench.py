"""The bench runs: figures are measured, a wrong name is refused with the right ones."""

import json
import time

import pytest

from tests.bench import run
from tests.bench.figures import Figure


def test_a_figure_counts_the_work_done_in_its_time():
    figure = Figure.of("sleep a millisecond", lambda: time.sleep(0.001), seconds=0.05)
    assert 100 < figure.per_second <= 1000
    assert figure.cpu_us < 1000


@pytest.mark.timeout(300)  # head-ends and their meters are started, again and again
def test_every_bench_yields_figures(capsys: pytest.CaptureFixture[str]):
    run.main(["--json", "--seconds", "0.001"])
    found = json.loads(capsys.readouterr().out)
    assert "Python" in found["machine"]
    assert len(found["figures"]) >= len(run.subjects())
    assert all(figure["per_second"] > 0 for figure in found["figures"])


def test_an_unknown_subject_is_told_the_known_ones(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as refused:
        run.main(["telepathy"])
    assert refused.value.code == 2
    told = capsys.readouterr().err
    assert "no bench for telepathy" in told
    assert all(subject in told for subject in run.subjects())
