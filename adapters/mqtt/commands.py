"""Commands to a gateway as JSON (docs/mqtt.md, section 7)."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

import msgspec

from adapters.mqtt.amounts import to_milliseconds
from adapters.mqtt.messages import VERSION
from headend.commands import SetSupply
from headend.tokens import Token

Arguments: TypeAlias = dict[str, str | int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One command. The same `id` asks for the same thing again; `args` may hold a token."""

    id: str
    verb: str
    args: Arguments = field(default_factory=dict, repr=False)
    worthless_after: datetime | None = None


def token_command_id(token: Token, *, attempt: int) -> str:
    """The token's id, and a new one after each lock-out, which a gateway remembers as an answer."""
    return token.id if attempt == 0 else f"{token.id}.{attempt}"


def enter_token(token: Token, *, attempt: int) -> Asked:
    return Asked(
        id=token_command_id(token, attempt=attempt),
        verb="token",
        args={"token": token.digits, "request": token.id},
    )


def token_outcome(token: Token, *, command_id: str) -> Asked:
    return Asked(
        id=command_id,
        verb="outcome",
        args={"cmd": token.id, "request": token.id, "tid": token.tid},
    )


def read(*, command_id: str) -> Asked:
    return Asked(id=command_id, verb="read")


def sts_configuration(*, command_id: str) -> Asked:
    return Asked(id=command_id, verb="config")


def set_supply(order: SetSupply, *, command_id: str) -> Asked:
    return Asked(
        id=command_id,
        verb="relay",
        args={
            "order": order.action.value,
            "until": to_milliseconds(order.expires_at),
            "reason": order.reason.value,
        },
        worthless_after=order.expires_at,
    )


def set_clock(now: datetime, *, command_id: str) -> Asked:
    return Asked(id=command_id, verb="clock", args={"now": to_milliseconds(now)})


def encode(asked: Asked, *, meter: str, reply: str, now: datetime, expires_at: datetime) -> bytes:
    """The payload; `expires_at` is for the gateway's clock."""
    return msgspec.json.encode(
        {
            "v": VERSION,
            "id": asked.id,
            "verb": asked.verb,
            "meter": meter,
            "ts": to_milliseconds(now),
            "exp": to_milliseconds(expires_at),
            "reply": reply,
            "args": asked.args,
        }
    )
