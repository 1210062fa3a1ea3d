"""Decoder keys of meters: derived from a vending key when first needed, a bounded number kept.

What is kept is the cipher made ready. It is found by the whole row of the database, so a row that
was changed is opened anew. Holds key material: never print what is in here.
"""

from functools import lru_cache

from adapters.vault.contents import pan_of
from adapters.vault.key_types import require_type
from adapters.vault.master_key import MasterKeys
from adapters.vault.sealing import unseal
from headend.meters import Drn, StsConfiguration
from headend.refusals import OrderRefused
from headend.vending_keys import KeyMark, SealedKey, VendingKey
from protocols.sts import keys as sts
from protocols.sts.cipher import BlockCipher, cipher_for
from protocols.sts.errors import StsError
from protocols.sts.sta import SAMPLE, StaTables
from protocols.sts.tables import EncryptionAlgorithm

# A decoder key made ready takes a few hundred bytes; the meters of a busy hour are enough.
CACHED_DECODER_KEYS = 4096


class DecoderKeys:
    """Ciphers of meters. `tables` is the table set of EA07; the sample set serves test keys only.

    Everything here raises UnknownMasterKey or SealBroken for a row that does not open, and
    OrderRefused where key and meter do not fit.
    """

    def __init__(self, masters: MasterKeys, *, tables: StaTables | None, cached: int) -> None:
        self._masters = masters
        self._tables = tables
        self._kept = lru_cache(maxsize=cached)(self._make)

    @property
    def kept(self) -> int:
        """How many are kept in memory now."""
        return self._kept.cache_info().currsize

    def cipher(self, row: SealedKey, drn: Drn, config: StsConfiguration) -> BlockCipher:
        """The cipher of the decoder key that a meter of this configuration holds."""
        return self._kept(row, drn, config)

    def vending_key(self, row: SealedKey, config: StsConfiguration) -> sts.VendingKey:
        """The vending key itself, proved to fit a configuration; not kept."""
        key = unseal(row, self._masters)  # proves the attributes too
        require_type(row.key, config)
        if _algorithm(config) is EncryptionAlgorithm.STA:
            self._require_tables(row.key)
        return key

    def _make(self, row: SealedKey, drn: Drn, config: StsConfiguration) -> BlockCipher:
        key, pan, algorithm = self.vending_key(row, config), pan_of(drn), _algorithm(config)
        try:
            decoder_key = sts.derive(
                key, pan, tariff_index=config.tariff_index, algorithm=algorithm
            )
            return cipher_for(decoder_key, self._tables)
        except StsError as exc:
            raise OrderRefused(exc.problem, field=exc.field) from None

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


def _algorithm(config: StsConfiguration) -> EncryptionAlgorithm:
    try:
        return EncryptionAlgorithm(config.ea)
    except StsError as exc:
        raise OrderRefused(exc.problem, field=exc.field) from None
