"""Calls of `headend sts` as a person makes them, and the published vectors to compare with."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from api.cli import app

VECTORS = Path(__file__).parents[1] / "protocols" / "sts" / "vectors" / "sts.json"
PUBLISHED = {record["id"]: record for record in json.loads(VECTORS.read_text())["vectors"]}

PAN = "600727000000000009"
TEST_KEY_HEX = "ABABABABABABABAB949494949494949401234567"
CHECK = ["--meter", PAN, "--sgc", "201457", "--krn", "1", "--ti", "1", "--rnd", "5"]
TESTED = [*CHECK, "--test-key"]
FIRST = ["--time", "2014-03-01T13:00:00"]


def sts(*arguments: str, env: dict[str, str] | None = None, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, ["sts", *arguments], env=env, input=typed)


def refusal(*arguments: str, env: dict[str, str] | None = None) -> str:
    result = sts(*arguments, env=env)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr
