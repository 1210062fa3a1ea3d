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
        return Found(address=str(unit), presence=Presence.UNKNOWN)


async def looked(survey: Scripted, units=(1, 2, 3), stop_after: int = 99) -> Discovery:
    found = Discovery()
    seen: list[Found | None] = []
    await found.look(survey, units, stopped=lambda: len(seen) >= stop_after, seen=seen.append)
    assert len(seen) == found.asked
    return found


async def test_the_silent_are_asked_once_more_otherwise():
    survey = Scripted(u1=[Heard.ANSWER], u2=[Heard.SILENCE, Heard.ANSWER])
    found = await looked(survey)
    assert [one.address for one in found.found] == ["1", "2"]
    assert survey.asked == [(1, False), (2, False), (3, False), (2, True), (3, True)]
    assert found.ended


async def test_a_disturbance_is_no_second_meter():
    survey = Scripted(u1=[Heard.GARBLED, Heard.GARBLED, Heard.ANSWER], u2=[Heard.GARBLED] * 4)
    found = await looked(survey)
    assert [one.presence for one in found.found] == [Presence.UNKNOWN, Presence.DUPLICATE]


async def test_a_stop_keeps_what_was_found():
    found = await looked(Scripted(u1=[Heard.ANSWER], u2=[Heard.ANSWER]), stop_after=1)
    assert ([one.address for one in found.found], found.ended) == (["1"], False)


class Greeted:
    def __init__(self, found: Found | None) -> None:
        self.found = found
        self.asked = 0

    async def who(self) -> Found | None:
        self.asked += 1
        return self.found


async def test_who_is_alone_is_asked_by_each_dialect_until_it_is_stopped():
    there = Greeted(Found(address="161", presence=Presence.UNKNOWN))
    nobody = Greeted(None)
    seen: list[Found | None] = []
    found = Discovery()
    await found.greet([nobody, there], stopped=lambda: False, seen=seen.append)
    assert ([one.address for one in found.found], found.ended, seen) == (
        ["161"],
        True,
        [None, there.found],
    )
    await found.greet([nobody, there], stopped=lambda: len(seen) > 2, seen=seen.append)
    assert (found.ended, there.asked) == (False, 1)


def test_units_are_written_as_ranges():
    assert parse_units("1-3, 40,2") == (1, 2, 3, 40)
    assert len(parse_units("1-247")) == 247


@pytest.mark.parametrize("text", ["", "0", "0-9", "248", "1-248", "5-1", "x", "1--3", "²"])
def test_other_units_are_refused(text: str):
    with pytest.raises(ValueError, match=r"unit"):
        parse_units(text)
