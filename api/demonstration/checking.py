"""Checking: every recharge against the meter's own registers, and against the end it should have.

Nothing here believes the head-end: what it says is one side of the comparison.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from api.demonstration.scene import Scene, milli
from api.demonstration.stories import Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What came of one recharge; amounts in thousandths of a unit. No faults: all agree."""

    scene: Scene
    credited_told: int
    credited_meter: int
    faults: Sequence[str]

    @property
    def agrees(self) -> bool:
        return not self.faults

    def shown(self) -> Mapping[str, object]:
        """The finding for machines."""
        scene, answer = self.scene, self.scene.answer
        return {
            "recharge": scene.recharge,
            "meter": scene.drn,
            "wire": scene.story.bus,
            "story": scene.story.title,
            "state": scene.state,
            "token": token_of(scene),
            "confirmed_by": answer.get("confirmed_by"),
            "result": answer.get("result"),
            "attempts": answer.get("attempts"),
            "supply": answer.get("supply"),
            "customer_told": sorted(scene.told),
            "unit": scene.story.unit.value,
            "sold": scene.story.value,
            "credited_by_headend": units(self.credited_told),
            "credited_by_meter": units(self.credited_meter),
            "agrees": self.agrees,
            "faults": list(self.faults),
        }


def check(scene: Scene) -> Finding:
    """Compare one recharge with its meter as it is now."""
    credited_told = _told(scene)
    credited_meter = scene.credited_milli
    return Finding(
        scene=scene,
        credited_told=credited_told,
        credited_meter=credited_meter,
        faults=[*_faults(scene, credited_told, credited_meter)],
    )


def token_of(scene: Scene) -> str:
    """The token, masked as REST shows it."""
    tokens = scene.answer.get("tokens")
    first = tokens[0] if isinstance(tokens, list) and tokens else {}
    return str(first.get("masked", ""))


def units(thousandths: int) -> str:
    """Thousandths as a decimal, without zeros behind it."""
    text = f"{Decimal(thousandths).scaleb(-3):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _told(scene: Scene) -> int:
    taken = scene.answer.get("taken")
    return milli(str(taken["value"])) if isinstance(taken, dict) else 0


def _faults(scene: Scene, told: int, by_meter: int) -> Iterator[str]:
    story, answer = scene.story, scene.answer
    if scene.broken:
        yield scene.broken
    due = milli(story.value) if story.confirmed_by else 0
    if told != by_meter:
        yield f"the head-end says {units(told)}, the register says {units(by_meter)}"
    if by_meter != due:
        yield f"the register should say {units(due)}, it says {units(by_meter)}"
    if scene.state != story.ends.value:
        yield f"it should have ended {story.ends.value}, it is {scene.state or 'not posted'}"
    if story.confirmed_by and answer.get("confirmed_by") not in story.confirmed_by:
        yield f"confirmed by {answer.get('confirmed_by')}, which is not its story"
    supply = answer.get("supply")
    cause = supply.get("cause") if isinstance(supply, dict) else None
    if cause != story.cause:
        yield f"the cause of darkness is told as {cause}"
    if missing := sorted(set(story.told) - scene.told):
        yield f"the customer was not told: {', '.join(news.words for news in missing)}"
    if Told.DIGITS in scene.told and Told.DIGITS not in story.told:
        yield "the customer was sent the digits for nothing"
