"""Supply as a gateway tells it (docs/mqtt.md, section 2), in the head-end's words."""

from collections.abc import Mapping
from datetime import datetime

from adapters.mqtt.amounts import parse_value
from adapters.mqtt.messages import Control, KeypadUnit, SupplyPart
from headend.readings import ReadingType
from headend.supply import ControlState, DarkCause, Supply
from headend.supply_signs import SupplySigns, judge_supply

_CONTROLS: Mapping[Control, ControlState] = {
    Control.DISCONNECTED: ControlState.DISCONNECTED,
    Control.CONNECTED: ControlState.CONNECTED,
    Control.READY: ControlState.READY,
}


def read_supply(
    part: SupplyPart | None, taken_at: datetime, *, credit_milli: int | None = None
) -> Supply | None:
    """Supply as the meter measured it; `credit_milli` is the credit told in the same message."""
    if part is None:
        return None
    signs = SupplySigns(
        contacts=part.contacts,
        control=None if part.control is None else _CONTROLS[part.control],
        told=_told(part),
        credit_milli=credit_milli,
        reconnect_milli=_amount(part.reconnect_at),
        debt_milli=_amount(part.debt),
        grid_mv=_of(ReadingType.VOLTAGE_L1_MV, part.grid_voltage),
        load_mv=_of(ReadingType.VOLTAGE_L1_MV, part.load_voltage),
        load_ma=_of(ReadingType.CURRENT_L1_MA, part.load_current),
    )
    return judge_supply(signs, taken_at)


def _told(part: SupplyPart) -> frozenset[DarkCause]:
    told = set() if part.cause is None else {part.cause}
    if part.keypad_unit is KeypadUnit.LOST:
        told.add(DarkCause.KEYPAD_UNIT_LOST)
    return frozenset(told)


def _amount(pair: object) -> int | None:
    return _of(ReadingType.CREDIT_LEFT_MILLI, pair)


def _of(kind: ReadingType, pair: object) -> int | None:
    return None if pair is None else parse_value(kind, pair)
