"""Discovery: what is asked next, and when it ends."""

import pytest

from headend.discovery import Discovery, Found, Heard, Presence, parse_units


class Scripted:
    """Units that answer as told; every question is kept."""

    def __init__(self, **heard: list[Heard]) -> None:
        self.heard = {int(name[1:]): list(each) for name, each in heard.items()}
        self.asked: list[tuple[int, bool]] = []

    async def knock(self, unit: int, *, otherwise: bool) -> Heard:
        self.asked.append((unit, otherwise))
        left = self.heard.get(unit)
        return left.pop(0) if left else Heard.SILENCE

    async def who(self, unit: int) -> Found:
        return Found(unit=unit, presence=Presence.UNKNOWN)


async def looked(survey: Scripted, units=(1, 2, 3), stop_after: int = 99) -> Discovery:
    found = Discovery()
    seen: list[Found | None] = []
    await found.look(survey, units, stopped=lambda: len(seen) >= stop_after, seen=seen.append)
    assert len(seen) == found.asked
    return found


async def test_the_silent_are_asked_once_more_otherwise():
    survey = Scripted(u1=[Heard.ANSWER], u2=[Heard.SILENCE, Heard.ANSWER])
    found = await looked(survey)
    assert [one.unit for one in found.found] == [1, 2]
    assert survey.asked == [(1, False), (2, False), (3, False), (2, True), (3, True)]
    assert found.ended


async def test_a_disturbance_is_no_second_meter():
    survey = Scripted(u1=[Heard.GARBLED, Heard.GARBLED, Heard.ANSWER], u2=[Heard.GARBLED] * 4)
    found = await looked(survey)
    assert [one.presence for one in found.found] == [Presence.UNKNOWN, Presence.DUPLICATE]


async def test_a_stop_keeps_what_was_found():
    found = await looked(Scripted(u1=[Heard.ANSWER], u2=[Heard.ANSWER]), stop_after=1)
    assert ([one.unit for one in found.found], found.ended) == ([1], False)


def test_units_are_written_as_ranges():
    assert parse_units("1-3, 40,2") == (1, 2, 3, 40)
    assert len(parse_units("1-247")) == 247


@pytest.mark.parametrize("text", ["", "0", "0-9", "248", "1-248", "5-1", "x", "1--3", "²"])
def test_other_units_are_refused(text: str):
    with pytest.raises(ValueError, match=r"unit"):
        parse_units(text)
