"""`headend jobs`, `approvals`, `holds`, `dark` and `worklist` against a head-end that serves."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from api.cli import app
from api.logs import configure_logs
from api.wiring import new_clock, open_store
from headend.dangers import Danger
from headend.holds import Hold
from tests.api.office import DRN, SGC, TENANT, a_settings
from tests.api.running import a_running_head_end

SCOPES = ("read", "recharge", "supply", "disconnect", "meters", "engineering")


class Desk:
    """Commands of one machine, whose database is that of the head-end that serves."""

    def __init__(self, folder: Path, url: str, key: str) -> None:
        self.folder = folder
        self.environment = {
            "HEADEND_URL": url,
            "HEADEND_KEY": key,
            "HEADEND_DATABASE_URL": f"sqlite:///{folder}/headend.db",
            "HEADEND_MASTER_KEY_FILE": f"{folder}/master.key",
        }

    def run(self, *words: str, **more: str) -> Result:
        return CliRunner().invoke(app, list(words), env=self.environment | more)

    def told(self, *words: str, **more: str) -> Any:
        result = self.run(*words, "--json", **more)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def refused(self, *words: str, **more: str) -> str:
        result = self.run(*words, **more)
        assert result.exit_code == 1, result.output
        return result.stderr


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logs(level="INFO", stream=io.StringIO())
    folder = tmp_path_factory.mktemp("office")
    with a_running_head_end(folder, role="all") as (url, key):
        yield Desk(folder, url, key)
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def people(desk: Desk) -> dict[str, str]:
    """A clerk's API key, and the personal token of somebody else; one opening goes unasked."""
    clerk = desk.told("people", "add", "Ama Mensah", "--tenant", TENANT)
    other = desk.told("people", "add", "Kofi Boateng", "--tenant", TENANT)
    scopes = [word for scope in SCOPES for word in ("--scope", scope)]
    key = desk.told(
        *("keys", "create", "--name", "desk", "--person", clerk["id"], "--tenant", TENANT), *scopes
    )
    bounds = ("--per-key-hour", "0", "--per-key-day", "0")
    desk.told("caps", "set", "open_supply", "--tenant", TENANT, *bounds)
    return {"HEADEND_KEY": key["key"], "HEADEND_PERSON_TOKEN": other["token"]}


def a_file(desk: Desk, name: str, *rows: str) -> str:
    file = desk.folder / name
    header = "do,id,meter,value,unit,action,reason,expires_at"
    file.write_text("\n".join([header, *rows]) + "\n")
    return str(file)


def an_opening(ident: str) -> str:
    ends = (new_clock().now() + timedelta(hours=2)).isoformat().replace("+00:00", "Z")
    return f"supply,{ident},{DRN},,,open,safety,{ends}"


@pytest.fixture
def waiting(desk: Desk, people: dict[str, str], request: pytest.FixtureRequest) -> str:
    """The id of a job that waits for its approval."""
    job = str(request.node.name).replace("_", "-")[-40:]
    file = a_file(desk, f"{job}.csv", an_opening(f"{job}.o"))
    told = desk.told("jobs", "submit", file, "--id", job, HEADEND_KEY=people["HEADEND_KEY"])
    assert told["state"] == "working"
    return job


def approval_of(desk: Desk, people: dict[str, str], job: str) -> Any:
    for _ in range(200):
        found = desk.told("approvals", "list", **people)
        for approval in found:
            if approval["order"] == job:
                return approval
    raise AssertionError("nobody was asked")


def test_a_job_is_submitted_waited_for_listed_and_its_results_told(desk: Desk):
    sale = f"recharge,cli-1,{DRN},25.6,kWh,,,"
    file = a_file(desk, "june.csv", sale, f"clock,cli-2,{DRN},,,,,")
    done = desk.told("jobs", "submit", file, "--id", "june", "--wait")
    assert (done["state"], done["lines"]["ordered"]) == ("done", 2)
    assert "june" in [job["id"] for job in desk.told("jobs", "list")]
    assert "june" in desk.run("jobs", "list").stdout
    shown = desk.run("jobs", "show", "june")
    assert "2 ordered" in shown.stdout
    table = desk.run("jobs", "results", "june").stdout.splitlines()
    assert table[0] == "line,id,meter,state,outcome,problem,detail"
    assert table[1].startswith(f"2,cli-1,{DRN},ordered,")
    rows = desk.run("jobs", "results", "june", "--json").stdout.splitlines()
    assert [json.loads(row)["id"] for row in rows] == ["cli-1", "cli-2"]
    assert "at its end" in desk.refused("jobs", "cancel", "june")
    assert "No such job" in desk.refused("jobs", "show", "july")


def test_a_file_with_a_bad_line_is_refused_with_its_place(desk: Desk):
    file = a_file(desk, "bad.csv", f"clock,c1,{DRN},,,,,", f"recharge,c2,{DRN},nothing,kWh,,,")
    refused = desk.refused("jobs", "submit", file, "--id", "bad")
    assert "line 3" in refused
    assert "amount" in refused
    tried = desk.run("jobs", "submit", file, "--id", "bad", "--skip-bad", "--dry-run", "--wait")
    assert tried.exit_code == 1  # for a shell that goes on only when all is well
    assert "checked_with_failures" in tried.stdout


