"""Commands as JSON, by a tag that never changes.

Rows outlive releases: never reorder or rename, add at the end with a default.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import assert_never

from headend.commands import Command, EnterToken, SetClock, SetSupply
from headend.supply import SupplyAction, SupplyReason


def command_json(command: Command) -> dict[str, str]:
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
        case _:
            assert_never(command)


def command_of(plain: Mapping[str, str]) -> Command:
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
        case tag:
            raise AssertionError(f"a command of a newer release: {tag}")
