"""The security module in hardware: a PrismToken, which holds the vending keys and makes tokens.

Thrift over TLS (PrismToken interface 1.1). The module takes its own clock, TID and RND, so the
same order asked twice would make two tokens: before anything is made, the module is asked what it
made before under the same message id (`fetchTokenResult`), also by an earlier process. When an
answer is lost, nothing is made under that id until the module must have finished.

A module that is down, hangs, or talks nonsense delays a sale (ModuleDown) and never loses it. It
tells no attributes of its keys, so those come with the settings, and its every answer must fit.
"""

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum, unique
from hashlib import sha256

from adapters.vault.prism_account import PrismAccount
from adapters.vault.prism_connection import ConnectionLost
from adapters.vault.prism_frames import UnreadableAnswer
from adapters.vault.prism_messages import (
    ApiError,
    MeterConfig,
    NodeStatus,
    PrismToken,
    fetch_result,
    issue_credit,
    status,
    verify,
)
from adapters.vault.prism_refusals import refusal_of
from adapters.vault.prism_server import PrismServer
from adapters.vault.prism_session import Badge, PrismSession
from headend.errors import ModuleDown
from headend.meters import Drn, KeyType, Service, StsConfiguration, TenantId
from headend.refusals import AmountNotPositive, AmountTooLarge, NoVendingKey
from headend.tokens import MAX_TOKEN, Issued, IssuedToken, TokenOrder, TokenPurpose, parse_digits
from headend.vending_keys import VendingKey
from protocols.sts.amount import UNITS_MAX, decode_units, encode_units
from protocols.sts.limits import TID_MAX
from protocols.sts.tables import CreditSubclass, TokenClass
from protocols.sts.token import CLASS_MASK, DIGITS

# Message ids are sorted onto sessions, so that two callers with one id meet in one of them.
SESSIONS = 4
IDENT_DIGITS = 40
TCT_NUMERIC = 2  # the carrier does not enter the token

SUBCLASSES = {
    Service.ELECTRICITY: CreditSubclass.ELECTRICITY,
    Service.WATER: CreditSubclass.WATER,
    Service.GAS: CreditSubclass.GAS,
    Service.TIME: CreditSubclass.TIME,
}


@unique
class Verdict(StrEnum):
    """What the module says of a token's digits."""

    OK = "EVerify.Ok"
    WRONG_KEY = "EVerify.Crc"
    DEFAULT_KEY = "EVerify.DdtkCredit"
    KEY_EXPIRED = "EVerify.KeyExpired"


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
        self._keys = {(key.tenant, key.sgc, key.krn): key for key in keys}
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

    async def issue(self, order: TokenOrder, *, message_id: str) -> Issued:
        """One credit token; the module chooses TID and RND, the order's are not used.

        The same message id gives the same digits for as long as the module remembers them. Raises
        OrderRefused; ModuleDown when there is no answer that fits, then ask again later.
        """
        key = await self.key(order.tenant, order.sts.sgc, order.sts.krn)
        _require_sane(order, key)
        ident = _ident(message_id)
        session = self._sessions[int(ident, 16) % len(self._sessions)]
        try:
            async with session.turn():
                tokens = await self._made_or_make(session, order, ident)
        except ApiError as error:
            raise refusal_of(error, order.drn, order.sts) from None
        return _issued(tokens, order, key)

    async def verify(
        self, tenant: TenantId, drn: Drn, sts: StsConfiguration, digits: str
    ) -> Verdict:
        """Whether 20 digits are a token for a meter; raises OrderRefused, ModuleDown."""
        await self.key(tenant, sts.sgc, sts.krn)
        plain = parse_digits(digits)
        session = self._sessions[0]
        try:
            async with session.turn():
                verified = await session.ask(verify(_meter(drn, sts), plain))
        except ApiError as error:
            raise refusal_of(error, drn, sts) from None
        try:
            return Verdict(verified.validation_result)
        except ValueError:
            raise UnreadableAnswer("the security module's verdict is of no known kind") from None

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

    async def _made_or_make(
        self, session: PrismSession, order: TokenOrder, ident: str
    ) -> Sequence[PrismToken]:
        if (made := await _made(session, ident)) is not None:
            return made
        self._doubts.require_none(ident)
        call = issue_credit(
            ident,
            _meter(order.drn, order.sts),
            subclass=SUBCLASSES[order.service],
            amount_tenths=order.amount_tenths,
        )
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


