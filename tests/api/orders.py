"""Orders of keys and engineering tokens, as a back-office posts them."""

from datetime import datetime
from typing import Any

from adapters.vault.key_import import KeyToImport, import_keys
from api.vault_wiring import load_masters
from headend.deliveries import Confirmation, Delivery, Fact
from headend.outcomes import Outcome, write_outcome
from tests.api.office import DRN, SGC, TENANT, Office, a_meter_body

SECOND_KEY = "0123456789abcdef0123456789abcdef01234567"
PRESENT = a_meter_body()["sts"]
NEXT = PRESENT | {"krn": 2, "ti": 7}
KEY_CHANGES = f"/v1/meters/{DRN}/key-changes"
ENGINEERING = f"/v1/meters/{DRN}/engineering"


def a_change(ident: str = "k1", **more: Any) -> dict[str, Any]:
    return {"id": ident, "to": NEXT, **more}


def a_clearing(ident: str = "m1", **more: Any) -> dict[str, Any]:
    return {"id": ident, "kind": "clear_tamper", **more}


async def add_second_key(office: Office) -> None:
    """Key revision 2 of the supply group."""
    key = KeyToImport(sgc=SGC, krn=2, base_date=2014, ken=255, dkga=4, mark="test", key=SECOND_KEY)
    masters = load_masters(office.settings)
    now = office.head_end.clock.now()
    await import_keys(office.head_end.store, masters, [key], tenant=TENANT, now=now)


async def happens(
    office: Office, ident: str, *facts: Fact, by: Confirmation | None = None
) -> Delivery:
    """What a bus would have written of a delivery."""
    for fact in facts:
        async with office.head_end.store.begin() as tx:
            delivery = await tx.deliveries.find(TENANT, ident)
            assert delivery is not None
            now: datetime = office.head_end.clock.now()
            outcome = Outcome(fact=fact, by=by)
            written = await write_outcome(
                tx, delivery, outcome, now=now, spread=0.0, started_at=now
            )
    return written
