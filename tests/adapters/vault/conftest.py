"""A vault over a store in memory, and a check that no secret slips out."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from traceback import walk_tb
from typing import cast

import pytest

from adapters.vault.key_import import KeyToImport, import_keys
from adapters.vault.master_key import MasterKey, MasterKeys
from adapters.vault.software import SoftwareVault
from headend.errors import Stale
from headend.meters import TenantId
from headend.store import Store, Transaction
from headend.vending_keys import SealedKey
from protocols.sts.sta import StaTables
from tests.fakes import FakeClock

TENANT = TenantId("city")
NOW = datetime(2026, 7, 1, tzinfo=UTC)
VK160 = "abababababababab949494949494949401234567"  # public test keys of the standard's test suite
VK64 = "abababababababab"
MASTER = MasterKey(bytes(range(32)))
OTHER_MASTER = MasterKey(bytes(range(1, 33)))


@dataclass
class KeyShelf:
    """The vending keys of a store, and nothing else of it."""

    rows: list[SealedKey] = field(default_factory=list)

    async def add(self, sealed: SealedKey) -> None:
        key = sealed.key
        if await self.find(key.tenant, key.sgc, key.krn) is not None:
            raise Stale("there is one")
        self.rows.append(sealed)

    async def find(self, tenant: TenantId, sgc: str, krn: int) -> SealedKey | None:
        wanted = (tenant, sgc, krn)
        rows = (row for row in self.rows if (row.key.tenant, row.key.sgc, row.key.krn) == wanted)
        return next((row for row in rows if row.retired_at is None), None)

    async def all(self, tenant: TenantId | None) -> Sequence[SealedKey]:
        return [row for row in self.rows if tenant in {None, row.key.tenant}]

    async def reseal(self, sealed: SealedKey, *, was: str) -> None:
        wanted = (sealed.key, sealed.created_at, was)
        for place, row in enumerate(self.rows):
            if (row.key, row.created_at, row.master_id) == wanted:
                self.rows[place] = replace(sealed, retired_at=row.retired_at)
                return
        raise Stale("it is not there like that")

    async def retire(self, tenant: TenantId, sgc: str, krn: int, now: datetime) -> bool:
        row = await self.find(tenant, sgc, krn)
        if row is not None:
            self.rows[self.rows.index(row)] = replace(row, retired_at=now)
        return row is not None


@dataclass
class KeyStore:
    """A store whose transactions roll back."""

    vending_keys: KeyShelf = field(default_factory=KeyShelf)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        before = list(self.vending_keys.rows)
        try:
            yield cast(Transaction, self)
        except BaseException:
            self.vending_keys.rows[:] = before
            raise

    @asynccontextmanager
    async def look(self) -> AsyncIterator[Transaction]:
        yield cast(Transaction, self)

    @property
    def as_store(self) -> Store:
        return cast(Store, self)


def a_key(**changed: object) -> KeyToImport:
    """A test key of DKGA04, base 2014, that never expires."""
    given: dict[str, object] = {
        "sgc": "201457", "krn": 1, "base_date": 2014, "ken": 255, "mark": "test", "key": VK160,
    } | changed  # fmt: skip
    return KeyToImport(**given)  # type: ignore[arg-type] # the test names the fields


@pytest.fixture
def shelf() -> KeyStore:
    return KeyStore()


@pytest.fixture
def masters() -> MasterKeys:
    return MasterKeys(MASTER)


@dataclass
class MakeVault:
    """A process that sells from the shelf; `clock` is its clock, at NOW."""

    shelf: KeyStore
    masters: MasterKeys
    clock: FakeClock

    def __call__(
        self,
        *,
        masters: MasterKeys | None = None,
        tables: StaTables | None = None,
        cached: int = 100,
    ) -> SoftwareVault:
        return SoftwareVault(
            self.shelf.as_store,
            masters or self.masters,
            clock=self.clock,
            tables=tables,
            cached=cached,
        )


@pytest.fixture
def make_vault(shelf: KeyStore, masters: MasterKeys) -> MakeVault:
    return MakeVault(shelf, masters, FakeClock(NOW))


@pytest.fixture
def vault(make_vault: MakeVault) -> SoftwareVault:
    return make_vault()


@dataclass
class AddKeys:
    """Imports keys into the shelf, as the command line would."""

    shelf: KeyStore
    masters: MasterKeys

    async def __call__(self, *keys: KeyToImport, tenant: TenantId = TENANT) -> None:
        await import_keys(self.shelf.as_store, self.masters, keys, tenant=tenant, now=NOW)


@pytest.fixture
def add_keys(shelf: KeyStore, masters: MasterKeys) -> AddKeys:
    return AddKeys(shelf, masters)


def everything_told(error: BaseException) -> str:
    """What the most talkative traceback shows: the texts of the chain, the locals of each frame.

    The tests' own frames are left out, for they hold the secret by design.
    """
    told: list[str] = []
    shown: BaseException | None = error
    while shown is not None:
        told += [repr(shown), str(shown), repr(vars(shown))]
        for frame, _ in walk_tb(shown.__traceback__):
            if "tests" not in Path(frame.f_code.co_filename).parts:
                told += [repr(value) for value in frame.f_locals.values()]
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
    return "\n".join(told)


def assert_hidden(told: str, *secrets: bytes) -> None:
    """None of these is in a text: as hex, as a repr of bytes, or the middle of either."""
    plain = told.lower()
    for secret in secrets:
        for form in _forms(secret):
            assert form.lower() not in plain


def _forms(secret: bytes) -> Iterable[str]:
    yield secret.hex()
    yield secret.hex()[4:-4]
    yield repr(secret)[2:-1]
    yield str(list(secret))[1:-1]
    yield str(int.from_bytes(secret))
