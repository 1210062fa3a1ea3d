"""Readings: what a meter measured, and how far it can be believed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Self

from headend.meters import Drn, TenantId
from headend.reading_units import UNITS


@unique
class ReadingType(StrEnum):
    """What is measured; values are integers in the unit that ends the name.

    After the stored name: the object of IEC 62056-6-1 (`obis`), and of the eighteen fields of
    IEC 61968-9, annex C, those that are used here: macro period, accumulation, flow, commodity,
    kind, tariff rate, phases, multiplier, unit (`cim`).

    Credit (left, or bought in a month) is in thousandths of the unit of the service (Wh, litres,
    milli-minutes), or of the currency that the meter counts in. Net energy may fall; power is
    signed, export below 0, and so are reactive power and power factor (thousandths). Demand is the
    mean of the period now. What belongs to a day or a month is taken at its end.
    """

    ENERGY_IMPORT_WH = "energy_import_wh", "1-0:1.8.0", "0.1.1.1.12.0.0.0.72"
    ENERGY_EXPORT_WH = "energy_export_wh", "1-0:2.8.0", "0.1.19.1.12.0.0.0.72"
    ENERGY_NET_WH = "energy_net_wh", "1-0:16.8.0", "0.1.4.1.12.0.0.0.72"
    ENERGY_IMPORT_L1_WH = "energy_import_l1_wh", "1-0:21.8.0", "0.1.1.1.12.0.129.0.72"
    ENERGY_IMPORT_L2_WH = "energy_import_l2_wh", "1-0:41.8.0", "0.1.1.1.12.0.65.0.72"
    ENERGY_IMPORT_L3_WH = "energy_import_l3_wh", "1-0:61.8.0", "0.1.1.1.12.0.33.0.72"
    ENERGY_EXPORT_L1_WH = "energy_export_l1_wh", "1-0:22.8.0", "0.1.19.1.12.0.129.0.72"
    ENERGY_EXPORT_L2_WH = "energy_export_l2_wh", "1-0:42.8.0", "0.1.19.1.12.0.65.0.72"
    ENERGY_EXPORT_L3_WH = "energy_export_l3_wh", "1-0:62.8.0", "0.1.19.1.12.0.33.0.72"
    ENERGY_IMPORT_T1_WH = "energy_import_t1_wh", "1-0:1.8.1", "0.1.1.1.12.1.0.0.72"
    ENERGY_IMPORT_T2_WH = "energy_import_t2_wh", "1-0:1.8.2", "0.1.1.1.12.2.0.0.72"
    ENERGY_IMPORT_T3_WH = "energy_import_t3_wh", "1-0:1.8.3", "0.1.1.1.12.3.0.0.72"
    ENERGY_IMPORT_T4_WH = "energy_import_t4_wh", "1-0:1.8.4", "0.1.1.1.12.4.0.0.72"
    ENERGY_EXPORT_T1_WH = "energy_export_t1_wh", "1-0:2.8.1", "0.1.19.1.12.1.0.0.72"
    ENERGY_EXPORT_T2_WH = "energy_export_t2_wh", "1-0:2.8.2", "0.1.19.1.12.2.0.0.72"
    ENERGY_EXPORT_T3_WH = "energy_export_t3_wh", "1-0:2.8.3", "0.1.19.1.12.3.0.0.72"
    ENERGY_EXPORT_T4_WH = "energy_export_t4_wh", "1-0:2.8.4", "0.1.19.1.12.4.0.0.72"
    ENERGY_IMPORT_DAY_WH = "energy_import_day_wh", "1-0:1.30.0", "11.4.1.1.12.0.0.0.72"
    REACTIVE_IMPORT_VARH = "reactive_import_varh", "1-0:3.8.0", "0.1.1.1.12.0.0.0.73"
    REACTIVE_EXPORT_VARH = "reactive_export_varh", "1-0:4.8.0", "0.1.19.1.12.0.0.0.73"
    VOLUME_L = "volume_l", None, "0.1.1.9.58.0.0.0.134"
    POWER_W = "power_w", "1-0:16.7.0", "0.6.4.1.37.0.0.0.38"
    POWER_L1_W = "power_l1_w", "1-0:36.7.0", "0.6.4.1.37.0.129.0.38"
    POWER_L2_W = "power_l2_w", "1-0:56.7.0", "0.6.4.1.37.0.65.0.38"
    POWER_L3_W = "power_l3_w", "1-0:76.7.0", "0.6.4.1.37.0.33.0.38"
    REACTIVE_POWER_VAR = "reactive_power_var", "1-0:131.7.0", "0.6.4.1.37.0.0.0.63"
    REACTIVE_POWER_L1_VAR = "reactive_power_l1_var", "1-0:151.7.0", "0.6.4.1.37.0.129.0.63"
    REACTIVE_POWER_L2_VAR = "reactive_power_l2_var", "1-0:171.7.0", "0.6.4.1.37.0.65.0.63"
    REACTIVE_POWER_L3_VAR = "reactive_power_l3_var", "1-0:191.7.0", "0.6.4.1.37.0.33.0.63"
    APPARENT_POWER_VA = "apparent_power_va", "1-0:9.7.0", "0.6.0.1.37.0.0.0.61"
    APPARENT_POWER_L1_VA = "apparent_power_l1_va", "1-0:29.7.0", "0.6.0.1.37.0.129.0.61"
    APPARENT_POWER_L2_VA = "apparent_power_l2_va", "1-0:49.7.0", "0.6.0.1.37.0.65.0.61"
    APPARENT_POWER_L3_VA = "apparent_power_l3_va", "1-0:69.7.0", "0.6.0.1.37.0.33.0.61"
    POWER_FACTOR_MILLI = "power_factor_milli", "1-0:13.7.0", "0.6.0.1.38.0.0.-3.65"
    POWER_FACTOR_L1_MILLI = "power_factor_l1_milli", "1-0:33.7.0", "0.6.0.1.38.0.129.-3.65"
    POWER_FACTOR_L2_MILLI = "power_factor_l2_milli", "1-0:53.7.0", "0.6.0.1.38.0.65.-3.65"
    POWER_FACTOR_L3_MILLI = "power_factor_l3_milli", "1-0:73.7.0", "0.6.0.1.38.0.33.-3.65"
    DEMAND_W = "demand_w", "1-0:1.4.0", "0.2.1.1.8.0.0.0.38"
    DEMAND_MAX_W = "demand_max_w", "1-0:1.6.0", "0.9.1.1.8.0.0.0.38"
    VOLTAGE_L1_MV = "voltage_l1_mv", "1-0:32.7.0", "0.6.0.1.54.0.129.-3.29"
    VOLTAGE_L2_MV = "voltage_l2_mv", "1-0:52.7.0", "0.6.0.1.54.0.65.-3.29"
    VOLTAGE_L3_MV = "voltage_l3_mv", "1-0:72.7.0", "0.6.0.1.54.0.33.-3.29"
    VOLTAGE_L12_MV = "voltage_l12_mv", "1-0:124.7.0", "0.6.0.1.54.0.132.-3.29"
    VOLTAGE_L23_MV = "voltage_l23_mv", "1-0:125.7.0", "0.6.0.1.54.0.66.-3.29"
    VOLTAGE_L31_MV = "voltage_l31_mv", "1-0:126.7.0", "0.6.0.1.54.0.96.-3.29"
    CURRENT_L1_MA = "current_l1_ma", "1-0:31.7.0", "0.6.0.1.4.0.129.-3.5"
    CURRENT_L2_MA = "current_l2_ma", "1-0:51.7.0", "0.6.0.1.4.0.65.-3.5"
    CURRENT_L3_MA = "current_l3_ma", "1-0:71.7.0", "0.6.0.1.4.0.33.-3.5"
    CURRENT_N_MA = "current_n_ma", "1-0:91.7.0", "0.6.0.1.4.0.16.-3.5"
    FREQUENCY_MHZ = "frequency_mhz", "1-0:14.7.0", "0.6.0.1.15.0.0.-3.33"
    CREDIT_LEFT_MILLI = "credit_left_milli", None, None
    CREDIT_BOUGHT_MONTH_MILLI = "credit_bought_month_milli", None, None

    def __new__(cls, name: str, obis: str | None = None, cim: str | None = None) -> Self:
        member = str.__new__(cls, name)
        member._value_ = name
        member._obis, member._cim = obis, cim
        return member

    _obis: str | None
    _cim: str | None

    @property
    def obis(self) -> str | None:
        """The electricity object, such as 1-0:1.8.0."""
        return self._obis

    @property
    def cim(self) -> str | None:
        """The reading type identifier of eighteen fields."""
        if self._cim is None:
            return None
        macro, accumulation, flow, commodity, kind, rate, *rest = self._cim.split(".")
        phases, multiplier, unit = rest
        before = (macro, "0", "0", accumulation, flow, commodity, kind, "0", "0", "0", "0", rate)
        return ".".join((*before, "0", "0", phases, multiplier, unit, "0"))

    @property
    def unit(self) -> str:
        """What ends the name: WH, MV, MILLI and so on."""
        return self.name.rpartition("_")[2]

    @property
    def units(self) -> Mapping[str, int]:
        """The units that meters tell it in, and how many of ours one of each is."""
        return UNITS["CREDIT" if self.name.startswith("CREDIT_") else self.unit]

    @property
    def rate(self) -> int:
        """The tariff rate that it counts, from 1 on; 0 for all of them."""
        return int(self._cim.split(".")[5]) if self._cim else 0

    @property
    def cumulative(self) -> bool:
        """A register that only rises."""
        return self.unit in _CUMULATIVE and self not in _NOT_CUMULATIVE


_CUMULATIVE = frozenset({"WH", "VARH", "L"})
_NOT_CUMULATIVE = frozenset({ReadingType.ENERGY_NET_WH, ReadingType.ENERGY_IMPORT_DAY_WH})


@unique
class Quality(StrEnum):
    """How far a reading can be believed. SUSPECT readings are kept, never dropped."""

    GOOD = "good"
    STALE = "stale"
    SUSPECT = "suspect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value of one meter; unique by (tenant, drn, type, taken_at)."""

    tenant: TenantId
    drn: Drn
    type: ReadingType
    value: int
    taken_at: datetime
    received_at: datetime
    quality: Quality = Quality.GOOD


# A meter clock further off than this makes time-of-use and order doubtful.
CLOCK_DRIFT = timedelta(minutes=2)
# 100 kW through one payment meter for the time between two readings: more is a jump.
MAX_RISE_WH_PER_H = 100_000
MAX_RISE_L_PER_H = 20_000


def judge(reading: Reading, previous: Reading | None) -> Quality:
    """Compare a reading with the previous one of its type: backwards, jump, clock drift."""
    if reading.quality is not Quality.GOOD:
        return reading.quality
    if reading.taken_at - reading.received_at > CLOCK_DRIFT:
        return Quality.SUSPECT
    if previous is None or not reading.type.cumulative:
        return Quality.GOOD
    return Quality.GOOD if _plausible_rise(reading, previous) else Quality.SUSPECT


def _plausible_rise(reading: Reading, previous: Reading) -> bool:
    rise = reading.value - previous.value
    elapsed_s = int((reading.taken_at - previous.taken_at).total_seconds())
    if elapsed_s < 0:
        return rise <= 0
    per_h = MAX_RISE_L_PER_H if reading.type is ReadingType.VOLUME_L else MAX_RISE_WH_PER_H
    return 0 <= rise <= per_h * (elapsed_s + 60) // 3600 + 1
