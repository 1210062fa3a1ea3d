"""What a simulated meter shows on its display for a class 1 token (IEC 62055-41, clause 6.2.3)."""

from collections.abc import Mapping

from adapters.simulators.circuit import Circuit
from adapters.simulators.decoder import Decoder
from adapters.simulators.relay import Hold
from protocols.sts.metertest import ExtendedRead, MeterTest
from protocols.sts.tables import EncryptionAlgorithm, MeterTestNumber

SOFTWARE_VERSION = "SIM 1.0"


def shown(
    token: MeterTest | ExtendedRead,
    decoder: Decoder,
    circuit: Circuit,
    *,
    drn: str,
) -> Mapping[MeterTestNumber, str]:
    """Texts by test number; empty for a test that this meter has not built in."""
    if isinstance(token, ExtendedRead) or not token.subclass <= 1:
        return {}
    values = {
        MeterTestNumber.LOAD_SWITCH: "ok",
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
        MeterTestNumber.ENCRYPTION_ALGORITHM: f"{decoder.algorithm:02d}",
        MeterTestNumber.KEY_CHANGE_TOKENS: _key_change_tokens(decoder.algorithm),
        MeterTestNumber.SGC: f"{decoder.sgc:06d}",
        MeterTestNumber.KEN: str(decoder.ken),
        MeterTestNumber.DRN: drn,
    }
    if token.numbers == (MeterTestNumber.ALL,):
        return values
    return {number: text for number, text in values.items() if number in token.numbers}


def _key_change_tokens(algorithm: EncryptionAlgorithm) -> str:
    return "4" if algorithm is EncryptionAlgorithm.MISTY1 else "3"


def _limit(watts: int | None) -> str:
    return "none" if watts is None else str(watts)
