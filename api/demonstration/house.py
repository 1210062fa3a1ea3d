"""The head-end of the demonstration: its embedded defaults in a fresh folder that is removed.

SQLite, a new master key, a folder for messages, a broker on a free port of this machine. Settings
files and variables of this machine are not looked at: a demonstration must reach no real database.
"""

import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic_settings import BaseSettings

from api.auth import new_key
from api.commands.meters import apply_rows, check_rows
from api.commands.meters_file import read_meters
from api.commands.telling import DEFAULT_TENANT, tenant_id
from api.demonstration.backoffice import Unexpected
from api.demonstration.outbox import Outbox
from api.head_end import HeadEnd
from api.settings import Settings, Source
from api.simulation import Fleet, FleetDescription, demo_fleet, running_fleet, vending_keys_toml
from api.vault_wiring import import_vending_keys
from api.wiring import head_end, new_chance
from headend.api_keys import Scope

HOST = "127.0.0.1"
# The line is a pseudo-terminal, which knows no parity; meters there answer within milliseconds.
LINE_TIMEOUT_S = 0.5
LINE_QUIET_S = 0.5


class DemoSettings(Settings):
    """Settings that come from the demonstration alone."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library names the parameters
        *_: Source,
        **sources: Source,
    ) -> tuple[Source, ...]:
        return (sources["init_settings"],)


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A head-end that is ready to serve, and its meters, which run already."""

    head_end: HeadEnd
    settings: Settings
    fleet: Fleet
    outbox: Outbox
    key: str = field(repr=False)

    @property
    def url(self) -> str:
        listen = self.settings.listen
        return f"http://{listen.host}:{listen.port}"


@asynccontextmanager
async def furnished_house() -> AsyncIterator[House]:
    """Everything set up: meters running, keys and meters imported; gone when the block is left."""
    with tempfile.TemporaryDirectory(prefix="headend-demo-") as name:
        folder = Path(name)
        broker_port = _free_port()
        description = demo_fleet(DEFAULT_TENANT, broker_port=broker_port)
        async with running_fleet(description) as fleet:
            settings = _settings(folder, fleet.buses, broker_port)
            papers = _papers(folder, fleet, description)
            async with head_end(settings) as running:
                yield House(
                    head_end=running,
                    settings=settings,
                    fleet=fleet,
                    outbox=Outbox(settings.handover.outbox),
                    key=await _move_in(running, settings, papers),
                )


def _settings(folder: Path, buses: Mapping[str, str], broker_port: int) -> Settings:
    line = {"timeout_s": LINE_TIMEOUT_S, "quiet_s": LINE_QUIET_S}
    return DemoSettings.model_validate(
        {
            "database_url": f"sqlite:///{folder / 'headend.db'}",
            "master_key_file": folder / "master.key",
            "embedded_broker": broker_port,
            "listen": {"host": HOST, "port": _free_port()},
            "buses": {name: {"url": url} | line for name, url in buses.items()},
            "handover": {"outbox": folder / "outbox"},
        }
    )


async def _move_in(running: HeadEnd, settings: Settings, papers: "_Papers") -> str:
    """Tenant, vending key, meters and an API key; returns the latter."""
    tenant, chance, now = tenant_id(DEFAULT_TENANT), new_chance(), running.clock.now()
    key, text = new_key(
        ident=chance.ident(now),
        tenant=tenant,
        name="demonstration",
        scopes=frozenset(Scope),
        secret=chance.secret(),
        now=now,
    )
    async with running.store.begin() as tx:
        await tx.tenants.ensure(tenant, now)
        await tx.api_keys.add(key)
    await import_vending_keys(settings, running.store, papers.keys, tenant, clock=running.clock)
    # From here on as `headend meters import` does.
    found = read_meters(papers.meters, tenant=tenant, now=now)
    await check_rows(found, running.store, running.meters, tenant)
    if found.faults:
        raise Unexpected(f"the list of meters: {found.faults[0]}")
    await apply_rows(found, running.store, running.meters, tenant)
    return text


@dataclass(frozen=True, slots=True)
class _Papers:
    """What comes with the meters: the file of their vending key, and their list as CSV."""

    keys: Path
    meters: bytes


def _papers(folder: Path, fleet: Fleet, description: FleetDescription) -> _Papers:
    keys, meters = folder / "keys.toml", folder / "meters.csv"
    keys.touch(mode=0o600)
    keys.write_text(vending_keys_toml(description), encoding="utf-8")
    fleet.write_csv(meters)
    return _Papers(keys, meters.read_bytes())


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as door:
        port: int = door.getsockname()[1]
        return port
