"""Replays a `.frames` file: `> hex` is what we must send, `< hex` what then comes.

`< silence` is a reply that never comes; `= reading_type value` is what the exchange means; whatever
follows two blanks is a remark; `#` begins a line that is one. Time is the event loop's, so that a
replay may run on virtual time.
"""

import asyncio
import re
from pathlib import Path

from adapters.transport.address import Address
from headend.readings import ReadingType

FRAMES = Path(__file__).parent
_LINE = re.compile(r"([<>]) (silence|(?:[0-9a-f]{2} ?)+)(?:\s{2,}.*)?$")


def meaning(name: str) -> dict[ReadingType, int]:
    """The readings that a file says its exchange means."""
    lines = (FRAMES / f"{name}.frames").read_text().splitlines()
    pairs = (line[1:].split() for line in lines if line.startswith("="))
    return {ReadingType(kind): int(value) for kind, value, *_ in pairs}


def exchanges(name: str) -> list[tuple[bytes, bytes]]:
    """What was sent, and what came then, of each exchange of a file."""
    lines = (FRAMES / f"{name}.frames").read_text().splitlines()
    frames = [_parsed(line)[1] for line in lines if line[:1] not in {"#", "="}]
    return list(zip(frames[::2], frames[1::2], strict=True))


class Replay:
    """A transport that plays one file. `finished`: every line was used."""

    def __init__(self, name: str) -> None:
        lines = (FRAMES / f"{name}.frames").read_text().splitlines()
        self._lines = [_parsed(line) for line in lines if line[:1] not in {"#", "="}]

    async def open(self, address: Address) -> "Replay":
        return self

    @property
    def finished(self) -> bool:
        return not self._lines

    async def write(self, data: bytes, *, timeout: float) -> None:
        direction, frame = self._lines.pop(0) if self._lines else ("", b"")
        assert (direction, frame.hex(" ")) == (">", data.hex(" "))

    async def read(self, max_bytes: int, *, timeout: float) -> bytes:
        if not self._lines or self._lines[0][0] == ">" or not self._lines[0][1]:
            if self._lines and self._lines[0][0] == "<":
                del self._lines[0]
            await asyncio.sleep(timeout)
            raise TimeoutError
        return self._lines.pop(0)[1]

    async def drop_input(self) -> int:
        return 0

    async def aclose(self) -> None:
        pass


def _parsed(line: str) -> tuple[str, bytes]:
    found = _LINE.match(line)
    assert found, f"this is no line of a recorded exchange: {line}"
    return found[1], b"" if found[2] == "silence" else bytes.fromhex(found[2])
