"""Supply signs: what a meter shows of its supply, and what follows for the customer.

One pure judgement for every wire: on, waiting for the button, or dark with one cause and, where
credit mends it, the amount that is missing. Knows nothing of registers and payloads.
"""

from dataclasses import dataclass
from datetime import datetime

from headend.supply import Contacts, ControlState, DarkCause, Supply, SupplyProof

# What is induced on a dead conductor beside a live one stays below this.
DEAD_BELOW_MV = 50_000
# Less current is the meter's own noise.
LOAD_FROM_MA = 20

# The first that is present explains the dark: what credit cannot mend comes before credit, and
# an order of somebody comes after what the meter does by itself.
_ORDER = (
    DarkCause.RELAY_FAULT,
    DarkCause.TAMPER_LOCK,
    DarkCause.OVERLOAD,
    DarkCause.NO_VOLTAGE,
    DarkCause.OUT_OF_CREDIT,
    DarkCause.BELOW_THRESHOLD,
    DarkCause.DEBT,
    DarkCause.DISCONNECTED,
    DarkCause.KEYPAD_UNIT_LOST,
    DarkCause.UNKNOWN,
)
_CREDIT_MENDS = frozenset({DarkCause.OUT_OF_CREDIT, DarkCause.BELOW_THRESHOLD})


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplySigns:
    """What one look shows. None: the meter does not tell it.

    `told` are the causes that the meter itself names. Credit, the credit from which it closes
    (`reconnect_milli`) and debt in thousandths of what it counts in; `grid_mv` before the
    contacts, `load_mv` and `load_ma` behind them.
    """

    contacts: Contacts
    control: ControlState | None = None
    told: frozenset[DarkCause] = frozenset()
    credit_milli: int | None = None
    reconnect_milli: int | None = None
    debt_milli: int | None = None
    grid_mv: int | None = None
    load_mv: int | None = None
    load_ma: int | None = None


def judge_supply(signs: SupplySigns, taken_at: datetime) -> Supply:
    """The supply that the signs mean."""
    cause = _cause(signs)
    return Supply(
        contacts=signs.contacts,
        control=signs.control,
        cause=cause,
        missing_milli=_missing_milli(signs, cause),
        debt_milli=signs.debt_milli,
        proof=_proof(signs, cause),
        taken_at=taken_at,
    )


def _cause(signs: SupplySigns) -> DarkCause | None:
    if signs.contacts is Contacts.CLOSED:
        return _cause_behind_closed_contacts(signs)
    present = signs.told | _shown(signs)
    if signs.control is ControlState.READY:
        present -= _HEALED_BY_READY
    return next((cause for cause in _ORDER if cause in present), None)


# The meter itself says that nothing is in the way but the button.
_HEALED_BY_READY = frozenset(
    {
        DarkCause.OUT_OF_CREDIT,
        DarkCause.BELOW_THRESHOLD,
        DarkCause.DEBT,
        DarkCause.DISCONNECTED,
        DarkCause.UNKNOWN,
    }
)


def _cause_behind_closed_contacts(signs: SupplySigns) -> DarkCause | None:
    """Contacts that are closed give light, unless there is nothing to let through."""
    if _dead(signs.grid_mv) or DarkCause.NO_VOLTAGE in signs.told:
        return DarkCause.NO_VOLTAGE
    if signs.control in (ControlState.DISCONNECTED, ControlState.READY):
        return None  # welded contacts that were to open still give light
    if DarkCause.RELAY_FAULT in signs.told:
        return DarkCause.RELAY_FAULT
    if _dead(signs.load_mv) and not _flows(signs.load_ma):
        # Said to be closed and fed, with nothing behind them: they are not.
        return DarkCause.NO_VOLTAGE if signs.grid_mv is None else DarkCause.RELAY_FAULT
    return None


def _shown(signs: SupplySigns) -> frozenset[DarkCause]:
    """The causes that follow from what is measured."""
    shown = set()
    if _dead(signs.grid_mv):
        shown.add(DarkCause.NO_VOLTAGE)
    if signs.contacts is Contacts.OPEN and signs.control is ControlState.CONNECTED:
        shown.add(DarkCause.RELAY_FAULT)
    if signs.control is ControlState.DISCONNECTED:
        shown |= _short_of_credit(signs) | {DarkCause.DISCONNECTED}
        if DarkCause.KEYPAD_UNIT_LOST in signs.told:
            shown.discard(DarkCause.DISCONNECTED)  # nobody ordered it: the meter gave up
    return frozenset(shown)


def _short_of_credit(signs: SupplySigns) -> set[DarkCause]:
    credit, wanted = signs.credit_milli, signs.reconnect_milli
    if credit is None or wanted is None:
        return set()
    if credit <= 0:
        return {DarkCause.OUT_OF_CREDIT}
    return {DarkCause.BELOW_THRESHOLD} if credit < wanted else set()


def _missing_milli(signs: SupplySigns, cause: DarkCause | None) -> int | None:
    if cause is DarkCause.DEBT:
        return signs.debt_milli
    if cause not in _CREDIT_MENDS or signs.credit_milli is None or signs.reconnect_milli is None:
        return None
    # Without a threshold any credit above nothing closes the contacts.
    missing = max(signs.reconnect_milli, 1) - signs.credit_milli
    return missing if missing > 0 else None  # it says so with credit enough: what, nobody knows


def _proof(signs: SupplySigns, cause: DarkCause | None) -> SupplyProof | None:
    if signs.contacts is not Contacts.CLOSED or cause is not None:
        return None
    fed = signs.load_mv is not None and not _dead(signs.load_mv)
    return SupplyProof.LOAD if fed or _flows(signs.load_ma) else SupplyProof.CONTACTS


def _dead(millivolt: int | None) -> bool:
    return millivolt is not None and millivolt < DEAD_BELOW_MV


def _flows(milliampere: int | None) -> bool:
    return milliampere is not None and milliampere >= LOAD_FROM_MA
