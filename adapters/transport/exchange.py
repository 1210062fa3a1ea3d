"""Exchange: one question of any dialect, and how its answer is known.

The seam between a line and the dialects on it. A dialect frames the request and tells a reply
from everything else; the line decides when the request goes, how long its answer is waited for,
and what becomes of a reply that comes too late. A new dialect needs nothing else of a line:

    exchange = Exchange(
        station=f"dlt645 {address}",        # whose delay is learned, who is put in quarantine
        request=frame,
        reply_bytes=longest_reply,          # for the time on the wire, and as a bound
        answer=lambda heard: ...,           # (value, end) once the reply is whole in `heard`
        what=f"meter {address}, reading 00010000",
    )
    value = await line.ask(exchange, urgency=Urgency.READING)

`answer` is called with all that was heard since the request left (its echo taken off), again with
each piece that comes. It must find its reply within noise, believe nothing whose checksum, address
or length is wrong, and change nothing. A refusal by the meter is a value too: what it means is
for the dialect to say. Dialects whose exchanges must not be parted, or that change the speed of
the line in between, take the line for a run: see `line.Line.run`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

R = TypeVar("R")

# The value of the reply, and where in the heard bytes it ends.
Answer: TypeAlias = tuple[R, int]


class Garbled(Exception):
    """The stream of bytes makes no sense any more: only a new connection can help."""


def strip_echo(heard: bytearray, request: bytes) -> bool:
    """Take a request, and what came before it, out of what was heard; whether it was there."""
    at = heard.find(request) if request else -1
    if at < 0:
        return False
    del heard[: at + len(request)]
    return True


def never(_: object) -> bool:
    return False


def always(_: object, __: object) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange(Generic[R]):
    """One request and how its reply is known.

    `answer` may raise Garbled. `what` tells in error texts what was asked, never a secret.
    `shown` stands in recordings in place of a request with a secret in it. `mirrored`: the right
    reply may look like the request itself. `addressed`: the reply tells whose it is; else nobody
    is asked while it may still come. `kin` does the same for those stations only whose names begin
    so: their replies look alike and name nobody, while those of others cannot be mistaken. `absent`
    says of a value that it is a gateway's word that the slave is silent. `timeout_s` replaces the
    learned time-out. A reply of unknown length has `gap_s` and `whole_s`: it is over when nothing
    more has come for so long, and given up when all of it took so long. `ended` says whether what
    came from a place on may have ended it: who has long replies spares looking through them again
    with each piece.
    """

    station: str
    request: bytes = field(repr=False)
    reply_bytes: int
    answer: Callable[[bytes], Answer[R] | None]
    what: object
    shown: bytes | None = None
    mirrored: bool = False
    addressed: bool = True
    kin: str | None = None
    absent: Callable[[R], bool] = never
    timeout_s: float | None = None
    gap_s: float | None = None
    whole_s: float | None = None
    ended: Callable[[bytearray, int], bool] = always

    def __post_init__(self) -> None:
        assert self.request, "an answer is one to something"
        assert (self.gap_s is None) == (self.whole_s is None), "nobody waits without a bound"

    def __str__(self) -> str:
        return str(self.what)
