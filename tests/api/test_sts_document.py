"""docs/sts.md shows what `headend sts` prints, to the letter."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.api.sts_calls import sts

DOCUMENT = Path(__file__).parents[2] / "docs" / "sts.md"
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall(DOCUMENT.read_text())
SHOWN = [block for block in BLOCKS if block.startswith("$ headend sts ")]


def test_the_document_has_its_examples():
    assert len(SHOWN) == 5
    assert sum("--explain" in block for block in SHOWN) == 1


@pytest.mark.parametrize("block", SHOWN, ids=lambda block: block.split()[3])
def test_an_example_is_what_the_command_prints(block: str):
    command, printed = re.split(r"(?<!\\)\n", block, maxsplit=1)
    _, _, _, *arguments = shlex.split(command.replace("\\\n", " "))
    result = sts(*arguments)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert printed == result.stdout


def test_the_vector_shown_passes(tmp_path: Path):
    [vector] = [block for block in BLOCKS if block.startswith('{"vectors"')]
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(json.loads(vector)))
    assert sts("vectors", str(file)).exit_code == 0
