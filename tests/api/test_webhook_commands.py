"""`headend webhooks` against a head-end that serves, and what `headend check` says of receivers."""

import io
import json
import logging
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from adapters.vault.master_key import MasterKey, MasterKeys
from adapters.vault.webhook_secrets import SecretSeals, renew_secrets
from api.checking import look_over
from api.cli import app
from api.logs import configure_logs
from api.settings import Settings
from api.wiring import new_clock, open_store
from headend.errors import ModuleDown
from headend.outbox import announce
from headend.webhooks import FAILING_AFTER, Health, PausedBy, WebhookState
from tests.api.office import a_settings
from tests.api.running import a_running_head_end
from tests.builders import TENANT, a_webhook, an_announcement

Headend = Callable[..., Result]
COMMANDS = [
    "create", "list", "show", "change", "pause", "resume", "rotate", "remove", "dead", "replay",
]  # fmt: skip
NEW, OLD = MasterKey(bytes(32)), MasterKey(bytes(range(32)))


@pytest.fixture(scope="module")
def headend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headend]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logs(level="INFO", stream=io.StringIO())
    with a_running_head_end(tmp_path_factory.mktemp("hooked")) as (url, key):
        environment = {"HEADEND_URL": url, "HEADEND_KEY": key}
        yield lambda *words: CliRunner().invoke(app, ["webhooks", *words], env=environment)
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_with_an_example(command):
    words = ["webhooks", command, "--help"]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert f"Example: headend webhooks {command}" in result.stdout


def test_a_webhook_is_made_changed_rotated_and_removed(headend: Headend):
    to, types = "https://billing.example/events", ("--type", "headend.recharge.*")
    made = told(headend("create", "--to", to, *types, "--json"))
    ident = made["id"]
    assert len(b64decode(made["secret"].removeprefix("whsec_"))) == 32
    assert (made["url"], made["types"]) == (to, ["headend.recharge.*"])
    listed = told(headend("list", "--json"))
    assert [one["id"] for one in listed] == [ident]
    assert ident in headend("list").stdout
    paused = told(headend("pause", ident, "--json"))
    assert (paused["state"], paused["paused_by"]) == ("paused", "caller")
    assert told(headend("resume", ident, "--json"))["state"] == "active"
    changed = told(headend("change", ident, "--description", "billing", "--json"))
    assert (changed["description"], changed["types"]) == ("billing", ["headend.recharge.*"])
    rotated = headend("rotate", ident, "--old-for", "60")
    assert rotated.exit_code == 0
    assert "whsec_" in rotated.stdout
    assert made["secret"] not in rotated.stdout
    assert "only once" in rotated.stderr
    assert "whsec_" not in headend("show", ident).stdout
    assert told(headend("dead", ident, "--json")) == {"items": [], "next": None}
    assert "No dead letters" in headend("dead", ident).stdout
    assert told(headend("replay", ident, "--dead-letters", "--json"))["count"] == 0
    since = headend("replay", ident, "--since", "2026-01-01T00:00:00Z")
    assert "events are told again" in since.stdout
    assert told(headend("remove", ident, "--json"))["id"] == ident
    gone = headend("show", ident)
    assert gone.exit_code == 1
    assert "No such webhook" in gone.stderr


def test_a_refusal_says_what_to_do(headend: Headend):
    refused = headend("create", "--to", "http://billing.example/")
    assert refused.exit_code == 1
    assert "https://" in refused.stderr
    private = headend("create", "--to", "https://10.0.0.1/")
    assert "outbox.private_receivers" in private.stderr


# --- headend check ------------------------------------------------------------------------------


async def findings(settings: Settings) -> dict[str, tuple[bool, str]]:
    found = [one async for one in look_over(settings, within=timedelta(0))]
    return {one.subject: (one.ok, one.told) for one in found if "webhook" in one.subject}


@pytest.fixture
def settings(tmp_path: Path, empty_database: Path) -> Settings:
    (tmp_path / "headend.db").write_bytes(empty_database.read_bytes())
    return a_settings(tmp_path, buses={})


async def test_check_tells_of_dead_receivers(settings: Settings):
    assert (await findings(settings))["webhooks"] == (
        True,
        "none: nobody is told; see: headend webhooks --help",
    )
    now = new_clock().now()
    failing = Health(
        failures=FAILING_AFTER, failing_since=now, status=500, detail="answered 500", told_at=now
    )
    well, dead = a_webhook(), a_webhook(health=failing)
    gone = a_webhook(state=WebhookState.PAUSED, paused_by=PausedBy.RECEIVER)
    late = a_webhook(types=("headend.meter.*",))
    hooks = (well, dead, gone, late)
    async with open_store(settings) as store:
        async with store.begin() as tx:
            await tx.tenants.ensure(TENANT, now)
            for hook in hooks:
                await tx.webhooks.add(replace(hook, types=("headend.meter.*",)))
            await tx.webhooks.save(replace(late, types=(), version=2), was=1)
        async with store.begin() as tx:
            await announce(tx, an_announcement(at=now - timedelta(hours=1)))
        async with store.begin() as tx:
            await tx.outbox.order(now=now, give_up_at=now, limit=9)
    found = await findings(settings)
    said = {hook.id: found[f"webhook {hook.id} of tenant {TENANT}"] for hook in hooks}
    assert said[well.id] == (True, "told everything")
    assert not said[dead.id][0]
    assert "answered 500" in said[dead.id][1]
    assert "410 Gone" in said[gone.id][1]
    assert said[late.id][1].startswith("1 events wait, since")
    async with open_store(settings) as store, store.begin() as tx:
        await tx.postings.give_up(late.id, now=now, detail="dead", limit=9)
    assert (
        "1 dead letters" in (await findings(settings))[f"webhook {late.id} of tenant {TENANT}"][1]
    )


# --- secrets under a new master key -------------------------------------------------------------


async def test_a_new_master_key_takes_the_secrets_along(settings: Settings):
    before = SecretSeals(lambda: MasterKeys(OLD))
    turning, after = (
        SecretSeals(lambda: MasterKeys(NEW, OLD)),
        SecretSeals(lambda: MasterKeys(NEW)),
    )
    hook = a_webhook()
    first, second = before.seal(b"first", bound_to=hook.id), before.seal(b"2nd", bound_to=hook.id)
    strange = SecretSeals(lambda: MasterKeys(MasterKey(bytes(31) + b"x"))).seal(b"x", bound_to="b")
    now = new_clock().now()
    async with open_store(settings) as store:
        async with store.begin() as tx:
            await tx.tenants.ensure(TENANT, now)
            await tx.webhooks.add(replace(hook, secret=first, old_secret=second, old_until=now))
            lost = a_webhook(secret=strange)
            await tx.webhooks.add(lost)
        assert [one.id for one in await renew_secrets(store, turning)] == [lost.id]
        assert [one.id for one in await renew_secrets(store, turning)] == [lost.id]
        async with store.look() as tx:
            renewed = await tx.webhooks.find(TENANT, hook.id)
    assert renewed is not None
    assert renewed.old_secret is not None
    assert renewed.version == 2
    assert after.unseal(renewed.secret, bound_to=hook.id) == b"first"
    assert after.unseal(renewed.old_secret, bound_to=hook.id) == b"2nd"
    with pytest.raises(ModuleDown):
        after.unseal(renewed.secret, bound_to=lost.id)
    with pytest.raises(ModuleDown):
        after.unseal(first, bound_to=hook.id)
