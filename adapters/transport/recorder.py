"""Recorder: the last exchanges of a line, and their text as a `.frames` file.

Holds no secret: where a request has one, what a dialect gave to be shown stands in its place, and
of a reply that is none nothing is kept then, for an echo may be in it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

LIMIT = 1000
# A babbling line fills the text with nothing.
HEARD_MAX_BYTES = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One exchange; `heard` is empty for silence, `sent_at` by the clock of the loop.

    `remark` tells what was wrong with it, "" that `heard` is the reply. `secret`: a secret was
    sent, and `sent` is what stands for it.
    """

    station: str
    what: object
    sent: bytes
    heard: bytes
    sent_at: float
    took_s: float
    remark: str = ""
    secret: bool = False


def as_it_is(frame: bytes) -> bytes:
    return frame


class Recorder:
    """A ring of exchanges.

    `plain` turns a frame of the wire into one that replays: those of Modbus TCP are numbered.
    """

    def __init__(self, *, limit: int = LIMIT, plain: Callable[[bytes], bytes] = as_it_is) -> None:
        self._ring: deque[Recorded] = deque(maxlen=limit)
        self._plain = plain

    def keep(self, one: Recorded) -> None:
        """An exchange is over."""
        if one.secret and one.remark and one.heard:
            left_out = f"{one.remark}; {len(one.heard)} bytes left out"
            one = replace(one, heard=b"", remark=left_out)
        elif len(one.heard) > HEARD_MAX_BYTES:
            one = replace(one, heard=one.heard[:HEARD_MAX_BYTES])
        self._ring.append(one)

    def text(self, title: str, *, at: datetime, loop_s: float, station: str | None = None) -> str:
        """A `.frames` file. `at` is the time now, and `loop_s` the same on the loop's clock."""
        lines = [f"# {title}", f"# recorded until {at.isoformat(timespec='seconds')}"]
        for one in self._ring:
            if station in (None, one.station):
                lines += self._lines(one, loop_s - one.sent_at)
        return "\n".join(lines) + "\n"

    def _lines(self, one: Recorded, ago_s: float) -> Iterator[str]:
        hidden = ", secret digits replaced by zeros" if one.secret else ""
        yield f"> {self._plain(one.sent).hex(' ')}   {ago_s:.3f} s ago, {one.what}{hidden}"
        heard = self._plain(one.heard).hex(" ") if one.heard else "silence"
        remark = f", {one.remark}" if one.remark else ""
        yield f"< {heard}   {one.took_s * 1000:.0f} ms{remark}"
