"""Readings: what a meter measured, and how far it can be believed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique

from headend.meters import Drn, TenantId


@unique
class ReadingType(StrEnum):
    """What is measured; values are integers in the unit that ends the name.

    `obis` names the electricity object (IEC 62056-6-1). Credit left is in thousandths of the
    unit of the service (Wh, litres, milli-minutes), or of the currency that the meter counts in.
    """

    ENERGY_IMPORT_WH = "energy_import_wh"
    ENERGY_EXPORT_WH = "energy_export_wh"
    VOLUME_L = "volume_l"
    POWER_W = "power_w"
    VOLTAGE_L1_MV = "voltage_l1_mv"
    VOLTAGE_L2_MV = "voltage_l2_mv"
    VOLTAGE_L3_MV = "voltage_l3_mv"
    CURRENT_L1_MA = "current_l1_ma"
    CURRENT_L2_MA = "current_l2_ma"
    CURRENT_L3_MA = "current_l3_ma"
    FREQUENCY_MHZ = "frequency_mhz"  # millihertz
    CREDIT_LEFT_MILLI = "credit_left_milli"

    @property
    def obis(self) -> str | None:
        return _OBIS.get(self)

    @property
    def cumulative(self) -> bool:
        """A register that only rises."""
        return self in _CUMULATIVE


_OBIS: Mapping[ReadingType, str] = {
    ReadingType.ENERGY_IMPORT_WH: "1-0:1.8.0",
    ReadingType.ENERGY_EXPORT_WH: "1-0:2.8.0",
    ReadingType.POWER_W: "1-0:16.7.0",
    ReadingType.VOLTAGE_L1_MV: "1-0:32.7.0",
    ReadingType.VOLTAGE_L2_MV: "1-0:52.7.0",
    ReadingType.VOLTAGE_L3_MV: "1-0:72.7.0",
    ReadingType.CURRENT_L1_MA: "1-0:31.7.0",
    ReadingType.CURRENT_L2_MA: "1-0:51.7.0",
    ReadingType.CURRENT_L3_MA: "1-0:71.7.0",
    ReadingType.FREQUENCY_MHZ: "1-0:14.7.0",
}
_CUMULATIVE = frozenset(
    {ReadingType.ENERGY_IMPORT_WH, ReadingType.ENERGY_EXPORT_WH, ReadingType.VOLUME_L}
)


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
