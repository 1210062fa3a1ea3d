"""An RS485 line in a process of its own: `python -m tests.bench.rs485_process BAUD [DEAD]`.

32 meters, the first DEAD of them silent, at one end of a pseudo-terminal, timed like a real line.
It prints the path of the other end and runs until its standard input ends.
"""

import asyncio
import selectors
import sys

from adapters.transport.address import SerialAddress
from tests.bench.rs485_lines import a_line


async def serve(baud: int, dead: int) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    async with a_line(SerialAddress(path="-", baud=baud), dead=range(1, dead + 1)) as line:
        print(line.serve_terminal(), flush=True)
        await ended.wait()


def precise() -> asyncio.AbstractEventLoop:
    """Other selectors wait in whole milliseconds, and real meters do not."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=precise) as runner:
        runner.run(serve(int(sys.argv[1]), int((*sys.argv[2:], "0")[0])))
