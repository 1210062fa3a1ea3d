"""The security module in hardware: a PrismToken, which holds the vending keys and makes tokens.

Thrift over TLS (PrismToken interface 1.1). The module takes its own clock, TID and RND, so the
same order asked twice would make two tokens: before anything is made, the module is asked what it
made before under the same message id (`fetchTokenResult`), also by an earlier process. When an
answer is lost, nothing is made under that id until the module must have finished.

A module that is down, hangs, or talks nonsense delays a sale (ModuleDown) and never loses it. It
tells no attributes of its keys, so those come with the settings, and its every answer must fit.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from adapters.vault.contents import meter_test
from adapters.vault.explanations import explain, opened
from adapters.vault.key_changes import naming_side
from adapters.vault.key_types import require_type
from adapters.vault.prism_account import PrismAccount
from adapters.vault.prism_answers import changed, issued
from adapters.vault.prism_connection import ConnectionLost
from adapters.vault.prism_messages import (
    ApiError,
    Call,
    NodeStatus,
    PrismToken,
    change_key,
    fetch_result,
    issue,
    status,
    verify,
)
from adapters.vault.prism_orders import asked_for, meter_config, require_changeable
from adapters.vault.prism_readings import contents_told
from adapters.vault.prism_refusals import refusal_of
from adapters.vault.prism_server import PrismServer
from adapters.vault.prism_session import Badge, PrismSession
from headend.errors import ModuleDown
from headend.meters import Meter, TenantId
from headend.refusals import NoVendingKey
from headend.tokens import (
    Issued,
    KeyChangeOrder,
    ManagementOrder,
    TokenContents,
    TokenOrder,
    parse_digits,
)
from headend.vending_keys import VendingKey
from protocols.sts.tables import TokenClass

# Message ids are sorted onto sessions, so that two callers with one id meet in one of them.
SESSIONS = 4
IDENT_DIGITS = 40


class PrismVault:
    """Satisfies `ports.SecurityModule`; close it with `aclose`.

    `keys` are the attributes of the keys loaded into the module, as its key list shows them. Raises
    ServerUnusable when the certificates of `server` cannot be read.
    """

    def __init__(
        self,
        server: PrismServer,
        account: PrismAccount,
        *,
        keys: Sequence[VendingKey],
        sessions: int = SESSIONS,
    ) -> None:
        trust, badge = server.trust(), Badge(server, account)
        self._keys = {
            (key.tenant, key.sgc, key.krn): replace(key, module_draws=True) for key in keys
        }
        self._sessions = [PrismSession(server, trust, badge) for _ in range(sessions)]
        self._doubts = _Doubts(server.patience.settle_s)

    async def key(self, tenant: TenantId, sgc: str, krn: int) -> VendingKey:
        """Attributes of a key of the settings, whether or not the module is up.

        Raises NoVendingKey.
        """
        key = self._keys.get((tenant, sgc, krn))
        if key is None:
            raise NoVendingKey(
                f"no vending key for supply group {sgc}, key revision {krn}; load it into the"
                " security module and name it in the settings",
                field="sgc",
            )
        return key

    async def check(self, order: TokenOrder) -> VendingKey:
        """The key an order would be issued under; raises what can be told without the module."""
        key = await self.key(order.tenant, order.sts.sgc, order.sts.krn)
        asked_for(order, key)
        return key

    async def issue(self, order: TokenOrder, *, message_id: str) -> Issued:
        """One token; the module chooses TID and RND, the order's are not used.

        The same message id gives the same digits for as long as the module remembers them. A token
        of class 1 is clear text and is made here. Raises OrderRefused; ModuleDown when there is no
        answer that fits, then ask again later.
        """
        if (test := meter_test(order)) is not None:
            return test
        key = await self.key(order.tenant, order.sts.sgc, order.sts.krn)
        asked = asked_for(order, key)
        ident = _ident(message_id)
        call = issue(
            asked.method,
            ident,
            meter_config(order.drn, order.sts),
            subclass=int(asked.contents.subclass),
            amount=asked.amount,
        )
        try:
            tokens = await self._made_or_make(call, ident)
        except ApiError as error:
            credit = not isinstance(order.content, ManagementOrder)
            raise refusal_of(error, order.drn, order.sts, credit=credit) from None
        return issued(tokens, order, asked, key)

    async def change_key(self, order: KeyChangeOrder, *, message_id: str) -> Issued:
        """The whole set that brings a meter to another key, in the order of entry, or none of it.

        The same message id gives the same digits for as long as the module remembers them.
        """
        with naming_side("present"):
            present = await self.key(order.tenant, order.present.sgc, order.present.krn)
        with naming_side("to"):
            to = await self.key(order.tenant, order.to.sgc, order.to.krn)
        require_changeable(order, present, to)
        ident = _ident(message_id)
        call = change_key(
            ident,
            meter_config(order.drn, order.present, three_kct=order.three_kct),
            to_sgc=int(order.to.sgc),
            to_krn=order.to.krn,
            to_ti=order.to.tariff_index,
        )
        try:
            tokens = await self._made_or_make(call, ident)
        except ApiError as error:
            raise refusal_of(error, order.drn, order.present, order.to) from None
        return changed(tokens, order, present, to)

    async def read(self, tenant: TenantId, meter: Meter, digits: str) -> TokenContents:
        """What 20 digits say under the key of a meter; raises also MalformedToken."""
        plain = parse_digits(digits, field="token")
        token_class, _ = opened(plain)
        if token_class is TokenClass.METER_TEST:
            return explain(plain, meter, None)
        key = await self.key(tenant, meter.sts.sgc, meter.sts.krn)
        require_type(key, meter.sts)
        session = self._sessions[0]
        try:
            async with session.turn():
                verified = await session.ask(verify(meter_config(meter.drn, meter.sts), plain))
        except ApiError as error:
            raise refusal_of(error, meter.drn, meter.sts) from None
        return contents_told(verified, token_class, meter, key)

    async def status(self) -> Sequence[NodeStatus]:
        """What the module (or each behind a facade) tells of itself; raises ModuleDown."""
        session = self._sessions[0]
        try:
            async with session.turn():
                return await session.ask(status())
        except ApiError as error:
            raise ModuleDown(f"the security module answers {error.code}") from None

    async def aclose(self) -> None:
        """Close all connections; calls under way end as ModuleDown."""
        await asyncio.gather(*(session.aclose() for session in self._sessions))

    async def _made_or_make(self, call: Call[list[PrismToken]], ident: str) -> Sequence[PrismToken]:
        """What was made under this message id before, else what the call makes now."""
        session = self._sessions[int(ident, 16) % len(self._sessions)]
        async with session.turn():
            if (made := await _made(session, ident)) is not None:
                return made
            self._doubts.require_none(ident)
            try:
                return await session.ask_once(call)
            except ApiError:
                raise
            except ConnectionLost:
                self._doubts.add(ident)
                if (made := await _made(session, ident)) is None:
                    raise
                return made
            except BaseException:
                self._doubts.add(ident)
                raise


class _Doubts:
    """Message ids whose answer was lost a short while ago: the module may still be at work."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._until: dict[str, float] = {}

    def add(self, ident: str) -> None:
        now = asyncio.get_running_loop().time()
        self._until = {one: until for one, until in self._until.items() if until > now}
        self._until[ident] = now + self._settle_s

    def require_none(self, ident: str) -> None:
        if self._until.get(ident, 0.0) > asyncio.get_running_loop().time():
            raise ModuleDown("the security module's answer was lost and it may still be at work")


async def _made(session: PrismSession, ident: str) -> Sequence[PrismToken] | None:
    """What the module made before under this message id."""
    try:
        return await session.ask(fetch_result(ident))
    except ApiError as error:
        if error.is_a("ECacheMiss"):
            return None
        raise


def _ident(message_id: str) -> str:
    """A message id of any form in the module's: 40 hex digits."""
    return sha256(message_id.encode()).hexdigest()[:IDENT_DIGITS]
