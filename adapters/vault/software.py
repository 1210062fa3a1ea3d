"""The security module in software: for test keys and a utility's private ones, never for live keys.

Vending keys rest sealed in the database (`sealing`) and are unsealed for the moment of a
derivation; what stays in memory is a bounded number of decoder keys, made ready for use. A row that
is retired or changed in the database is honoured at the next token.
"""

from functools import lru_cache

from adapters.vault.master_key import MasterKeys
from adapters.vault.sealing import unseal
from headend.meters import Drn, KeyType, Service, StsConfiguration, TenantId
from headend.refusals import (
    AmountNotPositive,
    AmountTooLarge,
    KeyExpired,
    MalformedOrder,
    NoVendingKey,
    OrderRefused,
)
from headend.store import Store
from headend.tokens import Issued, IssuedToken, TokenOrder, TokenPurpose
from headend.vending_keys import KeyMark, SealedKey, VendingKey
from protocols.sts import drn as sts
from protocols.sts.amount import UNITS_MAX
from protocols.sts.cipher import BlockCipher, cipher_for
from protocols.sts.credit import CreditUnits
from protocols.sts.errors import StsError
from protocols.sts.keys import derive
from protocols.sts.limits import NIBBLE_MAX, TID_MAX
from protocols.sts.sta import SAMPLE, StaTables
from protocols.sts.tables import BaseDate, CreditSubclass, EncryptionAlgorithm
from protocols.sts.token import encode
from protocols.sts.validity import is_expired, last_minute

# A decoder key made ready takes a few hundred bytes; the meters of a busy hour are enough.
CACHED_DECODER_KEYS = 4096

SUBCLASSES = {
    Service.ELECTRICITY: CreditSubclass.ELECTRICITY,
    Service.WATER: CreditSubclass.WATER,
    Service.GAS: CreditSubclass.GAS,
    Service.TIME: CreditSubclass.TIME,
}


class SoftwareVault:
    """Satisfies `ports.SecurityModule`.

    `tables` is the table set of EA07; without one EA07 orders are refused, and the sample set of
    the printed standard serves test keys only.
    """

    def __init__(
        self,
        store: Store,
        masters: MasterKeys,
        *,
        tables: StaTables | None = None,
        cached: int = CACHED_DECODER_KEYS,
    ) -> None:
        self._store = store
        self._masters = masters
        self._tables = tables
        self._cipher = lru_cache(maxsize=cached)(self._make_cipher)

    async def key(self, tenant: TenantId, sgc: str, krn: int) -> VendingKey:
        """Attributes of a key that opens; raises NoVendingKey, UnknownMasterKey, SealBroken."""
        row = await self._row(tenant, sgc, krn)
        unseal(row, self._masters)
        return row.key

    async def issue(self, order: TokenOrder, *, message_id: str) -> Issued:
        """One credit token under the meter's decoder key.

        The digits follow from the order alone (TID and RND are in it), so a repeat gives the same.
        It takes well under a millisecond, so the event loop does it itself.
        """
        _require_sane(order)
        row = await self._row(order.tenant, order.sts.sgc, order.sts.krn)
        cipher = self._cipher(row, order.drn, order.sts)  # proves the row, attributes included
        _require_usable(row.key, order)
        credit = CreditUnits(SUBCLASSES[order.service], order.rnd, order.tid, order.amount_tenths)
        token = IssuedToken(encode(credit, cipher), order.tid, TokenPurpose.CREDIT)
        return Issued((token,), encoded_tenths=credit.encoded_tenths)

    async def _row(self, tenant: TenantId, sgc: str, krn: int) -> SealedKey:
        async with self._store.look() as tx:
            row = await tx.vending_keys.find(tenant, sgc, krn)
        if row is None:
            raise NoVendingKey(
                f"no vending key for supply group {sgc}, key revision {krn}; import one",
                field="sgc",
            )
        if row.key.mark is KeyMark.LIVE:
            raise NoVendingKey(
                f"the key of supply group {sgc} is live; live keys belong in a security module",
                field="sgc",
            )
        return row

    def _make_cipher(self, row: SealedKey, drn: Drn, config: StsConfiguration) -> BlockCipher:
        algorithm = self._algorithm(config, row.key)
        try:
            pan = sts.MeterPan.of(sts.Drn(drn))
            key = unseal(row, self._masters)
            decoder_key = derive(key, pan, tariff_index=config.tariff_index, algorithm=algorithm)
            return cipher_for(decoder_key, self._tables)
        except StsError as exc:
            raise OrderRefused(exc.problem, field=exc.field) from None

    def _algorithm(self, config: StsConfiguration, key: VendingKey) -> EncryptionAlgorithm:
        try:
            algorithm = EncryptionAlgorithm(config.ea)
        except StsError as exc:
            raise OrderRefused(exc.problem, field=exc.field) from None
        if algorithm is EncryptionAlgorithm.STA:
            self._require_tables(key)
        return algorithm

    def _require_tables(self, key: VendingKey) -> None:
        if self._tables is None:
            raise OrderRefused(
                "EA07 needs the table set of the STS Association; name its file in the settings",
                field="ea",
            )
        sample = self._tables.fingerprint == SAMPLE.fingerprint
        if sample and key.mark is not KeyMark.TEST:
            raise OrderRefused(
                "the sample tables of EA07 make tokens no real meter takes; only a test key may"
                " use them: name the file of the licensed set in the settings",
                field="ea",
            )


def _require_sane(order: TokenOrder) -> None:
    """What no key could make into a token."""
    if order.amount_tenths <= 0:
        raise AmountNotPositive("the amount must be more than zero", field="amount")
    if order.amount_tenths > UNITS_MAX:
        largest = f"{UNITS_MAX // 10}.{UNITS_MAX % 10}"
        raise AmountTooLarge(f"a token carries at most {largest} units", field="amount")
    if not 0 <= order.rnd <= NIBBLE_MAX:
        raise MalformedOrder(f"rnd must lie between 0 and {NIBBLE_MAX}", field="rnd")


def _require_usable(key: VendingKey, order: TokenOrder) -> None:
    """What this key may not do; raises KeyExpired, NoVendingKey."""
    named = f"the key of supply group {key.sgc}, revision {key.krn},"
    base = BaseDate(key.base_date)
    if order.tid < 0:
        raise NoVendingKey(f"{named} begins on {base.epoch:%Y-%m-%d}, later than now", field="tid")
    if order.tid > TID_MAX or is_expired(order.tid, key.ken):
        until = last_minute(base, key.ken)
        raise KeyExpired(f"{named} expired at {until:%Y-%m-%d %H:%M} UTC", field="krn")
    if order.sts.key_type != key.key_type:
        raise NoVendingKey(
            f"{named} is of type {int(key.key_type)}, but the meter is registered with type"
            f" {int(order.sts.key_type)}; correct the meter",
            field="key_type",
        )
    if key.key_type not in {KeyType.UNIQUE, KeyType.COMMON}:
        raise NoVendingKey(
            f"{named} is a default key: meters that hold it refuse credit until their key is"
            " changed",
            field="key_type",
        )
