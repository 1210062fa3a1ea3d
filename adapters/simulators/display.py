"""What a simulated meter shows on its display for a class 1 token (IEC 62055-41, clause 6.2.3)."""

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.simulators.circuit import Circuit
from adapters.simulators.decoder import Decoder
from adapters.simulators.kept_values import KeptValues
from adapters.simulators.plate import Plate
from adapters.simulators.relay import Hold
from headend.meters import Service
from protocols.sts.management import FLAG_INDEX
from protocols.sts.metertest import SELECTOR_BITS, ExtendedRead, MeterTest
from protocols.sts.tables import EncryptionAlgorithm, MeterTestNumber

SOFTWARE_VERSION = "SIM 1.0"
FLAG_BITS = 9


@dataclass(frozen=True, slots=True)
class ShownControl:
    """A control value of the extended set, by its index."""

    index: int


@dataclass(frozen=True, slots=True)
class ShownFlag:
    """A flag of the extended set, by its number."""

    flag: int


Shown = MeterTestNumber | ShownControl | ShownFlag


def shown(
    token: MeterTest | ExtendedRead,
    decoder: Decoder,
    circuit: Circuit,
    kept: KeptValues,
    *,
    plate: Plate,
) -> Mapping[Shown, str]:
    """Texts by what they tell; empty for a token whose function this meter has not built in."""
    if isinstance(token, ExtendedRead):
        return _read_back(token, kept)
    if token.subclass > 1:
        return {}
    everything = token.numbers == (MeterTestNumber.ALL,)
    return {
        number: text
        for number, text in _tests(decoder, circuit, kept, plate).items()
        if everything or number in token.numbers
    }


def _tests(
    decoder: Decoder, circuit: Circuit, kept: KeptValues, plate: Plate
) -> Mapping[MeterTestNumber, str]:
    values = {
        MeterTestNumber.LOAD_SWITCH: "ok" if circuit.relay.obeys else "fault",
        MeterTestNumber.DISPLAY: "8888888888",
        MeterTestNumber.ENERGY_TOTALS: str(circuit.account.import_milli // 1000),
        MeterTestNumber.KRN: str(decoder.krn),
        MeterTestNumber.TARIFF_INDEX: f"{decoder.tariff_index:02d}",
        MeterTestNumber.TOKEN_READER: "ok",
        MeterTestNumber.POWER_LIMIT: _limit(circuit.power_limit_w),
        MeterTestNumber.TAMPER_STATUS: "tampered" if Hold.TAMPER in circuit.relay.holds else "ok",
        MeterTestNumber.PRESENT_POWER: str(circuit.flow),
        MeterTestNumber.SOFTWARE_VERSION: SOFTWARE_VERSION,
        MeterTestNumber.PHASE_UNBALANCE_LIMIT: _limit(circuit.unbalance_limit_w),
        MeterTestNumber.TARIFF_RATE: str(kept.tariff_rate),
        MeterTestNumber.ENCRYPTION_ALGORITHM: f"{decoder.algorithm:02d}",
        MeterTestNumber.KEY_CHANGE_TOKENS: _key_change_tokens(decoder.algorithm),
        MeterTestNumber.SGC: f"{decoder.sgc:06d}",
        MeterTestNumber.KEN: str(decoder.ken),
        MeterTestNumber.DRN: plate.drn.digits,
    }
    if plate.service is Service.WATER:
        values[MeterTestNumber.WATER_FACTOR] = str(kept.water_factor)
    return values


def _read_back(token: ExtendedRead, kept: KeptValues) -> Mapping[Shown, str]:
    """One control or flag. The number of a flag stands behind the index, as in the token that sets.

    That place is our reading: the published tokens ask for flag 0 only, and have zeros there.
    """
    below = SELECTOR_BITS - FLAG_BITS
    if token.index != FLAG_INDEX:
        if token.selector:
            return {}
        return {ShownControl(token.index): str(kept.controls.get(token.index, 0))}
    if token.selector & (1 << below) - 1:
        return {}
    flag = token.selector >> below
    return {ShownFlag(flag): "on" if kept.flags.get(flag, False) else "off"}


def _key_change_tokens(algorithm: EncryptionAlgorithm) -> str:
    return "4" if algorithm is EncryptionAlgorithm.MISTY1 else "3"


def _limit(watts: int | None) -> str:
    return "none" if watts is None else str(watts)
