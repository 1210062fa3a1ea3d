"""In a real database: the key is in none of its files, and a changed row makes no token."""

import sqlite3
from decimal import Decimal

import pytest

from adapters.store.migrate import migrate
from adapters.store.transaction import SqlStore
from adapters.vault.key_import import import_keys
from adapters.vault.master_key import SealBroken
from adapters.vault.software import SoftwareVault
from headend.meters import Drn, KeyType, Service, StsConfiguration
from headend.quantities import Unit, Units
from headend.tokens import TokenOrder
from tests.adapters.vault.conftest import MASTER, NOW, TENANT, VK160, a_key, assert_hidden
from tests.fakes import FakeClock

ORDER = TokenOrder(
    tenant=TENANT,
    drn=Drn("00000000000"),
    service=Service.ELECTRICITY,
    sts=StsConfiguration("201457", 1, tariff_index=1, key_type=KeyType.UNIQUE, ea=11),
    content=Units(Decimal("0.1"), Unit.KWH),
    tid=85740,
    rnd=5,
)


@pytest.fixture
async def store(tmp_path, masters):
    url = f"sqlite:///{tmp_path}/headend.db"
    await migrate(url)
    store = SqlStore.open(url)
    async with store.begin() as tx:
        await tx.tenants.ensure(TENANT, NOW)
    keys = [a_key(), a_key(krn=2, mark="private")]
    await import_keys(store, masters, keys, tenant=TENANT, now=NOW)
    yield store
    await store.aclose()


async def test_the_key_is_in_no_file_of_the_database(store, tmp_path):
    files = [file.read_bytes() for file in tmp_path.iterdir()]
    assert any(b"201457" in content for content in files)
    for content in files:
        assert_hidden(content.decode("latin-1"), bytes.fromhex(VK160), MASTER.value)
        assert bytes.fromhex(VK160) not in content
        assert MASTER.value not in content


async def test_a_key_from_the_database_makes_the_published_token(store, masters):
    issued = await SoftwareVault(store, masters, clock=FakeClock(NOW)).issue(ORDER, message_id="m1")
    assert issued.tokens[0].digits == "58625789986991357486"


@pytest.mark.parametrize(
    "change",
    [
        "ken = 100",
        "base_date = 1993",
        "(nonce, ciphertext) = (SELECT nonce, ciphertext FROM vending_keys WHERE krn = 2)",
    ],
)
async def test_a_changed_row_makes_no_token(store, masters, tmp_path, change):
    vault = SoftwareVault(store, masters, clock=FakeClock(NOW))
    await vault.issue(ORDER, message_id="m1")
    with sqlite3.connect(tmp_path / "headend.db") as database:
        assert database.execute(f"UPDATE vending_keys SET {change} WHERE krn = 1").rowcount == 1
    database.close()
    with pytest.raises(SealBroken):
        await vault.issue(ORDER, message_id="m2")
