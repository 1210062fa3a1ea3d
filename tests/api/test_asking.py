"""Commands that ask a head-end through REST, against one that serves on a real port."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from api.cli import app
from api.logs import configure_logs
from tests.api.office import DRN
from tests.api.orders import NEXT
from tests.api.running import a_running_head_end

Headend = Callable[..., Result]
TWENTY = re.compile(r"\d{20}")
COMMANDS = [
    ["recharge"],
    ["recharges", "replace"],
    ["keychange", "order"],
    ["keychange", "show"],
    ["engineering", "order"],
    ["engineering", "show"],
    ["tokens", "verify"],
    ["deliveries", "show"],
    ["deliveries", "confirm"],
    ["deliveries", "ask"],
    ["deliveries", "withdraw"],
]


@pytest.fixture(scope="module")
def headend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headend]:
    # It runs in this process: its log must not stand among the answers of the commands.
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logs(level="INFO", stream=io.StringIO())
    with a_running_head_end(tmp_path_factory.mktemp("asked")) as (url, key):
        environment = {"HEADEND_URL": url, "HEADEND_KEY": key}
        yield lambda *words: CliRunner().invoke(app, list(words), env=environment)
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_helps_with_an_example(command):
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert f"Example: headend {' '.join(command)}" in result.stdout
    assert "--json" in result.stdout


def test_a_key_change_is_of_something(headend: Headend):
    result = headend("keychange", "order", DRN)
    assert "with this key already" in result.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["recharge", DRN, "100.00", "--currency", "ZAR"], "does not belong to the service"),
        (["keychange", "order", DRN, "--krn", "9"], "no vending key in use"),
        (["keychange", "order", "123"], "11 or 13 digits"),
        (["engineering", "order", DRN, "clear_tamper", "--value", "1"], "takes no value"),
        (["tokens", "verify", DRN, "123"], "a token is 20 digits"),
        (["deliveries", "confirm", "nope", "--seen-by", "me"], "no delivery nope"),
        (["recharges", "replace", "nope"], "no recharge nope"),
        (["deliveries", "show", "nope"], "no delivery nope"),
        (["deliveries", "withdraw", "nope", "--seen-by", "me"], "no delivery nope"),
    ],
)
def test_a_refusal_is_told_and_ends_with_1(headend: Headend, words, problem):
    result = headend(*words)
    assert result.exit_code == 1
    assert problem in result.stderr


def test_tokens_and_keys_are_ordered_shown_and_verified(headend: Headend):
    limit = ["engineering", "order", DRN, "power_limit", "--value", "6000", "--id", "m1"]
    made = told(headend(*limit, "--json"))
    assert made["command"]["engineering"]["value"] == 6000
    assert "manage kind power_limit value 6000" in headend(*limit).stdout
    change = ["keychange", "order", DRN, "--krn", "2", "--ti", "7", "--id", "k1"]
    assert told(headend(*change, "--json"))["command"]["to"] == NEXT
    shown = headend("keychange", "show", "k1", "--reveal").stdout
    assert len(re.findall(r"^token \d +\*{16}\d{4} waiting \(test key\)$", shown, re.M)) == 4
    assert not TWENTY.search(shown)
    assert told(headend("deliveries", "ask", "k1", "--json"))["state"] == "waiting"
    assert told(headend("deliveries", "show", "m1", "--json"))["id"] == "m1"
    verified = headend("tokens", "verify", DRN, "1020 3040 5060 7080 9011")
    assert "ours      no" in verified.stdout
    assert "crc_error" in verified.stdout
    assert "mark      none" in verified.stdout
    gone = ["deliveries", "withdraw", "k1", "--seen-by", "K. O.", "--json"]
    assert told(headend(*gone))["state"] == "cancelled"
    read_back = ["engineering", "order", DRN, "read_control", "--index", "0", "--id", "m2"]
    assert "manage kind read_control index 0" in headend(*read_back).stdout
