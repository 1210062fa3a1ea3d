"""Fuzzed frames of any dialect: changed, cut, grown, and some whose check is made to fit."""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

FRAMES = 100_000


def fuzz(
    seeds: Sequence[bytes],
    explain: Callable[[bytes], object],
    whole: Callable[[bytes], bytes],
    recheck: Callable[[bytes], bytes],
    *,
    seed: int,
) -> None:
    """Explain FRAMES of them: each is refused with a ValueError, or is whole, byte for byte."""
    believed = 0
    for frame in islice(_fuzzed(random.Random(seed), seeds, recheck), FRAMES):
        try:
            explain(frame)
        except ValueError:
            continue
        believed += 1
        assert whole(frame) == frame.lstrip(b"\xfe") or whole(frame) == frame
    assert 0 < believed < FRAMES / 3


def _fuzzed(
    chance: random.Random, seeds: Sequence[bytes], recheck: Callable[[bytes], bytes]
) -> Iterator[bytes]:
    while True:
        frame = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            _change(chance, frame)
        yield recheck(bytes(frame)) if chance.randrange(4) == 0 else bytes(frame)


def _change(chance: random.Random, frame: bytearray) -> None:
    match chance.randrange(8):
        case 0:
            frame.insert(chance.randrange(len(frame) + 1), chance.randrange(256))
        case 1 if len(frame) > 1:
            del frame[chance.randrange(len(frame))]
        case 2:
            frame[chance.randrange(len(frame) + 1) :] = chance.randbytes(chance.randrange(8))
        case _ if frame:
            frame[chance.randrange(len(frame))] = chance.randrange(256)


def summed(frame: bytes, begin: int) -> bytes:
    """With a sum that fits from `begin` on, and 16 at the end."""
    return frame[:-2] + bytes([sum(frame[begin:-2]) & 0xFF, 0x16]) if len(frame) > 2 else frame


def told(rows: Any) -> dict[str, str]:
    return dict(rows)
