"""A whole head-end as operators run it: its settings in a file, its process of its own.

It can be killed and started again on what its database holds. Meters and keys are brought in before
the first start, through the same doors as those of the command line.
"""

import csv
import io
import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import httpx2

from api.auth import new_key
from api.commands.meters_file import read_meters
from api.settings import Settings, load_settings
from api.vault_wiring import import_vending_keys
from api.wiring import (
    migrate_database,
    new_chance,
    new_clock,
    open_meters,
)
from headend.api_keys import Scope
from headend.meters import TenantId
from tests.builders import always_open
from tests.servers.process import HOST, ServerProcess, free_port

ROOT = Path(__file__).parent.parent.parent
TENANT = TenantId("default")
SERVE = (sys.executable, "-m", "api.cli", "serve", "--config")
REQUEST_TIMEOUT_S = 5.0
# The published test key, under which simulated meters are made.
TEST_KEY = """
[[keys]]
sgc = "201457"
krn = 1
base_date = 2014
ken = 255
mark = "test"
key = "abababababababab949494949494949401234567"
"""

Table = Mapping[str, object]


class HeadEndProcess:
    """One head-end on a free port. `set_up` it once, then `start`, `kill` and `stop` at will."""

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str,
        buses: Mapping[str, Table],
        command: Sequence[str] = SERVE,
        handover: Table | None = None,
        tables: Mapping[str, Table] | None = None,
        **settings: object,
    ) -> None:
        self.port = free_port()
        self.folder = folder
        self.database_url = database_url
        self._config = folder / "headend.toml"
        self._key = ""
        top: Table = {
            "database_url": database_url,
            "master_key_file": str(folder / "master.key"),
            **settings,
        }
        all_tables: dict[str, Table] = {
            "listen": {"host": HOST, "port": self.port},
            "handover": {"outbox": str(folder / "outbox"), **(handover or {})},
            **{f"buses.{name}": bus for name, bus in buses.items()},
            **(tables or {}),
        }
        self._config.write_text("".join(_lines(top, all_tables)))
        self._server = ServerProcess(
            [*command, str(self._config)],
            port=self.port,
            log=folder / "headend.log",
            folder=ROOT,
            environment=_environment(),
        )

    @property
    def settings(self) -> Settings:
        return load_settings(self._config)

    @property
    def pid(self) -> int:
        return self._server.pid

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def headers(self) -> Mapping[str, str]:
        """What every request needs: a key that may do everything."""
        return {"Authorization": f"Bearer {self._key}"}

    async def set_up(self, rows: Iterable[Mapping[str, str]]) -> None:
        """Make the database, and bring in the vending key, an API key and the meters of a list."""
        settings, clock, chance = self.settings, new_clock(), new_chance()
        now = clock.now()
        await migrate_database(settings)
        keys = self.folder / "keys.toml"
        keys.touch(mode=0o600)
        keys.write_text(TEST_KEY)
        key, self._key = new_key(
            ident=chance.ident(now),
            tenant=TENANT,
            name="tests",
            scopes=frozenset(Scope),
            secret=chance.secret(),
            now=now,
        )
        found = read_meters(_csv(rows), tenant=TENANT, now=now)
        assert not found.faults, found.faults
        async with open_meters(settings) as (store, desk):
            async with store.begin() as tx:
                await tx.tenants.ensure(TENANT, now)
                await tx.api_keys.add(key)
                for sgc in sorted({row.meter.sts.sgc for row in found.rows if row.meter}):
                    await tx.opening_hours.put(always_open(TENANT, sgc, now), was=None)
                for row in found.rows:
                    if row.point is not None:
                        await tx.usage_points.put(row.point, was=None)
            await import_vending_keys(settings, store, keys, TENANT, clock=new_clock())
            await desk.add_all([row.meter for row in found.rows if row.meter])

    def is_running(self) -> bool:
        return self._server.is_running()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._server.start()

    def kill(self) -> None:
        """End it as a power cut would."""
        self._server.kill()

    def stop(self) -> int | None:
        """Ask it to end; its exit code, or None when it did not end by itself in time."""
        return self._server.stop(signal=signal.SIGTERM)

    def log(self) -> str:
        """Return the end of what it has told."""
        return self._server.log_tail()

    def client(self) -> httpx2.AsyncClient:
        """A caller of its REST interface, with every right."""
        return httpx2.AsyncClient(
            base_url=self.url, headers=dict(self.headers), timeout=REQUEST_TIMEOUT_S
        )


def _lines(top: Table, tables: Mapping[str, Table]) -> Iterable[str]:
    """TOML; strings and numbers are written as in JSON."""
    for key, value in top.items():
        yield f"{key} = {json.dumps(value)}\n"
    for name, table in tables.items():
        yield f"\n[{name}]\n"
        yield from _lines(table, {})


def _environment() -> Mapping[str, str]:
    """Ours, but what Python compiles is kept: the same program is started again and again."""
    left_out = ("HEADEND_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


def _csv(rows: Iterable[Mapping[str, str]]) -> bytes:
    listed = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, listed[0].keys())
    writer.writeheader()
    writer.writerows(listed)
    return text.getvalue().encode()
