"""The plate of a simulated meter: what it left the factory with, and how it was configured.

The decoder key is given, as in a factory; vending keys stay outside (IEC 62055-41, clause 6.5).
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from headend.meters import Service
from protocols.sts.drn import Drn, MeterPan
from protocols.sts.keys import DecoderKey, VendingKey, derive
from protocols.sts.sta import SAMPLE, StaTables
from protocols.sts.tables import BaseDate, EncryptionAlgorithm, KeyType

TID_STORE = 50
# A meter of units: one unit of consumption costs one unit of credit.
UNIT_PRICE_MILLI = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSettings:
    """Configuration of one model. Credit in thousandths; `load` in thousandths of a unit per hour.

    A load of 1500 is 1500 W for electricity and 1500 l/h for water. `price_milli` is what one unit
    costs a currency meter; a unit meter counts units and keeps 1000. A supply that went off for
    credit comes back from `reconnect_milli` on (0: from any credit on).
    """

    maximum_credit_milli: int = 9_999_999_990
    low_credit_milli: int = 20_000
    needs_button: bool = False
    closes_by_remote: bool = False
    tid_store: int = TID_STORE
    key_change_timeout_s: int = 600
    wrong_until_lock: int = 3
    lock_first_s: int = 10
    lock_longest_s: int = 1280
    processing_s: float = 0.2
    drift_ppm: int = 0
    price_milli: int = UNIT_PRICE_MILLI
    reconnect_milli: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """One meter as manufactured at `made_at` (aware).

    `currency` is the ISO 4217 code of a meter that counts money, None of one that counts units.
    """

    drn: Drn
    key: DecoderKey
    key_type: KeyType
    sgc: int
    krn: int
    tariff_index: int
    ken: int
    base_date: BaseDate
    made_at: datetime
    service: Service = Service.ELECTRICITY
    currency: str | None = None
    tables: StaTables = field(default=SAMPLE, repr=False)

    @classmethod
    def keyed(
        cls,
        drn: str,
        vending_key: VendingKey,
        *,
        made_at: datetime,
        tariff_index: int = 1,
        algorithm: EncryptionAlgorithm = EncryptionAlgorithm.MISTY1,
        service: Service = Service.ELECTRICITY,
        currency: str | None = None,
    ) -> Self:
        """A meter that holds the decoder key of a vending key; raises StsError."""
        number = Drn(drn)
        key = derive(
            vending_key, MeterPan.of(number), tariff_index=tariff_index, algorithm=algorithm
        )
        return cls(
            drn=number,
            key=key,
            key_type=vending_key.key_type,
            sgc=vending_key.sgc,
            krn=vending_key.krn,
            tariff_index=tariff_index,
            ken=vending_key.ken,
            base_date=vending_key.base_date,
            made_at=made_at,
            service=service,
            currency=currency,
        )
