"""Units in which meters tell readings, by the unit that our reading types end in.

The number is how many of ours one of theirs is.
"""

from collections.abc import Mapping

from headend.currencies import ISO_NUMBERS

UNITS: Mapping[str, Mapping[str, int]] = {
    "WH": {"Wh": 1, "kWh": 1_000, "MWh": 1_000_000},
    "VARH": {"varh": 1, "kvarh": 1_000, "Mvarh": 1_000_000},
    "W": {"W": 1, "kW": 1_000, "MW": 1_000_000},
    "VAR": {"var": 1, "kvar": 1_000},
    "VA": {"VA": 1, "kVA": 1_000},
    "MV": {"mV": 1, "V": 1_000, "kV": 1_000_000},
    "MA": {"mA": 1, "A": 1_000},
    "MHZ": {"mHz": 1, "Hz": 1_000},
    "L": {"l": 1, "m3": 1_000},
    "MILLI": {"1": 1_000, "%": 10},
    "CREDIT": {"Wh": 1, "kWh": 1_000, "l": 1, "m3": 1_000, "min": 1_000}
    | dict.fromkeys(ISO_NUMBERS, 1_000),
}
