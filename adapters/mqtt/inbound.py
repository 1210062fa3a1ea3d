"""Messages from the broker, and what we owe it for them: an acknowledgement once one is safe.

Acknowledgements go in the order of arrival (MQTT 5, 4.6).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message; `done` says that it is safe here; harmless on a connection that is gone."""

    topic: str
    payload: bytes
    retained: bool
    done: Callable[[], None]


class Acknowledgements:
    """What one connection still owes its broker; after `close`, nothing."""

    def __init__(self, send: Callable[[int], object]) -> None:
        self._send = send
        self._owed: deque[_Owed] = deque()

    def __len__(self) -> int:
        return len(self._owed)

    def owe(self, packet_id: int) -> Callable[[], None]:
        """Note one message; calling the answer says that it is safe (again: harmless)."""
        owed = _Owed(packet_id)
        self._owed.append(owed)

        def done() -> None:
            owed.safe = True
            self._settle()

        return done

    def close(self) -> None:
        """The connection is gone: its broker sends what is owed again, under new packet ids."""
        self._owed.clear()

    def _settle(self) -> None:
        while self._owed and self._owed[0].safe:
            self._send(self._owed.popleft().packet_id)


@dataclass(slots=True)
class _Owed:
    packet_id: int
    safe: bool = False
