"""Topics of docs/mqtt.md, section 1: text to parts and back. Knows nothing of payloads."""

import re
from dataclasses import dataclass
from enum import StrEnum, unique

from headend.errors import Misconfigured
from headend.meters import Drn, TenantId, parse_drn
from headend.refusals import OrderRefused

ROOT = "amr/v1"
FILTERS = (
    f"{ROOT}/+/+/status",
    f"{ROOT}/+/+/+/birth",
    f"{ROOT}/+/+/+/state",
    f"{ROOT}/+/+/+/reading/+",
    f"{ROOT}/+/+/+/event/+",
    f"{ROOT}/+/+/+/res/+",
)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_EVENT_CODE = re.compile(r"[0-9A-Fa-f]{4}")


class Nonsense(Exception):
    """A message that makes no sense. `reason` is one fixed word for the counter; no secrets."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


@unique
class Kind(StrEnum):
    """What a message is."""

    STATUS = "status"
    BIRTH = "birth"
    STATE = "state"
    READING = "reading"
    EVENT = "event"
    RESULT = "res"


@dataclass(frozen=True, slots=True)
class GatewayTopic:
    """.../status of a gateway."""

    tenant: TenantId
    gateway: str


@dataclass(frozen=True, slots=True)
class MeterTopic:
    """A topic of one meter; `tail` is the profile, the event code or the command id, or empty."""

    tenant: TenantId
    gateway: str
    drn: Drn
    kind: Kind
    tail: str = ""


def parse_topic(text: str) -> GatewayTopic | MeterTopic:
    """Read a topic that a gateway wrote; raises Nonsense."""
    levels = text.split("/")
    if levels[:2] != ROOT.split("/") or not 5 <= len(levels) <= 7:
        raise Nonsense("topic")
    tenant, gateway, *rest = levels[2:]
    if not (_NAME.fullmatch(tenant) and _NAME.fullmatch(gateway)):
        raise Nonsense("topic")
    if rest == [Kind.STATUS]:
        return GatewayTopic(TenantId(tenant), gateway)
    return _meter_topic(TenantId(tenant), gateway, rest)


def _meter_topic(tenant: TenantId, gateway: str, rest: list[str]) -> MeterTopic:
    match rest:
        case [meter, Kind.BIRTH | Kind.STATE as kind]:
            return MeterTopic(tenant, gateway, _drn(meter), Kind(kind))
        case [meter, Kind.EVENT, code] if _EVENT_CODE.fullmatch(code):
            return MeterTopic(tenant, gateway, _drn(meter), Kind.EVENT, code)
        case [meter, Kind.READING | Kind.RESULT as kind, tail] if _NAME.fullmatch(tail):
            return MeterTopic(tenant, gateway, _drn(meter), Kind(kind), tail)
        case _:
            raise Nonsense("topic")


def _drn(text: str) -> Drn:
    try:
        return parse_drn(text)
    except OrderRefused as exc:
        raise Nonsense("meter_number") from exc


@dataclass(frozen=True, slots=True)
class CommandTopics:
    """Where one command goes and where its results come from; checked names only."""

    tenant: TenantId
    gateway: str
    drn: Drn

    def __post_init__(self) -> None:
        if not (_NAME.fullmatch(self.tenant) and _NAME.fullmatch(self.gateway)):
            raise Misconfigured(
                "tenant and gateway id stand in MQTT topics: 1 to 64 letters, digits, dot, _ or -"
            )

    def command(self, verb: str) -> str:
        return f"{ROOT}/{self.tenant}/{self.gateway}/{self.drn}/cmd/{verb}"

    def result(self, command_id: str) -> str:
        return f"{ROOT}/{self.tenant}/{self.gateway}/{self.drn}/{Kind.RESULT}/{command_id}"
