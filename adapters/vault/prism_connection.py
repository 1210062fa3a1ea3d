"""One TLS connection to a PrismToken: a Thrift frame out, a Thrift frame in.

Framed transport: each message after its length, four bytes, most significant first. Knows nothing
of what the frames say. After anything but a whole answer the connection is of no more use, because
a late answer would be taken for the next one: it is cut.
"""

import asyncio
import ssl
from contextlib import suppress
from typing import Self

from adapters.vault.prism_frames import MAX_FRAME_BYTES, Packet, UnreadableAnswer
from adapters.vault.prism_server import PrismServer
from headend.errors import ModuleDown

LENGTH_BYTES = 4
GOODBYE_S = 1


class Unreachable(ModuleDown):
    """No connection: nobody answers there, or whoever does is not the one we trust."""


class ConnectionLost(ModuleDown):
    """The connection broke before the answer. What was asked for may have been done."""


class NoAnswerInTime(ModuleDown):
    """The module kept silent. What was asked for may have been done, or may still be."""


class PrismConnection:
    """Made by `open`; one exchange at a time."""

    def __init__(
        self, server: PrismServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._used_at = asyncio.get_running_loop().time()

    @classmethod
    async def open(cls, server: PrismServer, trust: ssl.SSLContext) -> Self:
        """Connect, and check that it is the server we mean; raises Unreachable."""
        try:
            async with asyncio.timeout(server.patience.connect_s):
                reader, writer = await asyncio.open_connection(
                    server.host, server.port, ssl=trust, ssl_shutdown_timeout=GOODBYE_S
                )
        except ssl.SSLCertVerificationError as exc:
            raise Unreachable(
                f"the certificate of security module {server} is not to be trusted:"
                f" {exc.verify_message}"
            ) from None
        except TimeoutError:
            raise Unreachable(f"security module {server} does not answer") from None
        except (OSError, UnicodeError) as exc:
            raise Unreachable(f"security module {server} cannot be reached: {exc}") from None
        return cls(server, reader, writer)

    @property
    def fresh(self) -> bool:
        """Whether it was used a moment ago; what lies between may have forgotten an older one."""
        idle = asyncio.get_running_loop().time() - self._used_at
        return idle < self._server.patience.idle_s and not self._reader.at_eof()

    async def exchange(self, packet: Packet) -> Packet:
        """Send one frame and wait for one; raises ConnectionLost, NoAnswerInTime, Unreadable."""
        try:
            async with asyncio.timeout(self._server.patience.answer_s):
                self._writer.write(len(packet.value).to_bytes(LENGTH_BYTES))
                self._writer.write(packet.value)
                await self._writer.drain()
                answer = await self._frame()
        except TimeoutError:
            self.cut()
            raise NoAnswerInTime(f"security module {self._server} keeps silent") from None
        except (OSError, asyncio.IncompleteReadError):
            self.cut()
            raise ConnectionLost(f"security module {self._server} broke off") from None
        except BaseException:
            self.cut()
            raise
        self._used_at = asyncio.get_running_loop().time()
        return answer

    def cut(self) -> None:
        """Close at once, without a goodbye."""
        self._writer.transport.abort()

    async def aclose(self) -> None:
        """Say goodbye and close; never takes long and never fails."""
        self._writer.close()
        with suppress(OSError):
            async with asyncio.timeout(2 * GOODBYE_S):
                await self._writer.wait_closed()

    async def _frame(self) -> Packet:
        length = int.from_bytes(await self._reader.readexactly(LENGTH_BYTES))
        if not 0 < length <= MAX_FRAME_BYTES:
            raise UnreadableAnswer(f"security module {self._server} sends no Thrift frames")
        return Packet(await self._reader.readexactly(length))
