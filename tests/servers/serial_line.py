"""Two pseudo-terminals joined like the ends of an RS485 line; any serial library opens them.

A thread carries the bytes, at no particular baud rate and in both directions at once. `cut` makes
the line lose what is sent, as a broken wire does; `mend` joins it again.
"""

import os
import selectors
import threading
import tty
from contextlib import suppress
from types import TracebackType
from typing import Self

CHUNK_BYTES = 4096


class SerialLine:
    """A line with two ends, each the path of a serial port: `left` and `right`."""

    def __init__(self) -> None:
        self._masters, self._slaves = zip(os.openpty(), os.openpty(), strict=True)
        for terminal in self._slaves:
            tty.setraw(terminal)
        for master in self._masters:
            os.set_blocking(master, False)
        self.left, self.right = (os.ttyname(terminal) for terminal in self._slaves)
        self._wake_reader, self._wake_writer = os.pipe()
        self._joined = threading.Event()
        self._joined.set()
        self._carrier = threading.Thread(target=self._carry, name="serial line", daemon=True)

    def __enter__(self) -> Self:
        self._carrier.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.write(self._wake_writer, b"!")
        self._carrier.join()
        for descriptor in (
            *self._masters, *self._slaves, self._wake_reader, self._wake_writer,
        ):  # fmt: skip
            os.close(descriptor)

    def cut(self) -> None:
        """Lose every byte from now on."""
        self._joined.clear()

    def mend(self) -> None:
        """Carry bytes again; what was sent meanwhile stays lost."""
        self._joined.set()

    def _carry(self) -> None:
        left, right = self._masters
        other = {left: right, right: left}
        with selectors.DefaultSelector() as selector:
            for descriptor in (left, right, self._wake_reader):
                selector.register(descriptor, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fd == self._wake_reader:
                        return
                    self._pass_on(key.fd, other[key.fd])

    def _pass_on(self, source: int, target: int) -> None:
        data = os.read(source, CHUNK_BYTES)
        if not self._joined.is_set():
            return
        # Nobody reads the other end and its buffer is full: a real line loses bytes too.
        with suppress(BlockingIOError):
            os.write(target, data)
