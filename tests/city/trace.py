"""What happened in a city, in time order: for people a story, for replays a hash."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

EVERYBODY = ""
# Around a recharge, so much of what concerned everybody is told.
BEFORE_S, STORY_LINES = 5.0, 120


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened. `about` is a meter, or nobody in particular (a process, a wire)."""

    at_s: float
    about: str
    text: str

    def __str__(self) -> str:
        return f"{self.at_s:10.3f} s  {self.about or '-':12} {self.text}"


class Trace:
    """Lines in time order, and how often each kind of fault was injected."""

    def __init__(self, time: Callable[[], float]) -> None:
        self.lines: list[Line] = []
        self.faults: Counter[str] = Counter()
        self._time = time
        self._hash = blake2b(digest_size=8)

    @property
    def hash(self) -> str:
        """Two runs with the same hash were the same."""
        return self._hash.hexdigest()

    def tell(self, about: str, text: str) -> None:
        """Something happened now."""
        line = Line(self._time(), about, text)
        self.lines.append(line)
        self._hash.update(f"{line.at_s!r}|{about}|{text}\n".encode())

    def fault(self, kind: str, about: str, text: str) -> None:
        """Something was done to somebody."""
        self.faults[kind] += 1
        self.tell(about, f"! {text}")

    def story(self, drn: str, *, since_s: float) -> Iterator[str]:
        """What concerned a meter and everybody from shortly before a moment on."""
        told = 0
        for line in self.lines:
            if line.at_s < since_s - BEFORE_S or line.about not in (drn, EVERYBODY):
                continue
            told += 1
            if told > STORY_LINES:
                yield "           (and so on)"
                return
            yield str(line)
