"""Every shipped model that is only read, against its recorded exchanges, to the byte.

Readings, a refusal, a silence and the way back, and another model at the address.
"""

import struct
from decimal import Decimal

import pytest

from adapters.modbus.driver import ModbusDriver
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import load_profiles
from headend.errors import Misconfigured, NoAnswer
from headend.meters import BusName, Drn, Meter, ProfileName, Route
from headend.readings import Quality, Reading, ReadingType
from tests.adapters.frames.replay import FRAMES, Replay, meaning
from tests.adapters.modbus.clocks import NOON, StillClock
from tests.builders import a_meter
from tests.vectors.field_frames import frame

pytestmark = pytest.mark.virtual_time

PROFILES = load_profiles()
READ_ONLY = sorted(name for name, profile in PROFILES.items() if profile.blocks is None)
DRN = Drn("12345678903")


class Player:
    """A driver on a line that plays one file."""

    def __init__(self, name: str) -> None:
        self._profile = name.split("/", maxsplit=1)[0]
        self.replay = Replay(name)
        line = ModbusLine("tcp://replay:1", opener=self.replay.open)
        self._driver = ModbusDriver(line, PROFILES, StillClock())

    async def read(self) -> dict[ReadingType, Reading]:
        async with self._driver.open(self._meter) as session:
            return {reading.type: reading for reading in await session.read()}

    @property
    def _meter(self) -> Meter:
        route = Route(BusName("line"), "1")
        return a_meter(drn=DRN, profile=ProfileName(self._profile), route=route)


def values(readings: dict[ReadingType, Reading]) -> dict[ReadingType, int]:
    return {kind: reading.value for kind, reading in readings.items()}


@pytest.mark.parametrize("name", READ_ONLY)
async def test_every_reading_of_a_model(name: str):
    player = Player(f"{name}/readings")
    readings = await player.read()
    assert values(readings) == meaning(f"{name}/readings")
    assert {reading.quality for reading in readings.values()} == {Quality.GOOD}
    assert {(each.drn, each.taken_at) for each in readings.values()} == {(DRN, NOON)}
    assert player.replay.finished


@pytest.mark.parametrize("name", READ_ONLY)
async def test_a_refused_register_costs_no_other_reading(name: str):
    player = Player(f"{name}/refusal")
    readings = await player.read()
    assert values(readings) == meaning(f"{name}/refusal")
    assert player.replay.finished


@pytest.mark.parametrize("name", ["chint-dtsu666", "eastron-sdm120", "eastron-sdm630"])
async def test_what_sets_a_model_apart_may_be_absent_or_told_otherwise(name: str):
    player = Player(f"{name}/absent")
    assert values(await player.read()) == meaning(f"{name}/absent")
    assert player.replay.finished


@pytest.mark.parametrize("name", READ_ONLY)
async def test_after_a_silence_a_model_is_asked_who_it_is(name: str):
    player = Player(f"{name}/silence")
    with pytest.raises(NoAnswer):
        await player.read()
    assert values(await player.read()) == meaning(f"{name}/silence")
    assert player.replay.finished


@pytest.mark.parametrize("name", READ_ONLY)
async def test_another_model_is_not_believed(name: str):
    player = Player(f"{name}/another-model")
    with pytest.raises(Misconfigured, match="check the wiring, address and profile"):
        await player.read()
    assert player.replay.finished


@pytest.mark.parametrize(
    "name",
    [
        "acrel-ddsy1352/an-em24-e1",
        "carlo-gavazzi-em340/an-em24",
        "chint-ddsu666/a-dtsu666",
        "eastron-sdm120/an-sdm630",
        "eastron-sdm72/an-em24",
    ],
)
async def test_a_model_that_looks_like_another_is_not_believed(name: str):
    player = Player(name)
    with pytest.raises(Misconfigured, match="check the wiring, address and profile"):
        await player.read()
    assert player.replay.finished


async def test_the_other_scale_of_a_dtsu666():
    player = Player("chint-dtsu666/readings-scaled")
    assert values(await player.read()) == meaning("chint-dtsu666/readings-scaled")
    assert meaning("chint-dtsu666/readings-scaled") == pytest.approx(
        meaning("chint-dtsu666/readings"), abs=1
    )


@pytest.mark.parametrize("name", READ_ONLY)
def test_the_recorded_readings_are_all_that_a_model_has(name: str):
    missing = PROFILES[ProfileName(name)].readings.keys() - meaning(f"{name}/readings").keys()
    # Recorded as "not available".
    untold = {
        "abb-b21": {ReadingType.ENERGY_EXPORT_WH},
        "abb-b23": {
            ReadingType.VOLTAGE_L3_MV,
            ReadingType.POWER_L3_W,
            ReadingType.ENERGY_EXPORT_WH,
        },
        "schneider-iem3155": {ReadingType.VOLTAGE_L3_MV},
    }
    assert missing <= untold.get(name, set())


def test_every_recorded_exchange_is_played():
    played = {"readings", "refusal", "silence", "another-model", "readings-scaled", "absent"}
    files = [path for path in FRAMES.rglob("*.frames") if path.parent.name != "stsm"]
    assert {path.parent.name for path in files} == set(READ_ONLY)
    others = {"an-em24", "an-em24-e1", "an-sdm630", "a-dtsu666"}
    assert {path.stem for path in files} == played | others


# --- published frames ----------------------------------------------------------------------------


PUBLISHED = [
    # vector, model, variant, reading, words of the reply to skip, value
    ("mb-sdm630-rsp-p1", "eastron-sdm630", None, "POWER_L1_W", 0, -173),
    ("mb-sdm630-rsp-p2", "eastron-sdm630", None, "POWER_L2_W", 0, -9),
    ("mb-et112-cdab", "carlo-gavazzi-em111", None, "VOLTAGE_L1_MV", 0, 233_100),
    ("mb-em24-cdab-voltage", "carlo-gavazzi-em24", None, "VOLTAGE_L1_MV", 0, 230_400),
    ("mb-em24-cdab-negpower", "carlo-gavazzi-em24-e1", None, "POWER_W", 0, -1500),
    ("mb-abb-b23-import", "abb-b23", None, "ENERGY_IMPORT_WH", 0, 12_345_670),
    ("mb-abb-b23-na", "abb-b23", None, "VOLTAGE_L1_MV", 0, None),
    ("mb-iem3155-import", "schneider-iem3155", None, "ENERGY_IMPORT_WH", 0, 1_234_567),
    ("mb-iem3155-nan", "schneider-iem3155", None, "VOLTAGE_L1_MV", 0, None),
    ("mb-dtsu666-x10", "chint-dtsu666", "scaled", "VOLTAGE_L2_MV", 2, 231_100),
    ("mb-dtsu666-x1", "chint-dtsu666", "plain", "VOLTAGE_L2_MV", 2, 231_100),
]


@pytest.mark.parametrize(("ident", "name", "variant", "kind", "skip", "value"), PUBLISHED)
def test_a_published_frame_means_what_was_published(
    ident: str, name: str, variant: str | None, kind: str, skip: int, value: int | None
):
    profile = PROFILES[ProfileName(name)]
    if variant:
        profile = next(each for each in profile.variants if each.variant == variant)
    reading = profile.readings[ReadingType[kind]]
    data = frame(ident)[3:-2]
    words = struct.unpack(f">{len(data) // 2}H", data)[skip:]
    ones = dict.fromkeys(profile.factors, Decimal(1))
    assert reading.value(words[: reading.span.count], ones) == value
