"""Short messages keep to their alphabet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.handover.gsm7 import BASIC, EXTENDED, fold, room_of, septets


def test_the_alphabet_has_its_127_characters():
    assert len(BASIC) == 127  # 128 positions less the escape
    assert len(EXTENDED) == 10


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Código", "Codigo"),
        ("Co\u0301digo", "Codigo"),
        ("é è ñ ü à", "é è ñ ü à"),
        ("saisir ça", "saisir ca"),
        ("não", "nao"),
        ("1\u202f000 m³ – “x”", '1 000 m3 - "x"'),
        ("Istanbul ı İ", "Istanbul i I"),
        ("日本", "??"),
        ("\x00\t", "??"),
    ],
)
def test_letters_lose_the_accents_it_lacks(text, folded):
    assert fold(text) == folded


@given(st.text())
def test_whatever_is_folded_is_in_the_alphabet(text):
    assert set(fold(text)) <= BASIC | EXTENDED
    assert fold(fold(text)) == fold(text)


def test_some_characters_take_two():
    assert septets("a€[") == 5


@pytest.mark.parametrize(("length", "room"), [(0, 160), (160, 160), (161, 306), (307, 459)])
def test_long_messages_come_in_parts(length, room):
    assert room_of(length) == room
