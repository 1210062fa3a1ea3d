"""Transport: a pipe of bytes with time-outs. It knows nothing of frames."""

from typing import Protocol, runtime_checkable

from adapters.transport.address import SerialAddress


class TransportLost(ConnectionError):
    """The peer closed, or the port went away. Open a new transport."""


class Transport(Protocol):
    """A pipe of bytes, opened by `opening.open_transport`.

    Reading from a pipe whose other end is gone raises TransportLost, never returns nothing.
    """

    async def read(self, max_bytes: int, *, timeout: float) -> bytes:
        """At least one byte, at most so many; raises TimeoutError, TransportLost."""

    async def write(self, data: bytes, *, timeout: float) -> None:
        """Return when the system has taken all of it; raises TimeoutError, TransportLost."""

    async def drop_input(self) -> int:
        """Forget what has come unread, and say how many bytes; raises TransportLost."""

    async def aclose(self) -> None:
        """Close at once; what is not written is lost. Closing twice is fine."""


@runtime_checkable
class Tunable(Protocol):
    """A transport whose speed can change while it is open."""

    def tune(self, address: SerialAddress) -> None:
        """Take the speed and framing of characters of this address, not its path."""
