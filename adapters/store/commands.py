"""Commands as JSON, by a tag that never changes.

Rows outlive releases: never reorder or rename, add at the end with a default.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, assert_never

from adapters.store.meters import sts_columns
from headend.commands import (
    ChangeKey,
    Command,
    EnterToken,
    Manage,
    SetClock,
    SetCreditParameters,
    SetSupply,
)
from headend.credit_parameters import CreditParameters
from headend.meters import KeyType, StsConfiguration
from headend.supply import SupplyAction, SupplyReason
from headend.tokens import ManagementKind, ManagementOrder

KIND_TAGS: Mapping[type[Command], str] = {
    ChangeKey: "change_key",
    Manage: "manage",
    SetSupply: "set_supply",
}


def command_json(command: Command) -> dict[str, object]:
    """A command as the database keeps it."""
    match command:
        case EnterToken():
            return {"type": "enter_token"}
        case SetSupply():
            return {
                "type": "set_supply",
                "action": command.action.value,
                "reason": command.reason.value,
                "expires_at": command.expires_at.astimezone(UTC).isoformat(),
            }
        case SetClock():
            return {"type": "set_clock"}
        case Manage(order, sts):
            numbers = {"kind": order.kind.value, "value": order.value, "index": order.index}
            made_under = {} if sts is None else {"sts": sts_columns(sts)}
            return {"type": "manage", **numbers, **made_under}
        case SetCreditParameters(change):
            return {"type": "set_credit_parameters", "parameters": dict(change.plain)}
        case ChangeKey():
            return {
                "type": "change_key",
                "present": sts_columns(command.present),
                "to": sts_columns(command.to),
            }
        case _:
            assert_never(command)


def command_of(plain: Mapping[str, Any]) -> Command:
    """The command again."""
    match plain["type"]:
        case "enter_token":
            return EnterToken()
        case "set_supply":
            return SetSupply(
                action=SupplyAction(plain["action"]),
                reason=SupplyReason(plain["reason"]),
                expires_at=datetime.fromisoformat(plain["expires_at"]),
            )
        case "set_clock":
            return SetClock()
        case "manage":
            kind = ManagementKind(plain["kind"])
            order = ManagementOrder(kind, value=plain["value"], index=plain["index"])
            sts = plain.get("sts")
            return Manage(order, None if sts is None else _sts_of(sts))
        case "change_key":
            return ChangeKey(present=_sts_of(plain["present"]), to=_sts_of(plain["to"]))
        case "set_credit_parameters":
            return SetCreditParameters(CreditParameters.of(plain["parameters"]))
        case tag:
            raise AssertionError(f"a command of a newer release: {tag}")


def _sts_of(plain: Mapping[str, Any]) -> StsConfiguration:
    return StsConfiguration(
        sgc=plain["sgc"],
        krn=plain["krn"],
        tariff_index=plain["tariff_index"],
        key_type=KeyType(plain["key_type"]),
        ea=plain["ea"],
    )
