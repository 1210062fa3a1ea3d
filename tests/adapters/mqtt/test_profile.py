"""Profiles as operators write them."""

from pathlib import Path

import pytest

from adapters.mqtt.profile import load_profiles
from headend.errors import Misconfigured
from headend.meters import Capability, ProfileName

GOOD = """
format = 1
title = "t"
source = "s"
can = ["READ", "CLOCK"]
silence_s = 5
answer_s = 9
"""


def test_the_shipped_profiles():
    profiles = load_profiles()
    everything = Capability.NONE
    for flag in Capability:
        everything |= flag
    # Past days are not asked for over MQTT, nor are parameters set.
    not_over_mqtt = Capability.HISTORY | Capability.CREDIT_PARAMETERS | Capability.POWER_LIMIT
    assert profiles[ProfileName("amr-v1")].can == everything & ~not_over_mqtt
    assert Capability.ENTER_TOKEN not in profiles[ProfileName("amr-v1-reader")].can


def test_a_conversation_fits_into_its_turn_on_the_bus():
    for profile in load_profiles().values():
        assert profile.answer_s + profile.silence_s < 60


def test_a_profile_of_the_operator(tmp_path: Path):
    (tmp_path / "acme.toml").write_text(GOOD)
    profile = load_profiles(tmp_path)[ProfileName("acme")]
    assert profile.can == Capability.READ | Capability.CLOCK
    assert (profile.silence_s, profile.answer_s) == (5, 9)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("format = 1", "format = 2"),
        ("format = 1", "format = "),
        ("CLOCK", "FLY"),
        ("silence_s = 5", "silence_s = 0"),
        ("silence_s = 5", "silence_s = 10"),
        ("answer_s = 9", "answer_s = 9\nanswer_h = 9"),
        ("answer_s = 9", ""),
    ],
)
def test_a_wrong_profile_is_named(tmp_path: Path, old: str, new: str):
    (tmp_path / "acme.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(Misconfigured, match=r"acme\.toml"):
        load_profiles(tmp_path)
