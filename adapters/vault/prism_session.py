"""A conversation with a PrismToken: connected when needed, signed in, one caller at a time.

The access token is shared by all sessions of an account, outlives their connections, and is used
until the module refuses it. After a failure the session rests for a moment: callers behind the
first one are told at once instead of in turn.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog

from adapters.vault.prism_account import PrismAccount
from adapters.vault.prism_connection import (
    ConnectionLost,
    NoAnswerInTime,
    PrismConnection,
    Unreachable,
)
from adapters.vault.prism_messages import AccessToken, ApiError, Call, decode, encode, sign_in
from adapters.vault.prism_server import PrismServer
from headend.errors import ModuleDown

# At ten tokens a second this is half a minute's work, longer than a caller is kept waiting.
WAITING_MAX = 300
SEQUENCES = 2**31

T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class SignInRefused(ModuleDown):
    """The module does not let us in: the account, its password or its rights are wrong."""


class Rest:
    """A pause after a failure, in which nobody tries again."""

    def __init__(self, server: PrismServer) -> None:
        self._server = server
        self._until = 0.0
        self._reason = ""

    def begin(self, seconds: float, error: ModuleDown) -> None:
        self._until = asyncio.get_running_loop().time() + seconds
        self._reason = str(error)
        log.warning("security module down", module=str(self._server), reason=self._reason)

    def require_over(self) -> None:
        """Raises ModuleDown with the reason of the pause."""
        if asyncio.get_running_loop().time() < self._until:
            raise ModuleDown(self._reason)


class Badge:
    """Who we are to a module, shared by its sessions: one signs in, for all of them."""

    def __init__(self, server: PrismServer, account: PrismAccount) -> None:
        self.account = account
        self.access: AccessToken | None = None
        self.signing_in = asyncio.Lock()
        self.rest = Rest(server)

    def give_back(self, refused: AccessToken) -> None:
        """The module no longer takes this one; a newer one of another session stays."""
        if self.access is refused:
            self.access = None


class PrismSession:
    """Whoever has its `turn` may ask. `trust` is the server's."""

    def __init__(self, server: PrismServer, trust: ssl.SSLContext, badge: Badge) -> None:
        self._server = server
        self._trust = trust
        self._badge = badge
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._connection: PrismConnection | None = None
        self._sequence = 0
        self._rest = Rest(server)
        self._closed = False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until nobody else asks, not for ever; raises ModuleDown."""
        if self._waiting >= WAITING_MAX:
            raise ModuleDown(f"too many sales wait for security module {self._server}")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._server.patience.turn_s):
                await self._lock.acquire()
        except TimeoutError:
            raise ModuleDown(f"security module {self._server} is busy with others") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._lock.release()

    async def ask(self, call: Call[T]) -> T:
        """Make a call that may be made twice; raises ApiError, ModuleDown."""
        try:
            return await self.ask_once(call)
        except ConnectionLost:
            # A kept connection is often found dead only now.
            return await self.ask_once(call)

    async def ask_once(self, call: Call[T]) -> T:
        """Make a call whose answer, once lost, must be looked for; raises ApiError, ModuleDown.

        When the access token is refused nothing was done, so it is made again after one sign-in.
        """
        connection = await self._connected()
        access = await self._signed_in(connection)
        try:
            return await self._exchange(connection, call, access)
        except ApiError as error:
            if not error.is_a("EAuthentication.Token"):
                raise
        self._badge.give_back(access)
        access = await self._signed_in(connection)
        return await self._exchange(connection, call, access)

    async def aclose(self) -> None:
        """Close for good; a call under way ends as ConnectionLost."""
        self._closed = True
        if self._connection is not None:
            await self._connection.aclose()

    async def _connected(self) -> PrismConnection:
        self._require_open()
        self._rest.require_over()
        if self._connection is not None and self._connection.fresh:
            return self._connection
        self._drop()
        try:
            self._connection = await PrismConnection.open(self._server, self._trust)
        except Unreachable as error:
            self._rest.begin(self._server.patience.rest_s, error)
            raise
        self._require_open()
        log.info("security module connected", module=str(self._server))
        return self._connection

    def _require_open(self) -> None:
        if self._closed:
            self._drop()
            raise ModuleDown("the head-end is shutting down")

    async def _signed_in(self, connection: PrismConnection) -> AccessToken:
        badge = self._badge
        async with badge.signing_in:
            if badge.access is None:
                badge.rest.require_over()
                badge.access = await self._sign_in(connection)
            return badge.access

    async def _sign_in(self, connection: PrismConnection) -> AccessToken:
        patience, rest = self._server.patience, self._badge.rest
        try:
            signed_in = await self._exchange(connection, sign_in(self._badge.account), None)
        except ApiError as error:
            refused = SignInRefused(
                f"security module {self._server} refuses the sign-in ({error.code}); check realm,"
                " user name, password and rights of the account"
            )
            rest.begin(patience.sign_in_rest_s, refused)
            raise refused from None
        except NoAnswerInTime as error:
            rest.begin(patience.rest_s, error)
            raise
        return AccessToken(signed_in.access_token)

    async def _exchange(
        self, connection: PrismConnection, call: Call[T], access: AccessToken | None
    ) -> T:
        self._sequence = (self._sequence + 1) % SEQUENCES
        packet = encode(call, sequence=self._sequence, access=access)
        try:
            answer = await connection.exchange(packet)
            return decode(call, answer, sequence=self._sequence)
        except ApiError:
            raise
        except NoAnswerInTime as error:
            self._rest.begin(self._server.patience.rest_s, error)
            self._drop()
            raise
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.cut()
            self._connection = None
