"""The calls to a PrismToken as plain data, to and from Thrift messages (`prism.thrift`).

Thrift lives only here: what comes in is checked for structure (`prism_frames`), then decoded by the
library, then checked for types. Knows nothing of connections, nor of what the rules make of it.
"""
# The library is typed in part only; what it gives is checked below.
# mypy: untyped-calls-exclude="thriftpy2"

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Generic, Literal, TypeAlias, TypeVar

import msgspec
import thriftpy2
from thriftpy2.protocol import TBinaryProtocol
from thriftpy2.thrift import TApplicationException, TException, TMessageType, TPayload
from thriftpy2.transport import TMemoryBuffer

from adapters.vault.prism_account import IDENT, PrismAccount
from adapters.vault.prism_frames import Packet, UnreadableAnswer, require_whole

INTERFACE = Path(__file__).with_name("prism.thrift")
VERSION = "1.1"
NO_TIME, NO_FLAGS = 0, 0  # the module's own clock and its own choice of TID
PARAMETER = re.compile(r"^Parameter '([A-Za-z][A-Za-z0-9.]{0,39})'", re.ASCII)
HUMP = re.compile(r"(?<=[a-z])[A-Z]")

T = TypeVar("T")
IssuingMethod: TypeAlias = Literal["issueCreditToken", "issueMseToken"]


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a sign-in gives: proves who we are for a short time, and never prints."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call: its name, its arguments by name, and the type of its answer."""

    method: str
    arguments: Mapping[str, object] = field(repr=False)
    answer: type[T]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterConfig:
    """A meter as the module wants it told; `sgc` as a number, `three_kct` for a key change."""

    drn: str
    ea: int
    tct: int
    sgc: int
    krn: int
    ti: int
    ken: int
    three_kct: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAdvice:
    """What a key change brings a meter to, as the module tells it."""

    to_sgc: int
    to_krn: int
    to_ti: int
    to_ken: int
    rollover: bool
    to_vk_kcv: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Answer to a sign-in."""

    access_token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrismToken:
    """One encrypted token as the module tells it.

    `transfer_amount` is in the interface's own type: tenths of a unit in credit of sub-classes 0 to
    3, currency in 4 to 7; `scaled_amount` the same as people read it. `new_config` comes with the
    first token of a key change.
    """

    drn: str
    ea: int
    sgc: int
    krn: int
    ti: int
    token_class: int
    subclass: int
    tid: int
    transfer_amount: float
    scaled_amount: str
    token_dec: str = field(repr=False)
    vk_kcv: str
    new_config: KeyAdvice | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """Answer to a verification: `EVerify.Ok`, or why not; `token` unless it changes a key."""

    validation_result: str
    token: PrismToken | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """Something the module complains of."""

    e_code: str
    e_msg_en: str


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """The state of one PrismToken: what it tells of itself, and its complaints."""

    info: Mapping[str, str]
    alerts: tuple[Alert, ...]


class ApiError(Exception):
    """The module says no. `code` is its dotted identifier, `parameter` the one it complains of.

    The module's own text stays behind: it may repeat what was sent, secrets included.
    """

    def __init__(self, code: str, parameter: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.parameter = parameter

    def is_a(self, code: str) -> bool:
        """Whether this is that code or one below it."""
        return f"{self.code}.".startswith(f"{code}.")


def sign_in(account: PrismAccount) -> Call[SignedIn]:
    """Sign in with a password."""
    arguments = {
        "messageId": "sign-in",
        "realm": account.realm,
        "username": account.username,
        "password": account.password.value,
        "sessionOpts": _interface().SessionOptions(version=VERSION, culture="en"),
    }
    return Call("signInWithPassword", arguments, SignedIn)


def status() -> Call[list[NodeStatus]]:
    """Ask how the module is."""
    return Call("getStatus", {"messageId": "status"}, list[NodeStatus])


def issue(
    method: IssuingMethod, ident: str, meter: MeterConfig, *, subclass: int, amount: float
) -> Call[list[PrismToken]]:
    """Make one credit or management token; `fetch_result` of the same `ident` finds it again.

    `amount` is in the interface's own type, before any compression.
    """
    arguments = {
        "messageId": ident,
        "meterConfig": _meter(meter),
        "subclass": subclass,
        "transferAmount": amount,
        "tokenTime": NO_TIME,
        "flags": NO_FLAGS,
    }
    return Call(method, arguments, list[PrismToken])


def change_key(
    ident: str, meter: MeterConfig, *, to_sgc: int, to_krn: int, to_ti: int
) -> Call[list[PrismToken]]:
    """Make the whole set of a key change; `fetch_result` of the same `ident` finds it again."""
    amendment = _interface().MeterConfigAmendment(toSgc=to_sgc, toKrn=to_krn, toTi=to_ti)
    arguments = {"messageId": ident, "meterConfig": _meter(meter), "newConfig": amendment}
    return Call("issueKeyChangeTokens", arguments, list[PrismToken])


def fetch_result(ident: str) -> Call[list[PrismToken]]:
    """What an issuing call of this message id gave; ApiError ECacheMiss if there was none."""
    arguments = {"messageId": f"f-{ident[:38]}", "reqMessageId": ident}
    return Call("fetchTokenResult", arguments, list[PrismToken])


def verify(meter: MeterConfig, digits: str) -> Call[Verified]:
    """Ask whether these 20 digits are a token for this meter."""
    arguments = {"messageId": "verify", "meterConfig": _meter(meter), "tokenDec": digits}
    return Call("verifyToken", arguments, Verified)


def encode(call: Call[T], *, sequence: int, access: AccessToken | None) -> Packet:
    """The message of a call; all but the sign-in need an access token."""
    api = _interface()
    arguments = getattr(api.TokenApi, f"{call.method}_args")(**call.arguments)
    if access is not None:
        arguments.accessToken = access.value
    buffer = TMemoryBuffer()
    protocol = TBinaryProtocol(buffer)
    protocol.write_message_begin(call.method, TMessageType.CALL, sequence)
    protocol.write_struct(arguments)
    protocol.write_message_end()
    return Packet(buffer.getvalue())


def decode(call: Call[T], packet: Packet, *, sequence: int) -> T:
    """The answer to a call; raises ApiError, UnreadableAnswer."""
    require_whole(packet)
    reply = _reply(call.method, packet, sequence)
    if reply.error is not None:
        raise reply.error
    try:
        return msgspec.convert(reply.answer, call.answer)
    except msgspec.ValidationError as exc:
        raise UnreadableAnswer(f"the answer to {call.method} is not as agreed: {exc}") from None


@dataclass(frozen=True, slots=True)
class _Reply:
    error: ApiError | None
    answer: object = field(repr=False)


def _reply(method: str, packet: Packet, sequence: int) -> _Reply:
    try:
        return _read(method, packet, sequence)
    except (ValueError, TypeError, LookupError, TException) as exc:
        reason = type(exc).__name__  # the library's own text may hold parts of the frame
        raise UnreadableAnswer(f"the answer to {method} cannot be decoded: {reason}") from None


def _read(method: str, packet: Packet, sequence: int) -> _Reply:
    buffer = TMemoryBuffer()
    buffer.write(packet.value)
    protocol = TBinaryProtocol(buffer)
    name, kind, number = protocol.read_message_begin()
    if (name, number) != (method, sequence):
        raise UnreadableAnswer("the security module answered another call than was made")
    if kind == TMessageType.EXCEPTION:
        failure = TApplicationException()
        protocol.read_struct(failure)
        raise UnreadableAnswer(f"the security module failed at {method}: Thrift {failure.type}")
    result = getattr(_interface().TokenApi, f"{method}_result")()
    protocol.read_struct(result)
    if result.ex1 is not None:
        return _Reply(_api_error(result.ex1.eCode, result.ex1.eMsgEn), None)
    return _Reply(None, _plain(result.success))


def _api_error(code: object, text: object) -> ApiError:
    if not isinstance(code, str) or IDENT.fullmatch(code) is None:
        return ApiError("(no code)")
    named = PARAMETER.match(text) if isinstance(text, str) else None
    return ApiError(code, named[1] if named else None)


def _meter(meter: MeterConfig) -> TPayload:
    """A key change is an operation of its own, never a by-product of a sale."""
    config: TPayload = _interface().MeterConfigIn(
        drn=meter.drn,
        ea=meter.ea,
        tct=meter.tct,
        sgc=meter.sgc,
        krn=meter.krn,
        ti=meter.ti,
        ken=meter.ken,
        allow3Kct=meter.three_kct,
        allowKrnUpdate=False,
        allowKenUpdate=False,
    )
    return config


def _plain(value: object) -> object:
    """Thrift structures as mappings with our names; a field left out stays out."""
    match value:
        case TPayload():
            return dict(_fields(value))
        case list():
            return [_plain(one) for one in value]
        case _:
            return value


def _fields(struct: TPayload) -> Iterator[tuple[str, object]]:
    for name, value in vars(struct).items():
        if value is not None:
            yield HUMP.sub(lambda hump: f"_{hump[0].lower()}", name), _plain(value)


@cache
def _interface() -> ModuleType:
    return thriftpy2.load(INTERFACE)
