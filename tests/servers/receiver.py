"""A receiver of webhooks: a real HTTP server on loopback that answers as badly as it is told to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from standardwebhooks.webhooks import Webhook

Behaviour: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def verified(self, secret: str) -> dict[str, Any]:
        """The event, once the stock library has found the signature right."""
        event: dict[str, Any] = Webhook(secret).verify(self.body, dict(self.headers))
        return event


@dataclass
class Receiver:
    """Keeps what it is told; `behaviour` may be changed at any time."""

    behaviour: Behaviour
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            self.at_once -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        # Signatures are not lower case.
        values = [line.split(": ", 1)[1] for line in head[1:] if line]
        headers = dict(zip(headers, values, strict=True))
        body = await reader.readexactly(int(headers["content-length"]))
        self.received.append(Received(head[0].split(" ")[1], headers, body))
        await self.behaviour(writer)


def answers(status: int = 200, body: bytes = b"", **headers: str) -> Behaviour:
    async def behave(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return behave


async def hangs(_writer: asyncio.StreamWriter) -> None:
    """Takes the request and says nothing, for ever."""
    await asyncio.sleep(3600)


async def drips(writer: asyncio.StreamWriter) -> None:
    """A byte of its head now and then, never all of it."""
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def drips_body(writer: asyncio.StreamWriter) -> None:
    """Says 200 at once, and then never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b"y")
        await writer.drain()
        await asyncio.sleep(0.05)


def floods(status: int) -> Behaviour:
    """Answers with as many megabytes as anybody reads."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 1000000000\r\n\r\n".encode())
        for _ in range(1000):
            writer.write(b"y" * 1_000_000)
            await writer.drain()

    return behave


async def babbles(writer: asyncio.StreamWriter) -> None:
    """Speaks no HTTP."""
    writer.write(b"\x00\xff" * 5000)
    await writer.drain()


async def floods_head(writer: asyncio.StreamWriter) -> None:
    """A head without end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        writer.write(f"X-{number}: {'y' * 1000}\r\n".encode())
        await writer.drain()


async def hangs_up(writer: asyncio.StreamWriter) -> None:
    """Takes the request and goes."""
    writer.transport.abort()


@asynccontextmanager
async def a_receiver(behaviour: Behaviour | None = None) -> AsyncIterator[Receiver]:
    """One that runs; without a behaviour it takes everything."""
    receiver = Receiver(behaviour or answers(204))
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(receiver.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