def _require_sane(order: TokenOrder, key: VendingKey) -> None:
    """What needs no module to be refused."""
    if order.amount_tenths <= 0:
        raise AmountNotPositive("the amount must be more than zero", field="amount")
    if order.amount_tenths > UNITS_MAX:
        largest = f"{UNITS_MAX // 10}.{UNITS_MAX % 10}"
        raise AmountTooLarge(f"a token carries at most {largest} units", field="amount")
    named = f"the key of supply group {key.sgc}, revision {key.krn},"
    if order.sts.key_type != key.key_type:
        raise NoVendingKey(
            f"{named} is of type {int(key.key_type)}, but the meter is registered with type"
            f" {int(order.sts.key_type)}; correct the meter",
            field="key_type",
        )
    if key.key_type not in {KeyType.UNIQUE, KeyType.COMMON}:
        raise NoVendingKey(
            f"{named} is a default key: meters that hold it refuse credit until their key is"
            " changed",
            field="key_type",
        )


def _meter(drn: Drn, sts: StsConfiguration) -> MeterConfig:
    return MeterConfig(
        drn=drn,
        ea=sts.ea,
        tct=TCT_NUMERIC,
        sgc=int(sts.sgc),
        krn=sts.krn,
        ti=sts.tariff_index,
        ken=255,  # of the meter; compared only where key changes may be added, and they may not
    )


def _issued(tokens: Sequence[PrismToken], order: TokenOrder, key: VendingKey) -> Issued:
    """The token of an answer that fits the order in everything; raises UnreadableAnswer.

    A token for another meter, key or amount must not reach a customer; the module keeps it.
    """
    if len(tokens) != 1:
        raise UnreadableAnswer(
            f"the security module gives {len(tokens)} tokens where one was asked for"
        )
    [token] = tokens
    told = _told(token)
    for name, wanted in _wanted(order, key).items():
        if told[name] != wanted:
            raise UnreadableAnswer(
                f"the security module's token has {name} {told[name]} instead of {wanted};"
                " compare its keys with the settings"
            )
    if not _is_credit(token):
        raise UnreadableAnswer("the security module's digits are no credit token")
    encoded = _encoded(token, order)
    issued = IssuedToken(token.token_dec, token.tid, TokenPurpose.CREDIT)
    return Issued((issued,), encoded_tenths=encoded)


def _wanted(order: TokenOrder, key: VendingKey) -> Mapping[str, object]:
    return {
        "drn": order.drn,
        "sgc": int(order.sts.sgc),
        "krn": order.sts.krn,
        "tariff_index": order.sts.tariff_index,
        "ea": order.sts.ea,
        "class": int(TokenClass.CREDIT),
        "subclass": int(SUBCLASSES[order.service]),
        "check_value": key.check_value.upper(),
    }


def _told(token: PrismToken) -> Mapping[str, object]:
    return {
        "drn": token.drn,
        "sgc": token.sgc,
        "krn": token.krn,
        "tariff_index": token.ti,
        "ea": token.ea,
        "class": token.token_class,
        "subclass": token.subclass,
        "check_value": token.vk_kcv.upper(),
    }


def _is_credit(token: PrismToken) -> bool:
    digits = token.token_dec
    if len(digits) != DIGITS or not (digits.isascii() and digits.isdigit()):
        return False
    value = int(digits)
    return value <= MAX_TOKEN and value & CLASS_MASK == 0 and 0 <= token.tid <= TID_MAX


def _encoded(token: PrismToken, order: TokenOrder) -> int:
    """Tenths really encoded: what was asked for, or the next that 16 bits can hold."""
    amount = token.transfer_amount
    largest = decode_units(encode_units(order.amount_tenths))
    if not (amount.is_integer() and order.amount_tenths <= amount <= largest):
        raise UnreadableAnswer("the security module's token is of another amount than asked for")
    return int(amount)
