"""How readings are shown to people: in the units that meters show, as exact numbers."""

from collections.abc import Mapping

from headend.readings import ReadingType

# By the unit that a reading type ends in: what people read, and how many digits behind the point.
_SHOWN: Mapping[str, tuple[str, int]] = {
    "WH": ("kWh", 3),
    "VARH": ("kvarh", 3),
    "W": ("W", 0),
    "VAR": ("var", 0),
    "VA": ("VA", 0),
    "MV": ("V", 3),
    "MA": ("A", 3),
    "MHZ": ("Hz", 3),
    "L": ("l", 0),
    "MILLI": ("", 3),
}


def shown(kind: ReadingType, value: int) -> tuple[str, str]:
    """The number and its unit, as in 230.100 and V."""
    unit, digits = _SHOWN[kind.unit]
    if not digits:
        return str(value), unit
    whole, rest = divmod(abs(value), 10**digits)
    return f"{'-' if value < 0 else ''}{whole}.{rest:0{digits}}", unit
