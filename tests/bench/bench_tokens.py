"""Tokens: how often one core derives a decoder key, and how fast it makes and reads digits."""

from collections.abc import Callable, Iterator
from functools import partial

from protocols.sts.cipher import cipher_for
from protocols.sts.credit import CreditUnits
from protocols.sts.drn import Drn, MeterPan
from protocols.sts.keys import VendingKey, derive
from protocols.sts.sta import SAMPLE
from protocols.sts.tables import BaseDate, CreditSubclass, Dkga, EncryptionAlgorithm
from protocols.sts.token import decode, encode
from tests.bench.figures import Figure

PAN = MeterPan.of(Drn.build(mfr_code="00", serial="00000012"))
KEY = VendingKey(
    value=bytes(range(20)),
    dkga=Dkga.HMAC_SHA_256,
    sgc=123457,
    krn=1,
    base_date=BaseDate.Y2014,
    ken=255,
)
CREDIT = CreditUnits(subclass=CreditSubclass.ELECTRICITY, rnd=5, tid=6_000_000, amount_tenths=256)


def measure(seconds: float) -> Iterator[Figure]:
    """Yield the rates of both encryption algorithms, keys by DKGA04."""
    for algorithm in EncryptionAlgorithm:
        key = derive(KEY, PAN, tariff_index=7, algorithm=algorithm)
        cipher = cipher_for(key, SAMPLE)
        works: dict[str, Callable[[], object]] = {
            "derive a decoder key": partial(derive, KEY, PAN, tariff_index=7, algorithm=algorithm),
            "encode a token": partial(encode, CREDIT, cipher),
            "decode a token": partial(decode, encode(CREDIT, cipher), cipher),
        }
        for what, work in works.items():
            yield Figure.of(f"{algorithm.name}: {what}", work, seconds=seconds)
