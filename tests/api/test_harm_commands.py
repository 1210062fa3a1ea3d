"""Commands about people, caps, hours and the audit: what the machine's owner does."""

import sqlite3
from typing import Any

import pytest

from tests.api.test_commands import elsewhere, run, told

__all__ = ["elsewhere"]  # a folder of its own for every test
SGC = "123457"


def actions() -> list[str]:
    return [record["action"] for record in reversed(told("audit", "list"))]


def test_people_are_added_once_listed_renewed_and_revoked():
    made = told("people", "add", "Ama  Mensah")
    assert made["name"] == "Ama Mensah"
    assert made["token"].startswith(f"hp_{made['id']}_")
    assert "was, here" in run("people", "add", "ama mensah", code=1)
    (listed,) = told("people", "list")
    assert listed["revoked_at"] is None
    assert "token" not in listed
    assert told("people", "revoke", made["id"]) == {"id": made["id"], "revoked": True}
    assert "no person" in run("people", "revoke", made["id"], code=1)
    assert "no person" in run("people", "renew", "unknown", code=1)
    again = told("people", "renew", made["id"])
    assert again["id"] == made["id"]
    assert again["token"] != made["token"]
    assert told("people", "list")[0]["revoked_at"] is None
    assert actions() == ["person_created", "person_revoked", "person_renewed"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\x07b"])
def test_a_name_that_is_none_is_refused(name: str):
    assert "Usage" in run("people", "add", name, code=2)


def test_a_key_may_belong_to_a_person():
    person = told("people", "add", "Ama Mensah")["id"]
    key = told("keys", "create", "--name", "desk", "--scope", "read", "--person", person)
    assert key["person"] == person
    assert "no such person" in run(
        "keys", "create", "--name", "x", "--scope", "read", "--person", "nobody", code=1
    )
    run("keys", "revoke", key["id"])
    assert actions() == ["person_created", "key_created", "key_revoked"]
    assert key["key"] not in str(told("audit", "list"))


def test_caps_are_set_from_the_machine_and_what_is_not_named_stays():
    (changed,) = told("caps", "set", "open_supply", "--per-group-day", "50", "--approve-always")
    assert (changed["per_group_day"], changed["per_key_hour"]) == (50, 20)
    assert changed["approve_always"] is True
    assert changed["changed_by"] == "command line"
    run("caps", "set", "open_supply", "--sgc", SGC, "--per-key-hour", "3")
    kinds = told("caps", "list")
    assert len(kinds) == 7
    own = [rule for rule in kinds if rule["sgc"] == SGC]
    assert (own[0]["per_key_hour"], own[0]["per_group_day"]) == (3, 50)
    assert "hold_percent" in run("caps", "set", "open_supply", "--hold-percent", "0", code=1)
    assert actions() == ["caps_changed", "caps_changed"]


def test_hours_are_set_from_the_machine():
    assert told("hours", "show", SGC)["version"] == 0
    day = ["--day", "1=08:00-16:00", "--day", "7=00:00-24:00", "--closed", "2026-12-25"]
    made = told("hours", "set", SGC, *day)
    assert [one["weekday"] for one in made["hours"]] == [1, 7]
    assert told("hours", "show", SGC) == made
    assert "Usage" in run("hours", "set", SGC, "--day", "8=08:00-16:00", code=2)
    assert "Usage" in run("hours", "set", SGC, "--day", "Monday", code=2)
    assert "Usage" in run("hours", "set", "12", "--day", "1=08:00-16:00", code=2)
    assert "00:00 to 24:00" in run("hours", "show", SGC)


def test_a_record_taken_out_of_the_audit_shows():
    for name in ("Ama Mensah", "Kofi Boateng", "Esi Owusu"):
        run("people", "add", name)
    whole: dict[str, Any] = told("audit", "verify")
    assert (whole["records"], whole["whole"]) == (3, True)
    database = sqlite3.connect("var/headend.db")
    with database:
        database.execute("DELETE FROM audit WHERE number = 3")
    database.close()
    assert "broken at record 3" in run("audit", "verify", code=1)
    database = sqlite3.connect("var/headend.db")
    with database:
        database.execute("UPDATE audit SET by = 'key:other' WHERE number = 1")
    database.close()
    assert "broken at record 1" in run("audit", "verify", code=1)
    assert "command line" in run("audit", "list")


def test_a_file_of_a_job_must_be_readable_and_say_what_it_is():
    key = ["--id", "j1", "--key", "hk_x"]
    assert "Usage" in run("jobs", "submit", "june.txt", *key, code=2)
    assert "No such file" in run("jobs", "submit", "june.csv", *key, code=1)
    assert "no head-end answers" in run(
        "jobs", "show", "j1", "--key", "x", "--url", "http://127.0.0.1:9", code=3
    )
