"""From options to the key that encrypts: where a key comes from, and what it is a key of.

A key is never an argument: those stand in the process list. Knows nothing of tokens.
"""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from api.commands.sts_files import key_of, read_key, read_tables
from headend.vending_keys import KeyMark
from protocols.sts.cipher import BlockCipher, cipher_for
from protocols.sts.drn import PAN_DIGITS, Drn, MeterPan, is_decimal
from protocols.sts.errors import MissingKeyError, RangeError, TablesError
from protocols.sts.keys import KEY_BYTES, DecoderKey, VendingKey, derive
from protocols.sts.limits import KEN_MAX, KRN_MAX, TARIFF_INDEX_MAX, require
from protocols.sts.sta import SAMPLE, StaTables
from protocols.sts.tables import BaseDate, Dkga, EncryptionAlgorithm, KeyType

KEY_VARIABLE = "HEADEND_STS_KEY"
NEW_KEY_VARIABLE = "HEADEND_STS_NEW_KEY"
SGC_DIGITS = 6

# The keys that the STS Association's compliance tests print; the second DES key beside them.
TEST_KEYS = {
    Dkga.DES: bytes.fromhex("AB" * 8),
    Dkga.HMAC_SHA_256: bytes.fromhex("AB" * 8 + "94" * 8 + "01234567"),
}
PUBLIC_KEYS = frozenset({*TEST_KEYS.values(), bytes.fromhex("94" * 8)})

_DKGA_OF_LENGTH = {length: dkga for dkga, length in KEY_BYTES.items()}
_BASE_DATES = {name: base for base in BaseDate for name in (str(base.value), base.code)}


@dataclass(frozen=True, slots=True)
class NewSaid:
    """What the command line says of the key after a change."""

    sgc: str | None
    krn: int | None
    ti: int | None
    kt: int | None
    base_date: str | None
    ken: int | None


