"""STS tokens: how many one core issues and decodes a second, and what they spend their time on.

All kinds of work take turns in short slices, so that they meet the same machine; shares are ratios
of processor time within one round. Alone: `python -m tests.bench.bench_sts`.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from statistics import median

from protocols.sts.cipher import cipher_for
from protocols.sts.credit import CreditUnits
from protocols.sts.drn import Drn, MeterPan
from protocols.sts.keys import DecoderKey, VendingKey, derive
from protocols.sts.sta import SAMPLE
from protocols.sts.tables import BaseDate, CreditSubclass, Dkga, EncryptionAlgorithm
from protocols.sts.token import clear_block, decode, encode
from tests.bench.figures import spin_ms

ROUNDS = 40
METERS = 256  # each call derives for the next one, so no key comes twice in a row
TARIFF_INDEX = 7
CREDIT = CreditUnits(subclass=CreditSubclass.ELECTRICITY, rnd=5, tid=6_000_000, amount_tenths=256)
PANS = [MeterPan.of(Drn.build(mfr_code="00", serial=f"{number:08d}")) for number in range(METERS)]

DERIVE, PREPARE = "deriving the key", "making it ready"
ENCRYPT, DECRYPT = "encrypting", "decrypting"
ISSUE_NEW, ISSUE_KEPT = "issue, new key each", "issue, key kept"
DECODE_NEW, DECODE_KEPT = "decode, new key each", "decode, key kept"
REST = "the rest (fields, CRC, digits, memory)"
PARTS_OF = {
    ISSUE_NEW: (DERIVE, PREPARE, ENCRYPT),
    ISSUE_KEPT: (ENCRYPT,),
    DECODE_NEW: (DERIVE, PREPARE, DECRYPT),
    DECODE_KEPT: (DECRYPT,),
}

Work = Callable[[], object]
Works = Mapping[tuple[str, str], Work]


@dataclass(frozen=True, slots=True)
class TokenRate:
    """Tokens a second: the median of the rounds, and the slowest and the fastest of them.

    `shares` are those of the time of one token, each part measured alone; the largest limits.
    `spin_ms` is a fixed piece of work before and after: what it varies, the machine gave to others.
    """

    what: str
    per_second: float
    slowest: float
    fastest: float
    cpu_us: float
    shares: Mapping[str, float]
    spin_ms: tuple[float, float]

    @property
    def limit(self) -> str:
        """What most of the time goes to."""
        return max(self.shares, key=lambda name: self.shares[name])

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.shares.items())
        before, after = self.spin_ms
        return (
            f"{self.what:<48}{self.per_second:>12,.0f}/s{self.cpu_us:>12,.1f} us CPU each\n"
            f"    limited by {self.limit}: {shares}\n"
            f"    rounds {self.slowest:,.0f} to {self.fastest:,.0f}/s;"
            f" spin {before:.1f} and {after:.1f} ms"
        )


@dataclass(frozen=True, slots=True)
class Slice:
    """One work's turn in one round: seconds of the clock and of the processor, for one time."""

    wall: float
    cpu: float


def measure(seconds: float) -> Iterator[TokenRate]:
    """Yield issue and decode rates of EA07 and EA11, each figure measured for so many seconds."""
    works = {
        **_works(EncryptionAlgorithm.MISTY1, Dkga.HMAC_SHA_256),
        **_works(EncryptionAlgorithm.STA, Dkga.HMAC_SHA_256),
        **_works(EncryptionAlgorithm.STA, Dkga.DES),
    }
    counts = {name: _calls_within(work, seconds / ROUNDS) for name, work in works.items()}
    before = spin_ms()
    rounds = [
        {name: _slice(work, counts[name]) for name, work in works.items()} for _ in range(ROUNDS)
    ]
    spins = before, spin_ms()
    for family, step in works:
        if step in PARTS_OF:
            yield _rate(family, step, rounds, spins)


def _works(algorithm: EncryptionAlgorithm, dkga: Dkga) -> Works:
    """What is measured of one algorithm; every new key is that of the next meter."""
    vending_key = _vending_key(dkga)
    issuing, reading, deriving = cycle(PANS), cycle(PANS), cycle(PANS)

    def key_of(pan: MeterPan) -> DecoderKey:
        return derive(vending_key, pan, tariff_index=TARIFF_INDEX, algorithm=algorithm)

    kept = key_of(PANS[0])
    cipher = cipher_for(kept, SAMPLE)
    token, block = encode(CREDIT, cipher), clear_block(CREDIT)
    tokens = cycle([encode(CREDIT, cipher_for(key_of(pan), SAMPLE)) for pan in PANS])
    works: dict[str, Work] = {
        DERIVE: lambda: key_of(next(deriving)),
        PREPARE: lambda: cipher_for(kept, SAMPLE),
        ENCRYPT: lambda: cipher.encrypt(block),
        DECRYPT: lambda: cipher.decrypt(block),
        ISSUE_NEW: lambda: encode(CREDIT, cipher_for(key_of(next(issuing)), SAMPLE)),
        ISSUE_KEPT: lambda: encode(CREDIT, cipher),
        DECODE_NEW: lambda: decode(next(tokens), cipher_for(key_of(next(reading)), SAMPLE)),
        DECODE_KEPT: lambda: decode(token, cipher),
    }
    family = f"EA{algorithm:02d}, DKGA{dkga:02d}"
    return {(family, step): work for step, work in works.items()}


def _vending_key(dkga: Dkga) -> VendingKey:
    value = bytes.fromhex("AB" * 8) if dkga is Dkga.DES else bytes(range(20))
    return VendingKey(value, dkga=dkga, sgc=123457, krn=1, base_date=BaseDate.Y2014, ken=255)


def _calls_within(work: Work, seconds: float) -> int:
    """How often a work fits into so many seconds, at least once; also warms it up."""
    calls, spent = 1, _slice(work, 1).wall
    while spent < seconds / 10:
        calls *= 2
        spent = _slice(work, calls).wall * calls
    return max(1, int(calls * seconds / spent))


def _slice(work: Work, calls: int) -> Slice:
    began, began_cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        work()
    wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return Slice(wall / calls, cpu / calls)


def _rate(
    family: str,
    step: str,
    rounds: Sequence[Mapping[tuple[str, str], Slice]],
    spins: tuple[float, float],
) -> TokenRate:
    walls = [one[family, step].wall for one in rounds]
    shares = {
        part: median(one[family, part].cpu / one[family, step].cpu for one in rounds)
        for part in PARTS_OF[step]
    }
    return TokenRate(
        what=f"{family}: {step}",
        per_second=round(1 / median(walls), 1),
        slowest=round(1 / max(walls), 1),
        fastest=round(1 / min(walls), 1),
        cpu_us=round(median(one[family, step].cpu for one in rounds) * 1e6, 1),
        shares={
            part: round(share, 3)
            for part, share in {**shares, REST: max(0.0, 1 - sum(shares.values()))}.items()
        },
        spin_ms=spins,
    )


def main(arguments: Sequence[str]) -> None:
    for rate in measure(float(arguments[0]) if arguments else 1.0):
        print(rate)


if __name__ == "__main__":
    main(sys.argv[1:])
