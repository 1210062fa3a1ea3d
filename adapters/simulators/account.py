"""Credit and import registers of a simulated meter, and how a load changes both.

Exact integers throughout: what is less than a thousandth of a unit is carried, never rounded away.
"""

HOUR_US = 3_600_000_000
THOUSAND = 1000


class Account:
    """Registers in thousandths: import of Wh or litres, credit (and all bought) of units or money.

    `load` is in thousandths of a unit per hour (W, or l/h); `price_milli` what one unit costs.
    """

    def __init__(self, *, credit_milli: int, load: int, price_milli: int) -> None:
        self.credit_milli = credit_milli
        self.import_milli = 0
        self.bought_milli = 0
        self.load = load
        self.price_milli = price_milli
        self._import_carry = 0
        self._credit_carry = 0

    def consume(self, elapsed_us: int, *, stop_at_zero: bool) -> int:
        """Let the load run; returns the microseconds it ran before credit was out."""
        assert elapsed_us >= 0
        rate = self.load * self.price_milli
        if stop_at_zero and rate:
            owned = self.credit_milli * HOUR_US * THOUSAND - self._credit_carry
            elapsed_us = min(elapsed_us, max(0, -(-owned // rate)))
        used, self._import_carry = divmod(self._import_carry + self.load * elapsed_us, HOUR_US)
        spent, self._credit_carry = divmod(
            self._credit_carry + rate * elapsed_us, HOUR_US * THOUSAND
        )
        self.import_milli += used
        self.credit_milli -= spent
        return elapsed_us
