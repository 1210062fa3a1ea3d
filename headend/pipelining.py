"""Pipelining: how many questions a gateway may be asked at once, learned without a risk.

A gateway that mixes up its answers gives one meter's numbers to another, so it starts with one
question at a time and has to prove more: PROOF pairs in a row, asked at once, whose answers could
not have been confused, all answered rightly. Doubt takes it back to one, and doubles the proof.
"""

from dataclasses import dataclass

PROOF = 32
PROOF_MAX = 4096


@dataclass(slots=True)
class Pipelining:
    """`most` is the number never to be passed. `proved` is how many may be asked at once now."""

    most: int = 1
    proved: int = 1
    proof: int = PROOF
    good: int = 0
    doubts: int = 0

    @property
    def trying(self) -> int:
        """How many may be asked at once if their answers cannot be confused."""
        return min(self.most, self.proved + 1)

    def kept_apart(self) -> None:
        """`trying` were asked at once, with answers unlike each other, and one came rightly."""
        if self.proved >= self.most:
            return
        self.good += 1
        if self.good >= self.proof:
            self.good = 0
            self.proved += 1

    def doubted(self) -> None:
        """Something was amiss while several were asked."""
        self.doubts += 1
        self.proved, self.good = 1, 0
        self.proof = min(self.proof * 2, PROOF_MAX)
