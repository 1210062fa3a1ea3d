"""STSM: credit parameters and limits (D220-D23F), version 0100: one block, written as a whole.

Amounts are in units of 10^exponent, as all amounts of the map. Knows the layout only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from protocols.modbus.blocks import Span
from protocols.modbus.registers import signed, unsigned, words_of
from protocols.modbus.stsm import committed

PARAMETERS = Span(0xD220, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """D220-D23E. Friendly hours in minutes of the local day, weekdays as bits from Monday."""

    low_credit_1: int
    low_credit_2: int
    emergency_credit: int
    maximum_credit: int
    overdraft: int
    friendly_from: int = 0
    friendly_to: int = 0
    friendly_days: int = 0
    power_limit_w: int = 0
    overload_s: int = 0
    overload_retries: int = 0
    reconnect_delay_s: int = 0
    undervoltage_v: int = 0
    overvoltage_v: int = 0
    wrong_tokens: int = 0
    reconnect_credit: int = 0

    @classmethod
    def of(cls, words: Sequence[int]) -> Self:
        return cls(
            low_credit_1=signed(words[0:2]),
            low_credit_2=signed(words[2:4]),
            emergency_credit=signed(words[4:6]),
            maximum_credit=signed(words[6:10]),
            overdraft=signed(words[10:12]),
            friendly_from=words[12],
            friendly_to=words[13],
            friendly_days=words[14],
            power_limit_w=unsigned(words[16:18]),
            overload_s=words[18],
            overload_retries=words[19],
            reconnect_delay_s=words[20],
            undervoltage_v=words[21],
            overvoltage_v=words[22],
            wrong_tokens=words[23],
            reconnect_credit=signed(words[24:28]),
        )

    def words(self) -> tuple[int, ...]:
        """The whole block with its commit word; OverflowError for an amount it cannot hold."""
        return committed(
            (
                *words_of(self.low_credit_1, 2),
                *words_of(self.low_credit_2, 2),
                *words_of(self.emergency_credit, 2),
                *words_of(self.maximum_credit, 4),
                *words_of(self.overdraft, 2),
                *(self.friendly_from, self.friendly_to, self.friendly_days, 0),
                *words_of(self.power_limit_w, 2),
                *(self.overload_s, self.overload_retries, self.reconnect_delay_s),
                *(self.undervoltage_v, self.overvoltage_v, self.wrong_tokens),
                *words_of(self.reconnect_credit, 4),
                *(0, 0, 0),
            )
        )
