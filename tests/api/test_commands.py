"""Commands: what they tell a person, what they tell a machine, and how they refuse."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from api.cli import app
from api.masking import masked
from tests.api.office import SGC, VENDING_KEY

KEYS = f"""
[[keys]]
sgc = "{SGC}"
krn = 1
base_date = 2014
ken = 255
mark = "MARK"
key = "{VENDING_KEY}"
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def told(*arguments: str) -> Any:
    return json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)


def commands(group: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(group, "commands"):
        for name, one in group.commands.items():
            yield from commands(one, *names, name)
    else:
        yield names, group


COMMANDS = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize(("names", "command"), COMMANDS, ids=str)
def test_every_command_explains_itself_with_an_example(names, command):
    assert command.help
    assert "headend" in (command.epilog or "") + (command.help or ""), names
    assert "Usage" in run(*names, "--help")


@pytest.mark.parametrize(("names", "command"), COMMANDS, ids=str)
def test_every_command_speaks_json(names, command):
    if names == ("serve",):
        return  # its logs are JSON; it has no result
    options = {name for parameter in command.params for name in parameter.opts}
    assert "--json" in options


def test_keys_are_made_listed_and_revoked():
    made = told("keys", "create", "--name", "till", "--scope", "recharge", "--scope", "read")
    assert re.fullmatch(r"hk_[0-9A-Z]{26}_[A-Za-z0-9_-]{43}", made["key"])
    (listed,) = told("keys", "list")
    assert listed["id"] == made["id"]
    assert listed["scopes"] == "read recharge"
    assert listed["revoked_at"] is None
    assert made["key"] not in json.dumps(listed)
    assert told("keys", "revoke", made["id"]) == {"id": made["id"], "revoked": True}
    assert told("keys", "list")[0]["revoked_at"]
    assert "no key" in run("keys", "revoke", made["id"], code=1)
    assert "no key" in run("keys", "revoke", "unknown", code=1)
    assert told("keys", "list", "--tenant", "other") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "create", "--name", "x"],
        ["keys", "create", "--name", "x", "--scope", "everything"],
        ["keys", "create", "--name", "x", "--scope", "read", "--tenant", "a/b"],
        ["keys", "list", "--tenant", "+"],
        ["groups", "set", SGC, "--reveal-at", "hall"],
        ["recharge", "1"],
        ["nothing"],
    ],
)
def test_a_misused_command_says_how_to_use_it(arguments: list[str]):
    assert "Usage" in run(*arguments, code=2)


def a_keys_file(*, mark: str = "test", mode: int = 0o600) -> str:
    file = Path("keys.toml")
    file.touch()
    file.chmod(mode)
    file.write_text(KEYS.replace("MARK", mark))
    return str(file)


def test_vending_keys_are_imported_and_never_shown():
    out = run("vault", "import", a_keys_file())
    assert "0F353D" in out
    run("vault", "import", a_keys_file())
    (listed,) = told("vault", "list")
    assert (listed["sgc"], listed["krn"], listed["state"]) == (SGC, 1, "in use")
    for text in (out, run("vault", "list"), json.dumps(listed)):
        assert VENDING_KEY.lower() not in text.lower()
    database = b"".join(file.read_bytes() for file in Path("var").glob("headend.db*"))
    assert bytes.fromhex(VENDING_KEY) not in database
    assert VENDING_KEY.encode() not in database


@pytest.mark.parametrize(
    ("mark", "mode", "reason"),
    [
        ("live", 0o600, "security module"),
        ("test", 0o644, "chmod 600"),
        ("?", 0o600, "test or private"),
    ],
)
def test_a_keys_file_that_cannot_be_trusted_is_refused(mark: str, mode: int, reason: str):
    out = run("vault", "import", a_keys_file(mark=mark, mode=mode), code=1)
    assert reason in out
    assert VENDING_KEY not in out
    assert told("vault", "list") == []


def test_groups_keep_what_is_not_named():
    made = told("groups", "set", SGC, "--zone", "Africa/Nairobi", "--reveal-at", "hall=at_once")
    assert (made["zone"], made["reveal_at"], made["version"]) == (
        "Africa/Nairobi",
        {"hall": "at_once"},
        1,
    )
    changed = told("groups", "set", SGC, "--limit-per-day", "500", "--reveal-at", "till=never")
    assert changed["zone"] == "Africa/Nairobi"
    assert changed["reveal_at"] == {"hall": "at_once", "till": "never"}
    assert changed["limit_per_day"] == "500"
    assert changed["version"] == 2
    assert told("groups", "show", SGC) == changed
    assert "Africa/Nairobi" in run("groups", "show", SGC)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["12345"], "6 digits"),
        ([SGC, "--zone", "Mars"], "no such time zone"),
        ([SGC, "--fallback-after", "-1"], "fallback_after_s"),
        ([SGC, "--limit-per-day", "many"], "limit_per_day"),
        ([SGC, "--reveal-at", "hall=maybe"], "reveal_at"),
    ],
)
def test_a_bad_policy_is_refused(arguments: list[str], reason: str):
    assert reason in run("groups", "set", *arguments, code=1)
    assert "no supply group" in run("groups", "show", SGC, code=1)


def test_migrating_twice_is_harmless():
    assert told("migrate")["changed"]
    assert not told("migrate")["changed"]
    assert "already" in run("migrate")


def test_the_version_is_told():
    assert re.match(r"headend \S+ on Python 3\.", run("version"))
    assert set(told("version")) == {"headend", "python"}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("12345678901234567890", "1234567890"),
        ("a 1234 5678 9012 3456 7890.", "5678"),
        ("1234-5678-9012-3456-7890", "5678"),
        ("x123456789012345678901234567890y", "4567"),
        ("Bearer hk_01JN_" + "Zz9-_" * 9, "Zz9"),
        ("postgresql://me:hush@host/db", "hush"),
        ("mqtt://:hush@host", "hush"),
    ],
)
def test_secrets_are_masked_wherever_they_stand(text: str, secret: str):
    assert secret not in masked(text)


@pytest.mark.parametrize(
    "text", ["meter 01000000008", "2026-03-01T12:00:00.123456Z", "http://127.0.0.1:8080/v1", "1,5"]
)
def test_what_is_no_secret_stays(text: str):
    assert masked(text) == text
