"""Vending keys come in: from a TOML file of a key ceremony into the store, sealed.

A key's bytes never show in an error, a repr or a traceback. The check value is three bytes, six hex
digits: for DKGA02 the first of the DES encryption of eight zero bytes (as customary for DES keys),
for DKGA04 the first of HMAC-SHA-256 under the key over eight zero bytes. Compare it with the one on
the key's own paper, made the same way.
"""

import hmac
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from adapters.vault.master_key import MasterKeys
from adapters.vault.private_file import PrivateText, read_private
from adapters.vault.sealing import KeyMaterial, seal
from headend.meters import KeyType, TenantId
from headend.refusals import OrderRefused
from headend.store import Store, Transaction
from headend.vending_keys import KeyMark, VendingKey
from protocols.sts import keys as sts
from protocols.sts.errors import StsError
from protocols.sts.tables import BaseDate, Dkga
from protocols.sts.tables import KeyType as StsKeyType

CHECKED_BLOCK = bytes(8)
CHECK_BYTES = 3
SGC_FORM = re.compile(r"[0-9]{6}", re.ASCII)
HEX_FORM = re.compile(r"(?:[0-9A-Fa-f]{2})*", re.ASCII)


class KeyRefused(OrderRefused):
    """The vending key is not taken; the text never shows it."""

    slug = "vending-key-refused"
    title = "The vending key is not taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyToImport:
    """One vending key as it comes from its key ceremony.

    `sgc` is six digits; `key` is hex: 20 bytes for `dkga` 4, 8 bytes of odd parity for 2;
    `base_date` is 1993, 2014 or 2035; `check_value`, if given, must come out.
    """

    sgc: str
    krn: int
    key_type: int = KeyType.UNIQUE
    base_date: int
    ken: int
    dkga: int = 4
    mark: str
    check_value: str | None = None
    key: str = field(repr=False)


async def import_keys(
    store: Store,
    masters: MasterKeys,
    keys: Sequence[KeyToImport],
    *,
    tenant: TenantId,
    now: datetime,
) -> Sequence[VendingKey]:
    """Check, seal and store keys in one transaction: all or none; raises KeyRefused.

    A key that is there already, attributes and all, is left as it is: importing twice is harmless.
    The store must know the tenant.
    """
    checked = [check_key(tenant, key) for key in keys]
    async with store.begin() as tx:
        for attributes, material in checked:
            if not await _known(tx, attributes):
                await tx.vending_keys.add(seal(attributes, material, masters, created_at=now))
    return [attributes for attributes, _ in checked]


def check_key(tenant: TenantId, given: KeyToImport) -> tuple[VendingKey, KeyMaterial]:
    """Attributes and bytes of a key that may rest in software; raises KeyRefused."""
    mark = _mark(given)
    if SGC_FORM.fullmatch(given.sgc) is None:
        raise KeyRefused("a supply group code is six digits, as text", field="sgc")
    material = _material(given)
    key = _sts_key(given, material)
    attributes = VendingKey(
        tenant=tenant,
        sgc=given.sgc,
        krn=key.krn,
        key_type=KeyType(key.key_type),
        base_date=key.base_date.value,
        ken=key.ken,
        dkga=key.dkga.value,
        mark=mark,
        check_value=check_value(key),
    )
    if given.check_value and given.check_value.upper() != attributes.check_value:
        raise KeyRefused(
            f"the check value comes out as {attributes.check_value}: the key was mistyped, or its"
            " paper uses another method",
            field="check_value",
        )
    return attributes, material


def check_value(key: sts.VendingKey) -> str:
    """Six hex digits by which two people can compare a key without seeing it."""
    if key.dkga is Dkga.DES:
        # The value of a DES key is by definition one block in ECB; three equal keys make 3DES DES.
        single = Cipher(TripleDES(key.value * 3), modes.ECB())  # noqa: S305 - one block of zeros
        encrypted = single.encryptor().update(CHECKED_BLOCK)
    else:
        encrypted = hmac.digest(key.value, CHECKED_BLOCK, "sha256")
    return encrypted[:CHECK_BYTES].hex().upper()


