"""Field readings: what a meter told a person who asked it directly, without any record of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from headend.meters import Drn, ProfileName
from headend.readings import Reading, ReadingType


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldReading:
    """One look at one meter.

    `drn` is None where the meter tells no number. Impossible values are among `readings`, as
    suspect. `refused` are readings of the model whose registers the meter refused, `untold` those
    that it calls not available.
    """

    profile: ProfileName
    variant: str | None = None
    drn: Drn | None
    readings: Sequence[Reading]
    refused: Sequence[ReadingType] = ()
    untold: Sequence[ReadingType] = ()