@dataclass(frozen=True, slots=True)
class MeterSaid:
    """What the command line says of a meter and of the key that serves it, as it stands there."""

    meter: str | None
    sgc: str | None
    krn: int | None
    ti: int | None
    kt: int
    base_date: str
    ken: int
    ea: int
    dkga: int | None

    def pan(self) -> MeterPan:
        """The meter, by its number or its PAN; StsError names what is wrong with it."""
        if self.meter is None:
            raise RangeError("drn", "is needed to find the meter's key")
        if len(self.meter) == PAN_DIGITS:
            return MeterPan(self.meter)
        return MeterPan.of(Drn(self.meter))

    def supply_group(self) -> int:
        """The SGC, 0 to 999999."""
        if self.sgc is None:
            raise RangeError("sgc", "is needed to find the meter's key")
        if not is_decimal(self.sgc) or len(self.sgc) != SGC_DIGITS:
            raise RangeError("sgc", "must be 6 decimal digits")
        return int(self.sgc)

    def revision(self) -> int:
        """The KRN."""
        return _given("krn", self.krn)

    def tariff_index(self) -> int:
        """The TI."""
        value = _given("tariff_index", self.ti)
        require("tariff_index", value, 0, TARIFF_INDEX_MAX)
        return value

    def base(self) -> BaseDate:
        """The base date, told by its year or by its two digits."""
        base = _BASE_DATES.get(self.base_date)
        if base is None:
            raise RangeError("base_date", "must be 1993, 2014 or 2035")
        return base

    def key_type(self) -> KeyType:
        """The KT."""
        require("key_type", self.kt, KeyType.INITIALIZATION, KeyType.COMMON)
        return KeyType(self.kt)

    def expiry(self) -> int:
        """The KEN."""
        require("ken", self.ken, 0, KEN_MAX)
        return self.ken

    def changed(self, new: NewSaid) -> Self:
        """The same meter after a change; what is not said stays."""
        return replace(
            self,
            sgc=self.sgc if new.sgc is None else new.sgc,
            krn=self.krn if new.krn is None else new.krn,
            ti=self.ti if new.ti is None else new.ti,
            kt=self.kt if new.kt is None else new.kt,
            base_date=self.base_date if new.base_date is None else new.base_date,
            ken=self.ken if new.ken is None else new.ken,
        )


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the key comes from: a file, the public test key, or else an environment variable.

    A vending key, or with ``decoder_key_file`` the meter's own.
    """

    key_file: str | None
    test_key: bool
    variable: str = KEY_VARIABLE
    decoder_key_file: str | None = None

    @property
    def is_given(self) -> bool:
        """Whether there is any key at all."""
        options = self.key_file or self.test_key or self.decoder_key_file
        return bool(options or os.environ.get(self.variable))

    def read(self, dkga: int | None) -> bytes:
        """The bytes of the vending key; MissingKeyError tells where one may stand."""
        if sum((bool(self.key_file), self.test_key, bool(self.decoder_key_file))) > 1:
            raise RangeError("key", "give one of a key file, a decoder key file, the test key")
        if self.test_key:
            return TEST_KEYS[Dkga.HMAC_SHA_256 if dkga is None else Dkga(dkga)]
        if self.key_file is not None:
            return read_key(self.key_file)
        if text := os.environ.get(self.variable):
            return key_of(text)
        options = "--new-key-file, --new-test-key" if self.is_new else "--key-file, --test-key"
        raise MissingKeyError("key", f"is needed: give {options}, or set {self.variable}")

    @property
    def is_new(self) -> bool:
        """Whether this is about the key after a change."""
        return self.variable == NEW_KEY_VARIABLE


@dataclass(frozen=True, slots=True)
class TablesSaid:
    """Which table set EA07 shall use; saying none is no way to get the sample one."""

    file: Path | None
    sample: bool

    def tables(self) -> StaTables | None:
        """The set, or None where EA11 needs none."""
        if self.file is not None and self.sample:
            raise TablesError("ea07_tables", "give a licensed set or the sample set, not both")
        if self.file is None:
            return SAMPLE if self.sample else None
        tables = read_tables(self.file)
        if tables.fingerprint == SAMPLE.fingerprint:
            problem = "holds the sample set of the printed standard; --sample-tables says it aloud"
            raise TablesError(str(self.file), problem)
        return tables


@dataclass(frozen=True, slots=True)
class MeterKey:
    """The key one meter holds, and what the key it came from allows.

    ``vending_key`` and ``pan`` are None where the meter's own key was given outright.
    """

    decoder_key: DecoderKey
    base_date: BaseDate
    ken: int
    key_type: KeyType
    tables: StaTables | None
    pan: MeterPan | None = None
    tariff_index: int | None = None
    vending_key: VendingKey | None = field(default=None, repr=False)

    @property
    def is_public(self) -> bool:
        """Whether it comes from a published test key, so that showing it gives nothing away."""
        return self.vending_key is not None and self.vending_key.value in PUBLIC_KEYS

    @property
    def mark(self) -> KeyMark | None:
        """TEST for a published key, PRIVATE for another vending key: no live one is held here.

        None where the meter's own key was given, which tells nothing of its vending key.
        """
        if self.vending_key is None:
            return None
        return KeyMark.TEST if self.is_public else KeyMark.PRIVATE

    @property
    def algorithm(self) -> EncryptionAlgorithm:
        """EA07 or EA11."""
        return self.decoder_key.algorithm

    @property
    def uses_sample(self) -> bool:
        """Whether tokens under it are made with the sample tables."""
        return self.algorithm is EncryptionAlgorithm.STA and self.tables is SAMPLE

    def cipher(self) -> BlockCipher:
        """The key made ready; TablesError when EA07 has no table set."""
        if self.algorithm is EncryptionAlgorithm.STA and self.tables is None:
            raise TablesError("ea07_tables", "EA07 needs its table set; name one")
        return cipher_for(self.decoder_key, self.tables)


def find_key(said: MeterSaid, source: KeySource, tables: TablesSaid) -> MeterKey:
    """The key of the meter that the options describe; StsError names the field that is wrong."""
    if source.decoder_key_file is not None:
        return _own_key(said, source, tables)
    value = source.read(said.dkga)
    pan, tariff_index = said.pan(), said.tariff_index()
    vending_key = vending_key_of(said, value)
    return meter_key(vending_key, pan, tariff_index, said.ea, tables.tables())


def find_new_key(
    old: MeterKey, source: KeySource, said: MeterSaid, new_source: KeySource
) -> MeterKey:
    """The key of a meter after a change.

    SGC and KRN identify a vending key: while both stay, the old one serves. A test key is followed
    by the test key. Else MissingKeyError until a new key is given.
    """
    value = _new_value(old, source, said, new_source)
    vending_key = vending_key_of(replace(said, dkga=None), value)
    return meter_key(vending_key, said.pan(), said.tariff_index(), old.algorithm, old.tables)


def meter_key(
    key: VendingKey, pan: MeterPan, tariff_index: int, ea: int, tables: StaTables | None
) -> MeterKey:
    """The key of a meter under a vending key."""
    algorithm = EncryptionAlgorithm(ea)
    return MeterKey(
        decoder_key=derive(key, pan, tariff_index=tariff_index, algorithm=algorithm),
        base_date=key.base_date,
        ken=key.ken,
        key_type=key.key_type,
        tables=tables,
        pan=pan,
        tariff_index=tariff_index,
        vending_key=key,
    )


def vending_key_of(said: MeterSaid, value: bytes) -> VendingKey:
    """The vending key with what is said of it."""
    return VendingKey(
        value,
        dkga=_dkga(said.dkga, len(value)),
        sgc=said.supply_group(),
        krn=said.revision(),
        base_date=said.base(),
        ken=said.expiry(),
        key_type=said.key_type(),
    )


def neighbours(key: MeterKey) -> list[tuple[str, MeterKey]]:
    """The same meter with one thing said otherwise, and what that is: to find a wrong record."""
    vending_key, pan, tariff_index = key.vending_key, key.pan, key.tariff_index
    if vending_key is None or pan is None or tariff_index is None:
        return []
    others: list[tuple[str, VendingKey, int]] = [
        (f"TI {ti:02d}", vending_key, ti)
        for ti in range(TARIFF_INDEX_MAX + 1)
        if ti != tariff_index
    ]
    others += [
        (f"KRN {krn}", replace(vending_key, krn=krn), tariff_index)
        for krn in range(1, KRN_MAX + 1)
        if krn != vending_key.krn
    ]
    if vending_key.dkga is Dkga.HMAC_SHA_256:
        others += [
            (f"base date {base.value}", replace(vending_key, base_date=base), tariff_index)
            for base in BaseDate
            if base is not vending_key.base_date
        ]
    others += [
        (f"key type {kind:d}", replace(vending_key, key_type=kind), tariff_index)
        for kind in (KeyType.DEFAULT, KeyType.UNIQUE)
        if kind is not vending_key.key_type
    ]
    return [
        (name, meter_key(other, pan, ti, key.algorithm, key.tables)) for name, other, ti in others
    ]


def _own_key(said: MeterSaid, source: KeySource, tables: TablesSaid) -> MeterKey:
    if source.key_file is not None or source.test_key:
        raise RangeError("key", "give one of a key file, a decoder key file, the test key")
    assert source.decoder_key_file is not None
    return MeterKey(
        decoder_key=DecoderKey(read_key(source.decoder_key_file), EncryptionAlgorithm(said.ea)),
        base_date=said.base(),
        ken=said.expiry(),
        key_type=said.key_type(),
        tables=tables.tables(),
        pan=None if said.meter is None else said.pan(),
    )


def _new_value(old: MeterKey, source: KeySource, said: MeterSaid, new_source: KeySource) -> bytes:
    if new_source.is_given:
        return new_source.read(said.dkga)
    before = old.vending_key
    if before is not None:
        same = (before.sgc, before.krn) == (said.supply_group(), said.krn)
        if same or source.test_key:
            return before.value
    return new_source.read(said.dkga)


def _dkga(said: int | None, length: int) -> Dkga:
    dkga = _DKGA_OF_LENGTH.get(length) if said is None else Dkga(said)
    if dkga is not None and KEY_BYTES[dkga] == length:
        return dkga
    wanted = "8 bytes for DKGA02, 20 for DKGA04" if dkga is None else f"{KEY_BYTES[dkga]} bytes"
    problem = f"must be {wanted}, this one is {length}"
    if length == KEY_BYTES[Dkga.HMAC_SHA_256] + 1:
        problem += "; a 16 behind a printed key is the base of its digits, not a byte"
    raise RangeError("vending_key", problem)


def _given(name: str, value: int | None) -> int:
    if value is None:
        raise RangeError(name, "is needed to find the meter's key")
    return value