def read_keys_file(file: Path) -> Sequence[KeyToImport]:
    """Keys of a TOML file, one `[[keys]]` table each with the fields of KeyToImport.

    The file must be private, like that of the master key. Raises FileUnusable, and KeyRefused that
    names the table (counted from 0) and the field.
    """
    document = _parse(read_private(file))
    if not document.tables:
        raise KeyRefused(f"{file} holds no [[keys]] table", field="keys")
    return [_key_of(document, place) for place in range(len(document.tables))]


async def _known(tx: Transaction, key: VendingKey) -> bool:
    there = await tx.vending_keys.find(key.tenant, key.sgc, key.krn)
    if there is None:
        return False
    if there.key != key:
        raise KeyRefused(
            f"supply group {key.sgc} has another key of revision {key.krn}"
            f" (check value {there.key.check_value}); retire that one first",
            field="krn",
        )
    return True


def _mark(given: KeyToImport) -> KeyMark:
    try:
        mark = KeyMark(given.mark)
    except ValueError:
        raise KeyRefused("mark is test or private", field="mark") from None
    if mark is KeyMark.LIVE:
        raise KeyRefused("live keys belong in a security module, never in software", field="mark")
    return mark


def _material(given: KeyToImport) -> KeyMaterial:
    if HEX_FORM.fullmatch(given.key) is None:
        raise KeyRefused("the key must be hex digits, two a byte, without blanks", field="key")
    return KeyMaterial(bytes.fromhex(given.key))


def _sts_key(given: KeyToImport, material: KeyMaterial) -> sts.VendingKey:
    try:
        dkga = Dkga(given.dkga)
        if len(material.value) != sts.KEY_BYTES[dkga]:
            raise KeyRefused(
                f"a key for DKGA{given.dkga:02d} is {sts.KEY_BYTES[dkga]} bytes,"
                f" this one is {len(material.value)}",
                field="key",
            )
        return sts.VendingKey(
            material.value,
            dkga=dkga,
            sgc=int(given.sgc),
            krn=given.krn,
            base_date=_base_date(given.base_date),
            ken=given.ken,
            key_type=_key_type(given.key_type),
        )
    except StsError as exc:
        raise KeyRefused(exc.problem, field=exc.field.replace("vending_key", "key")) from None


def _base_date(year: int) -> BaseDate:
    try:
        return BaseDate(year)
    except ValueError:
        raise KeyRefused("base_date is 1993, 2014 or 2035", field="base_date") from None


def _key_type(number: int) -> StsKeyType:
    try:
        return StsKeyType(number)
    except ValueError:
        raise KeyRefused("key_type is 1, 2 or 3", field="key_type") from None


@dataclass(frozen=True, slots=True)
class _Document:
    tables: Sequence[Mapping[str, object]] = field(repr=False)


def _parse(text: PrivateText) -> _Document:
    """The [[keys]] tables; nothing of the text may reach an error, for it holds the keys."""
    try:
        return _Document(_tables_of(text))
    except tomllib.TOMLDecodeError:
        raise KeyRefused(f"{text.place} is no TOML file", field="keys") from None
    except msgspec.ValidationError:
        raise KeyRefused(f"{text.place}: keys must be [[keys]] tables", field="keys") from None


def _tables_of(text: PrivateText) -> Sequence[Mapping[str, object]]:
    return msgspec.convert(tomllib.loads(text.text).get("keys", []), list[dict[str, object]])


def _key_of(document: _Document, place: int) -> KeyToImport:
    known = {spec.name for spec in fields(KeyToImport)}
    if unknown := sorted(document.tables[place].keys() - known):
        raise KeyRefused(f"keys[{place}]: {unknown[0][:16]} is no field of a key", field="keys")
    try:
        return msgspec.convert(document.tables[place], KeyToImport)
    except msgspec.ValidationError as exc:
        raise KeyRefused(f"keys[{place}]: {exc}", field="keys") from None
