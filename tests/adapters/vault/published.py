"""The published test vectors as orders to a vault, with the keys that they were made from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from adapters.vault.key_import import KeyToImport
from headend.meters import Drn, KeyType, Service, StsConfiguration
from headend.quantities import Amount, Currency, Units
from headend.tokens import KeyChangeOrder, ManagementKind, ManagementOrder, TokenOrder
from tests.adapters.vault.conftest import TENANT, a_key

FILE = Path(__file__).parents[2] / "protocols" / "sts" / "vectors" / "sts.json"
VECTORS = json.loads(FILE.read_text())["vectors"]
MADE_FROM_KEYS = {"token.credit.units", "token.credit.currency", "token.management",
                  "token.extended"}  # fmt: skip
SERVICES = list(Service)
CURRENCY_SUBCLASSES = 4
FLAGS = 63
KIND_OF_SUBCLASS = {
    0: ManagementKind.POWER_LIMIT,
    1: ManagementKind.CLEAR_CREDIT,
    2: ManagementKind.TARIFF_RATE,
    5: ManagementKind.CLEAR_TAMPER,
    6: ManagementKind.UNBALANCE_LIMIT,
    7: ManagementKind.WATER_FACTOR,
}


@dataclass(frozen=True)
class Published:
    """One published token: the keys it needs, the order for it, its digits."""

    id: str
    keys: tuple[KeyToImport, ...]
    order: TokenOrder
    digits: str

    @property
    def is_sold(self) -> bool:
        """Whether anybody may order it: meters are never sold a debt."""
        content = self.order.content
        return not isinstance(content, Currency) or content.value > 0


@dataclass(frozen=True)
class PublishedSet:
    """One published key change; of some only the first tokens are published."""

    id: str
    keys: tuple[KeyToImport, ...]
    order: KeyChangeOrder
    digits: tuple[str, ...]


def tokens() -> list[Published]:
    """Credit and management tokens that tell the vending key they were made from."""
    return [
        _published(vector)
        for vector in VECTORS
        if vector["kind"] in MADE_FROM_KEYS and "vending_key" in vector["inputs"]
    ]


def tests() -> list[Published]:
    """Tokens of class 1 that can be ordered: all but the extended read."""
    return [
        _test(vector)
        for vector in VECTORS
        if vector["kind"] == "token.test_display" and vector["inputs"]["subclass"] in {0, 1}
    ]


def extended_reads() -> list[str]:
    """Digits of the tokens that read an extended setting back."""
    return [
        vector["expected"]["token"]
        for vector in VECTORS
        if vector["kind"] == "token.test_display" and vector["inputs"]["subclass"] == 2
    ]


def sets() -> list[PublishedSet]:
    return [_set(vector) for vector in VECTORS if vector["kind"] == "token_set.key_change"]


def of_ids(found: list[Any]) -> dict[str, Any]:
    """Arguments of `parametrize`: each vector under its own id."""
    return {"argvalues": found, "ids": [one.id for one in found]}


def _published(vector: Mapping[str, Any]) -> Published:
    given = vector["inputs"]
    order = TokenOrder(
        tenant=TENANT,
        drn=_drn(given["meter_pan"]),
        service=_service(given),
        sts=_sts(given, given),
        content=_content(given),
        tid=given["tid"],
        rnd=given.get("rnd"),
    )
    return Published(vector["id"], (_key(given, given),), order, vector["expected"]["token"])


def _service(given: Mapping[str, Any]) -> Service:
    is_credit = given["token_class"] == 0
    return SERVICES[given["subclass"] % CURRENCY_SUBCLASSES] if is_credit else SERVICES[0]


def _content(given: Mapping[str, Any]) -> Amount | ManagementOrder:
    subclass = given["subclass"]
    if given["token_class"] == 2:
        return _management(subclass, given["value"])
    if subclass >= CURRENCY_SUBCLASSES:
        return Currency(Decimal(given["amount_currency"]), "ZAR")
    return Units.of_tenths(given["amount_tenths"], SERVICES[subclass].unit)


def _management(subclass: int, value: int) -> ManagementOrder:
    if subclass != 10:
        kind = KIND_OF_SUBCLASS[subclass]
        return ManagementOrder(kind, None if kind is ManagementKind.CLEAR_TAMPER else value)
    index, rest = value >> 10, value & 0x3FF
    if index == FLAGS:
        return ManagementOrder(ManagementKind.SET_FLAG, rest & 1, rest >> 1)
    return ManagementOrder(ManagementKind.SET_CONTROL, rest, index)


def _test(vector: Mapping[str, Any]) -> Published:
    given = vector["inputs"]
    control = int(given["control"], 16)
    everything = control == (1 << given["control_bits"]) - 1
    assert everything or control.bit_count() == 1
    number = 0 if everything else control.bit_length()
    order = TokenOrder(
        tenant=TENANT,
        drn=Drn("00000000000") if given["subclass"] == 0 else Drn("0000000000000"),
        service=Service.ELECTRICITY,
        sts=StsConfiguration("201457", 1, tariff_index=1, key_type=KeyType.UNIQUE, ea=11),
        content=ManagementOrder(ManagementKind.METER_TEST, number),
        tid=None,
        rnd=None,
    )
    return Published(vector["id"], (), order, vector["expected"]["token"])


def _set(vector: Mapping[str, Any]) -> PublishedSet:
    given = vector["inputs"]
    old, new = given["old"], given["new"]
    order = KeyChangeOrder(
        tenant=TENANT,
        drn=_drn(given["meter_pan"]),
        present=_sts(given, old),
        to=_sts(given, new),
        three_kct=bool(given["three_kct"]),
    )
    keys = (_key(given, old), _key(given, new))
    return PublishedSet(
        vector["id"],
        keys if keys[0] != keys[1] else keys[:1],
        order,
        tuple(vector["expected"]["tokens"]),
    )


def _drn(pan: str) -> Drn:
    return Drn(pan[6:17] if pan.startswith("600727") else pan[4:17])


def _sts(given: Mapping[str, Any], side: Mapping[str, Any]) -> StsConfiguration:
    return StsConfiguration(
        side["sgc"], side["krn"], tariff_index=side["ti"], key_type=KeyType(given["kt"]),
        ea=given["ea"],
    )  # fmt: skip


def _key(given: Mapping[str, Any], side: Mapping[str, Any]) -> KeyToImport:
    return a_key(
        sgc=side["sgc"], krn=side["krn"], key_type=given["kt"], dkga=given["dkga"],
        base_date=side["base_date"], ken=side.get("ken", 255), key=side["vending_key"],
    )  # fmt: skip
