"""Commands as rows hold them: what is written here must be read by every later release."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import get_args

import pytest

from adapters.store.commands import command_json, command_of
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

ROWS: list[tuple[Command, dict[str, object]]] = [
    (EnterToken(), {"type": "enter_token"}),
    (
        SetSupply(SupplyAction.OPEN, SupplyReason.SAFETY, datetime(2026, 3, 1, 12, tzinfo=UTC)),
        {
            "type": "set_supply",
            "action": "open",
            "reason": "safety",
            "expires_at": "2026-03-01T12:00:00+00:00",
        },
    ),
    (SetClock(), {"type": "set_clock"}),
    (
        SetCreditParameters(
            CreditParameters(unit="kWh", low_credit_1=Decimal("20.50"), overdraft=Decimal(0))
        ),
        {
            "type": "set_credit_parameters",
            "parameters": {"unit": "kWh", "low_credit_1": "20.50", "overdraft": "0"},
        },
    ),
    (
        SetCreditParameters(CreditParameters(power_limit_w=6000)),
        {"type": "set_credit_parameters", "parameters": {"power_limit_w": 6000}},
    ),
    (
        Manage(ManagementOrder(ManagementKind.SET_FLAG, value=0, index=3)),
        {"type": "manage", "kind": "set_flag", "value": 0, "index": 3},
    ),
    (
        Manage(ManagementOrder(ManagementKind.CLEAR_TAMPER)),
        {"type": "manage", "kind": "clear_tamper", "value": None, "index": None},
    ),
    (
        Manage(
            ManagementOrder(ManagementKind.POWER_LIMIT, value=6000),
            StsConfiguration("600675", 1, 1, KeyType.UNIQUE, 7),
        ),
        {
            "type": "manage",
            "kind": "power_limit",
            "value": 6000,
            "index": None,
            "sts": {"sgc": "600675", "krn": 1, "tariff_index": 1, "key_type": 2, "ea": 7},
        },
    ),
    (
        ChangeKey(
            present=StsConfiguration("600675", 1, 1, KeyType.UNIQUE, 7),
            to=StsConfiguration("000001", 9, 99, KeyType.COMMON, 11),
        ),
        {
            "type": "change_key",
            "present": {"sgc": "600675", "krn": 1, "tariff_index": 1, "key_type": 2, "ea": 7},
            "to": {"sgc": "000001", "krn": 9, "tariff_index": 99, "key_type": 3, "ea": 11},
        },
    ),
]


@pytest.mark.parametrize(("command", "row"), ROWS)
def test_a_command_is_written_and_read_by_words_that_never_change(command, row):
    assert command_json(command) == row
    assert command_of(row) == command


def test_every_command_is_among_them():
    assert {type(command) for command, _ in ROWS} == set(get_args(Command))


def test_a_command_of_a_newer_release_is_not_taken_for_another():
    with pytest.raises(AssertionError, match="newer release"):
        command_of({"type": "self_destruct"})
