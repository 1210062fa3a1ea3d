"""A simulated meter with an IEC 62056-21 read-out in mode A or C, as on an optical head."""

from dataclasses import dataclass, field

from protocols.iec62056_21.characters import ACK, ETX, LINE_END, STX, BlockCheck

# A meter may take its time before it talks (6.3.14: 20 or 200 ms, at most 1.5 s).
REACTION_S = 0.2


@dataclass(slots=True)
class ReadOutMeter:
    """On a line. `lines` are its data lines; `speed_character` tells the mode.

    `damaged` so many of its next read-outs have a wrong block check.
    """

    address: str
    lines: dict[str, str] = field(default_factory=dict)
    identity: str = "ABC"
    speed_character: str = "5"
    check: BlockCheck = BlockCheck.XOR
    silent: bool = False
    damaged: int = 0
    read_outs: int = 0
    _signed_on: bool = False

    def hear(self, frame: bytes) -> tuple[float, bytes] | None:
        """What it says to a message on the line, and after how long."""
        plain = bytes(byte & 0x7F for byte in frame)
        if self.silent:
            return None
        if plain in (b"/?!" + LINE_END, f"/?{self.address}!".encode() + LINE_END):
            return self._identify()
        asked = bytes([ACK]) + f"0{self.speed_character}0".encode() + LINE_END
        if self._signed_on and plain == asked:
            self._signed_on = False
            return REACTION_S, self._data()
        self._signed_on = False
        return None

    def _identify(self) -> tuple[float, bytes]:
        line = f"/{self.identity}{self.speed_character}SIMULATED".encode() + LINE_END
        self._signed_on = self.speed_character.isdigit()
        return REACTION_S, line if self._signed_on else line + self._data()

    def _data(self) -> bytes:
        self.read_outs += 1
        lines = "".join(f"{address}({value})\r\n" for address, value in self.lines.items())
        checked = lines.encode("ascii") + b"!" + LINE_END + bytes([ETX])
        check = self.check.of(checked)
        if self.damaged > 0:
            self.damaged -= 1
            check ^= 0x01
        return bytes([STX]) + checked + bytes([check])
