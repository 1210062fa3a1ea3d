"""What management tokens leave in a simulated meter to be read back, and nothing acts upon.

The STS Association reserves the meaning of tariff rate and water factor; that of the flags and
controls of the extended set (STS 202-5) is public by name only. Class 1 tokens show them.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class KeptValues:
    """Raw values as last set; what was never set is 0.

    `controls` by index 0 to 62, 10 bits each; `flags` by number 0 to 511.
    """

    tariff_rate: int = 0
    water_factor: int = 0
    controls: dict[int, int] = field(default_factory=dict)
    flags: dict[int, bool] = field(default_factory=dict)
