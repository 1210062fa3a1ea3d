"""A meter on the bench: keyed with the published test key, with a pen that writes its tokens."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapters.simulators.meter import SimulatedMeter
from adapters.simulators.plate import MeterSettings, Plate
from headend.meters import Service
from headend.tokens import TokenResult
from protocols.sts.cipher import cipher_for
from protocols.sts.credit import CreditUnits
from protocols.sts.drn import MeterPan
from protocols.sts.keychange import KeyChange
from protocols.sts.keys import VendingKey
from protocols.sts.tables import BaseDate, CreditSubclass, Dkga, EncryptionAlgorithm, KeyType
from protocols.sts.tid import tid_at
from protocols.sts.token import TokenContents, encode, encode_key_change

VECTORS = json.loads((Path(__file__).parents[2] / "protocols/sts/vectors/sts.json").read_text())[
    "vectors"
]

DRN = "00000000000"  # the meter of the published vectors: PAN 600727 00000000000 9
TEST_KEY = bytes.fromhex("abababababababab949494949494949401234567")
START = datetime(2026, 1, 5, 8, tzinfo=UTC)
MADE = datetime(2014, 1, 1, tzinfo=UTC)


def a_key(
    *,
    value: bytes = TEST_KEY,
    sgc: int = 201457,
    krn: int = 1,
    base_date: BaseDate = BaseDate.Y2014,
    ken: int = 255,
    key_type: KeyType = KeyType.UNIQUE,
) -> VendingKey:
    return VendingKey(
        value=value,
        dkga=Dkga.HMAC_SHA_256,
        sgc=sgc,
        krn=krn,
        base_date=base_date,
        ken=ken,
        key_type=key_type,
    )


def a_meter(
    *,
    drn: str = DRN,
    key: VendingKey | None = None,
    now: datetime = START,
    made_at: datetime = MADE,
    service: Service = Service.ELECTRICITY,
    currency: str | None = None,
    algorithm: EncryptionAlgorithm = EncryptionAlgorithm.MISTY1,
    tariff_index: int = 1,
    credit_milli: int = 100_000,
    load: int = 0,
    **settings,
) -> SimulatedMeter:
    plate = Plate.keyed(
        drn,
        key or a_key(),
        made_at=made_at,
        service=service,
        currency=currency,
        algorithm=algorithm,
        tariff_index=tariff_index,
    )
    return SimulatedMeter(
        plate, now, settings=MeterSettings(**settings), credit_milli=credit_milli, load=load
    )


class Bench:
    """A meter, the time, and tokens for it; every token is a minute younger than the last."""

    def __init__(self, **attributes) -> None:
        self.now: datetime = attributes.get("now", START)
        self.meter = a_meter(**attributes)
        self.key: VendingKey = attributes.get("key") or a_key()
        self.algorithm = attributes.get("algorithm", EncryptionAlgorithm.MISTY1)
        self.cipher = cipher_for(self.meter.plate.key, self.meter.plate.tables)
        self._tid = tid_at(self.key.base_date, self.now)

    def tid(self) -> int:
        self._tid += 1
        return self._tid

    def token(self, contents: TokenContents) -> str:
        return encode(contents, self.cipher)

    def credit(self, tenths: int, *, tid: int | None = None) -> str:
        fresh = self.tid() if tid is None else tid
        return self.token(CreditUnits(CreditSubclass.ELECTRICITY, 5, fresh, tenths))

    def key_change(self, new: VendingKey, *, three_kct: bool = False) -> tuple[str, ...]:
        change = KeyChange.between(
            self.key,
            new,
            MeterPan.of(self.meter.plate.drn),
            tariff_index=2,
            algorithm=self.algorithm,
        )
        return encode_key_change(change, self.cipher, three_kct=three_kct)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.meter.advance(self.now)

    def types(self, digits: str):
        return self.meter.customer_types(digits, self.now).result

    def told(self) -> TokenResult | None:
        """The result that remote entry shows."""
        shown = self.meter.token_port.shown
        return shown.result if shown else None

    def remembered(self, request: int) -> TokenResult | None:
        """The result that remote entry remembers of a request."""
        known = self.meter.token_port.known(request)
        return known.result if known else None
