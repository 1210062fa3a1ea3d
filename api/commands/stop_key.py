"""A stop key for long work: q on a terminal, or Ctrl-C; the work ends cleanly where it is."""

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUIT = b"q"


@contextmanager
def stop_key() -> Iterator[Callable[[], bool]]:
    """Whether a stop was asked for. Use in a running event loop of the main thread."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    try:
        with _quit_key(loop, stop):
            yield stop.is_set
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextmanager
def _quit_key(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> Iterator[None]:
    if not sys.stdin.isatty():
        yield
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def typed() -> None:
        if QUIT in os.read(terminal, 64).lower():
            stop.set()

    tty.setcbreak(terminal)
    loop.add_reader(terminal, typed)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
