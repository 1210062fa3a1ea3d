"""A scene: one story with its meter, its customer and its recharge.

What the meter was credited with is read from its own registers, never from the head-end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from api.demonstration.stories import Story, Told
from api.simulation import Fleet, SimulatedMeter

Answer: TypeAlias = Mapping[str, object]


@dataclass(slots=True, kw_only=True)
class Scene:
    """`answer`: the recharge as REST told it last. `owned_milli`: what the registers began with.

    `told`: what its customer has been told. `broken`: why it could not be played to its end.
    """

    story: Story
    number: int
    drn: str
    sgc: str
    customer: str
    meter: SimulatedMeter
    owned_milli: int
    answer: Answer = field(default_factory=dict)
    told: frozenset[Told] = frozenset()
    broken: str = ""

    @property
    def recharge(self) -> str:
        """The id that the back-office gave to the sale."""
        return f"demo-{self.number}"

    @property
    def state(self) -> str:
        """The state of the recharge; empty before the sale."""
        return str(self.answer.get("state", ""))

    @property
    def credited_milli(self) -> int:
        """What came onto the meter since, by its own registers, in thousandths of a unit."""
        return owned_milli(self.meter) - self.owned_milli

    def order(self) -> Answer:
        """The sale as the back-office posts it."""
        story = self.story
        return {
            "id": self.recharge,
            "meter": self.drn,
            "amount": {"kind": "units", "value": story.value, "unit": story.unit.value},
            "reference": f"receipt {self.number}",
        }

    def ended(self) -> bool:
        """The story came to the end that it should have."""
        return self.state == self.story.ends.value and self.told >= set(self.story.told)


def owned_milli(meter: SimulatedMeter) -> int:
    """Credit left and credit used, in thousandths: consumption cannot hide anything in the sum."""
    return meter.credit_milli + meter.import_milli


def milli(value: str) -> int:
    """A decimal of REST in thousandths."""
    return int(Decimal(value) * 1000)


def cast(fleet: Fleet, stories: Sequence[Story]) -> Sequence[Scene]:
    """Give every story the next meter of its place."""
    free = list(fleet.rows)
    scenes = []
    for number, story in enumerate(stories, start=1):
        place = (story.bus, story.address)
        row = next(row for row in free if (row["bus"], row["address"]) == place)
        free.remove(row)
        meter = fleet.meters[row["drn"]]
        scenes.append(
            Scene(
                story=story,
                number=number,
                drn=row["drn"],
                sgc=row["sgc"],
                customer=row["contact_sms"],
                meter=meter,
                owned_milli=owned_milli(meter),
            )
        )
    return scenes
