"""An office of its own for every test."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.store.migrate import migrate
from tests.api.office import Caller, Office, a_meter_body, a_settings, an_office


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database at the newest version with nothing in it, to be copied."""
    file = tmp_path_factory.mktemp("schema") / "headend.db"
    asyncio.run(migrate(f"sqlite:///{file}"))
    return file


@pytest.fixture
async def office(tmp_path: Path, empty_database: Path) -> AsyncIterator[Office]:
    shutil.copy(empty_database, tmp_path / "headend.db")
    async with an_office(a_settings(tmp_path)) as office:
        yield office


@pytest.fixture
async def caller(office: Office) -> Caller:
    """A caller with every scope, and one meter in service."""
    caller = await office.caller()
    answer = await caller.post("/v1/meters", json=a_meter_body())
    assert answer.status_code == 201, answer.text
    return caller
