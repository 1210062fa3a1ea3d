"""Wire: how long bytes take on a line, and how well its time was used.

The times of a serial line are those of "Modbus over serial line" V1.02, 2.5.1.1; DL/T 645 and
IEC 62056-21 ask for less. Of a network nothing is known: its bytes take no time.
"""

from adapters.transport.address import Address, SerialAddress

# 3.5 characters of 11 bits; a fixed time above 19200 baud.
SILENCE_BITS = 38.5
SILENCE_FAST_S = 0.00175
FAST_BAUD = 19200


class Wire:
    """The speed of one address, and sums over the successful exchanges on it.

    `used_s` had bits on the wire. `ideal_s` is the sum of T(N): request, the slave's delay or the
    silence if that is longer, reply, silence.
    """

    def __init__(self, address: Address) -> None:
        self._known = isinstance(address, SerialAddress)
        self.character_s = 0.0
        self.silence_s = 0.0
        self.used_s = 0.0
        self.ideal_s = 0.0
        if isinstance(address, SerialAddress):
            self.tune(address)

    def tune(self, address: SerialAddress) -> None:
        """The line has another speed now."""
        self.character_s = address.character_s
        baud = address.baud
        self.silence_s = SILENCE_FAST_S if baud > FAST_BAUD else SILENCE_BITS / baud

    def takes_s(self, count: int) -> float:
        """How long so many bytes are on the wire."""
        return count * self.character_s

    def used(self, count: int, *, delay_s: float) -> None:
        """An exchange of so many bytes, both ways together, with a slave of that delay."""
        wire_s = self.takes_s(count)
        self.used_s += wire_s
        self.ideal_s += wire_s + max(self.silence_s, delay_s) + self.silence_s

    @property
    def sums(self) -> tuple[float, float] | tuple[None, None]:
        """`used_s` and `ideal_s`, or nothing where the speed is not known."""
        return (self.used_s, self.ideal_s) if self._known else (None, None)
