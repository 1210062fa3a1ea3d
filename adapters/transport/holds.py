"""Holds: questions of a line whose answers may still come, and whose slaves are asked no more."""

from dataclasses import dataclass
from typing import cast

from adapters.transport.exchange import Exchange, R


@dataclass(frozen=True, slots=True)
class Hold:
    """One question, sent and not answered; its answer may come until then."""

    exchange: Exchange[object]
    sent_at: float
    until: float

    @property
    def station(self) -> str:
        return self.exchange.station

    def may_answer_for(self, station: str) -> bool:
        """Its reply names nobody, and could be taken for that of this slave."""
        kin = self.exchange.kin
        return not self.exchange.addressed or (kin is not None and station.startswith(kin))


class Holds:
    """At most one a slave; all times are those of one clock."""

    def __init__(self) -> None:
        self._holds: dict[str, Hold] = {}

    def add(self, exchange: Exchange[R], *, sent_at: float, until: float) -> None:
        known = cast("Exchange[object]", exchange)
        self._holds[exchange.station] = Hold(known, sent_at, until)

    def release(self, station: str) -> None:
        del self._holds[station]

    def against(self, station: str, *, now: float) -> Hold | None:
        """What keeps this slave from being asked: a reply of its own, or one without a name."""
        if not self._holds:
            return None
        for name in [name for name, hold in self._holds.items() if hold.until <= now]:
            del self._holds[name]
        alike = (hold for hold in self._holds.values() if hold.may_answer_for(station))
        return self._holds.get(station) or next(alike, None)

    def take_late(
        self, heard: bytearray, since: int, *, now: float, asked: str | None = None
    ) -> tuple[Hold, int] | None:
        """A late reply, taken out of what was heard, and its length; its slave is released.

        New is what came from `since` on. Of the slave that is `asked` now no reply is late.
        """
        for name, hold in self._holds.items():
            if name == asked or hold.sent_at > now:
                continue
            start = max(0, since - hold.exchange.reply_bytes)
            if found := hold.exchange.answer(bytes(heard[start:])):
                del self._holds[name]
                del heard[: start + found[1]]
                return hold, found[1]
        return None