def test_a_job_that_waits_is_paused_resumed_and_cancelled_by_a_person(
    desk: Desk, people: dict[str, str], waiting: str
):
    key = {"HEADEND_KEY": people["HEADEND_KEY"]}
    approval = approval_of(desk, people, waiting)
    assert desk.told("jobs", "pause", waiting, **key)["state"] == "paused"
    assert desk.told("jobs", "resume", waiting, **key)["state"] == "working"
    assert "No such job" in desk.refused("jobs", "cancel", waiting)  # of another key
    token = people["HEADEND_PERSON_TOKEN"]
    cancelled = desk.told("jobs", "cancel", waiting, "--token", token)
    assert cancelled["state"] == "cancelled"
    assert cancelled["detail"].startswith("cancelled by person:")
    assert desk.told("jobs", "show", waiting, "--token", token)["lines"]["ordered"] == 0
    shown = desk.told("approvals", "show", approval["id"], **people)
    assert shown["state"] == "withdrawn"
    assert approval["id"] not in desk.run("approvals", "list", **people).stdout


def test_a_job_goes_on_when_a_second_person_has_approved(
    desk: Desk, people: dict[str, str], waiting: str
):
    approval = approval_of(desk, people, waiting)
    assert approval["id"] in desk.run("approvals", "list", **people).stdout
    assert waiting in desk.run("approvals", "show", approval["id"], **people).stdout
    assert desk.told("approvals", "approve", approval["id"], **people)["state"] == "approved"
    file = str(desk.folder / f"{waiting}.csv")
    key = {"HEADEND_KEY": people["HEADEND_KEY"]}
    done = desk.told("jobs", "submit", file, "--id", waiting, "--wait", **key)
    assert (done["state"], done["lines"]["ordered"]) == ("done", 1)


def test_what_a_person_refused_is_not_ordered(desk: Desk, people: dict[str, str], waiting: str):
    approval = approval_of(desk, people, waiting)
    words = ("approvals", "refuse", approval["id"], "--reason", "wrong street")
    assert desk.told(*words, **people)["state"] == "refused"
    assert "refused" in desk.refused("approvals", "approve", approval["id"], **people)
    file = str(desk.folder / f"{waiting}.csv")
    key = {"HEADEND_KEY": people["HEADEND_KEY"]}
    ended = desk.run("jobs", "submit", file, "--id", waiting, "--wait", "--json", **key)
    assert ended.exit_code == 1
    assert json.loads(ended.stdout)["state"] == "done_with_failures"
    assert "approval-ended" in desk.run("jobs", "results", waiting, **key).stdout


def test_a_hold_is_listed_and_lifted_with_a_reason(desk: Desk, people: dict[str, str]):
    assert desk.told("holds", "list", **people) == []
    assert "Nothing is held." in desk.run("holds", "list", **people).stdout
    now = new_clock().now()
    hold = Hold(
        id="h1", tenant=TENANT, danger=Danger.CLEAR_CREDIT, sgc=SGC, reason="9 of 10", since=now
    )

    async def held() -> None:
        async with open_store(a_settings(desk.folder)) as store, store.begin() as tx:
            assert await tx.holds.add(hold)

    asyncio.run(held())
    assert "9 of 10" in desk.run("holds", "list", **people).stdout
    lifted = desk.told("holds", "lift", "h1", "--reason", "line mended", **people)
    assert lifted["lifted_at"] is not None
    assert "No such hold" in desk.refused("holds", "lift", "h2", "--reason", "x", **people)


def test_who_paid_and_has_no_light_is_shown(desk: Desk):
    sale = a_file(desk, "dark.csv", f"recharge,dark-1,{DRN},5,kWh,,,")
    assert desk.told("jobs", "submit", sale, "--id", "dark", "--wait")["state"] == "done"
    found = desk.told("dark")
    assert "dark-1" in [one["recharge"] for one in found["items"]]
    table = desk.run("dark", "--once", COLUMNS="200").stdout
    assert "paid and not lit" in table
    assert "dark-1" in table
    assert desk.told("dark", "--group", "999999")["items"] == []


def test_the_work_list_is_told_and_what_is_not_on_it_is_refused(desk: Desk):
    assert desk.told("worklist", "list")["items"] == []
    assert "Nothing waits for people." in desk.run("worklist", "list").stdout
    refused = desk.refused("worklist", "taken", "nothing", "--seen-by", "K. Otieno")
    assert "No such delivery" in refused


def test_supply_is_ordered_for_one_meter_and_once_for_an_id(desk: Desk, people: dict[str, str]):
    later = (new_clock().now() + timedelta(hours=2)).isoformat()
    asked = ("supply", "order", DRN, "permit_close", "--reason", "safety", "--id", "by-hand")
    key = {"HEADEND_KEY": people["HEADEND_KEY"]}
    ordered = desk.told(*asked, "--until", later, **key)
    assert ordered["id"] == "by-hand"
    assert desk.told(*asked, "--until", later, **key)["id"] == "by-hand"
    assert desk.told("supply", "show", "by-hand", **key)["command"] == ordered["command"]
    assert "expires_at" in desk.refused(*asked[:-1], "late", "--until", "2020-01-01T00:00Z", **key)
